import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConfigError } from './config-error.ts'
import { CONFIG_SECTIONS, loadConfig, parseConfig } from './config.ts'
import type { OptionTable } from './option.ts'
import { OTHER_OPTIONS } from './other-options.ts'
import { parseDurationMs, parseSizeBytes } from './units.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'config-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

function write(text: string, name = 'homeserver.yaml'): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

function problemsOf(options: Record<string, unknown> | string): readonly string[] {
  try {
    if (typeof options === 'string') loadConfig([write(options)])
    else parseConfig(options)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => problem.replace(`${directory}/`, ''))
    throw error
  }
}

test('an empty configuration has the documented defaults', () => {
  const config = parseConfig()
  expect(config.server.publicBaseUrl).toBe('https://localhost/')
  expect(config.server.servesClientWellKnown).toBe(false)
  expect(config.database.name).toBe('embedded')
  expect(config.media.maxUploadSizeBytes).toBe(50 * 1024 * 1024)
  expect(config.ratelimits.rcMessage).toEqual({ perSecond: 0.2, burstCount: 10 })
  expect(config.rooms.redactionRetentionPeriodMs).toBe(7 * 86_400_000)
  expect(config.registration.refreshableAccessTokenLifetimeMs).toBe(300_000)
  expect(config.registration.sessionLifetimeMs).toBeUndefined()
  expect(config.workers.streamWriters.events).toEqual(['main'])
  expect(config.warnings).toEqual([])
})

test('null keeps the default of an option, but switches off what null switches off', () => {
  const config = parseConfig({ max_upload_size: null, refreshable_access_token_lifetime: null, redaction_retention_period: null })
  expect(config.media.maxUploadSizeBytes).toBe(50 * 1024 * 1024)
  expect(config.registration.refreshableAccessTokenLifetimeMs).toBeUndefined()
  expect(config.rooms.redactionRetentionPeriodMs).toBeUndefined()
})

test('a misspelt option is an error with file, line, column and the nearest name', () => {
  expect(problemsOf('server_name: a.org\nenable_registartion: true\n')).toEqual([
    'homeserver.yaml:2:1: enable_registartion: there is no such option; did you mean `enable_registration`?',
  ])
  expect(problemsOf('server_name: a.org\nrc_login:\n  adress: { per_second: 1 }\n')).toEqual([
    'homeserver.yaml:3:3: rc_login.adress: there is no such option; did you mean `address`?',
  ])
})

test('every wrong value is reported with its place, all at once', () => {
  const problems = problemsOf(
    'server_name: "b a d"\nmax_upload_size: lots\nbcrypt_rounds: 99\nsession_lifetime: [1]\nturn_uris: x\npresence: yes\n',
  )
  expect(problems).toHaveLength(6)
  expect(problems.join('\n')).toContain(
    'homeserver.yaml:2:18: max_upload_size: expected a size like 500K, 50M, 2G, or bytes, found "lots"',
  )
  expect(problems.join('\n')).toContain('homeserver.yaml:3:16: bcrypt_rounds: expected a whole number from 4 to 31, found 99')
})

test('an option of Synapse that is not supported gives one warning, one of Python only gives none', () => {
  const config = parseConfig({ oidc_providers: [], gc_thresholds: [1, 2, 3], use_frozen_dicts: true })
  expect(config.warnings).toEqual([
    'options: oidc_providers: is not supported yet; it is ignored. Remove it, or keep it for a later version',
  ])
})

test('no option is both read and listed as unsupported', () => {
  const names = CONFIG_SECTIONS.flatMap(({ options }) => Object.values(options as OptionTable).map(({ name }) => name))
  expect(names.filter((name) => OTHER_OPTIONS.has(name))).toEqual([])
  expect(new Set(names).size).toBe(names.length)
})

test('YAML is read as Python reads it: 1.1 words and numbers, merges, and a key that stands twice with a warning', () => {
  const file = write(
    'server_name: a.org\nenable_search: off\nbcrypt_rounds: 010\nfree: &free { per_second: 5, burst_count: 6 }\n'.replace(
      'free: &free',
      'rc_message: &free',
    ) + 'rc_reports:\n  <<: *free\n  burst_count: 7\nenable_search: yes\n',
  )
  const config = loadConfig([file])
  expect(config.registration.bcryptRounds).toBe(8)
  expect(config.ratelimits.rcReports).toEqual({ perSecond: 5, burstCount: 7 })
  expect(config.server.enableSearch).toBe(true)
  expect(config.warnings).toEqual([`${file}:8:1: \`enable_search\` stands twice; this one wins over line 2`])
})

test('later files override earlier ones, and a folder means its YAML files, sorted (W-19)', () => {
  mkdirSync(join(directory, 'conf.d'))
  write('server_name: first.org\nbcrypt_rounds: 5\nrc_message: { per_second: 9 }\n', 'conf.d/a.yaml')
  write('rc_message: { burst_count: 9 }\n', 'conf.d/b.yaml')
  write('nonsense: true\n', 'conf.d/c.txt')
  const config = loadConfig([join(directory, 'conf.d'), write('bcrypt_rounds: 6\n', 'last.yaml')], { enable_search: false })
  expect(config.server.serverName).toBe('first.org')
  expect(config.registration.bcryptRounds).toBe(6)
  // As in Synapse, an option of the later file replaces the whole earlier one.
  expect(config.ratelimits.rcMessage).toEqual({ perSecond: 0.2, burstCount: 9 })
  expect(config.server.enableSearch).toBe(false)
})

test('a secret can stand in a file, and its value is in no message', () => {
  const config = parseConfig({ registration_shared_secret_path: write('s3cret\n', 'secret') })
  expect(config.registration.registrationSharedSecret).toBe('s3cret')
  const problems = problemsOf({ form_secret: 12345678, macaroon_secret_key: 'a', macaroon_secret_key_path: write('b', 'other') })
  expect(problems).toHaveLength(2)
  expect(problems.join()).not.toContain('12345678')
})

test('SQLite is answered by one sentence that names the embedded database', () => {
  expect(problemsOf('server_name: a.org\ndatabase:\n  name: sqlite3\n  args: { database: /x.db }\n')).toEqual([
    'homeserver.yaml:3:9: database.name: SQLite is not supported; write `name: embedded`, and PostgreSQL comes with the program and runs by itself',
  ])
})

test('listeners: Unix sockets trust their proxy, unknown resources are errors, and manholes go with a warning (WO-24, WO-25)', () => {
  const config = parseConfig({
    listeners: [
      { path: '/run/g.sock', type: 'http', resources: [{ names: ['client'] }] },
      { port: 9000, type: 'manhole' },
      { port: 9001, type: 'metrics' },
    ],
  })
  expect(config.listeners.map(({ xForwarded, mode, tag }) => ({ xForwarded, mode, tag }))).toEqual([
    { xForwarded: true, mode: 0o666, tag: 'unix' },
    { xForwarded: false, mode: 0o666, tag: '9001' },
  ])
  expect(config.warnings).toHaveLength(1)
  expect(problemsOf({ listeners: [{ port: 1, path: '/x', type: 'http' }] })).toHaveLength(1)
  expect(problemsOf({ listeners: [{ port: 1, type: 'http', resources: [{ names: ['clients'] }] }] })).toHaveLength(1)
})

test('options that are wrong together are named', () => {
  expect(problemsOf({ enable_registration: true }).join()).toContain('enable_registration_without_verification')
  expect(problemsOf({ enable_registration: true, registration_requires_token: true })).toEqual([])
  expect(problemsOf({ stream_writers: { events: 'persister' } }).join()).toContain('instance_map')
})

test('durations and sizes are read with their units', () => {
  expect(['500', '30s', '5m', '2h', '7d', '1w', '1y'].map(parseDurationMs)).toEqual([
    500, 30_000, 300_000, 7_200_000, 604_800_000, 604_800_000, 31_536_000_000,
  ])
  expect([7, '1.5h', 'x', '', null, true].map(parseDurationMs)).toEqual([
    7,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  expect(['10', '10K', '50M', '2G', '500MiB', 5].map(parseSizeBytes)).toEqual([
    10, 10_240, 52_428_800, 2_147_483_648, 524_288_000, 5,
  ])
  expect(['-1', 'x', -1].map(parseSizeBytes)).toEqual([undefined, undefined, undefined])
})
