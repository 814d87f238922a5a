import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcrypt'
import { afterAll, beforeAll, expect, test } from 'vitest'

const BIN = join(import.meta.dirname, '..', '..', 'bin')
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'command-line-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

function run(program: string, args: readonly string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(join(BIN, program), args, { cwd: directory, input, encoding: 'utf8' })
}

test('--generate-config makes a configuration, a log configuration and a key that --generate-keys leaves alone (W-20, W-24)', () => {
  const made = run('ganglion', ['homeserver', '--generate-config', '-c', 'hs.yaml', '-H', 'example.org', '--report-stats=no'])
  expect(made).toMatchObject({ status: 0, stderr: '' })
  const key = readFileSync(join(directory, 'example.org.signing.key'), 'utf8')
  expect(key).toMatch(/^ed25519 a_\w{4} [A-Za-z0-9+/]{43}\n$/)
  expect(statSync(join(directory, 'example.org.signing.key')).mode & 0o777).toBe(0o600)
  expect(statSync(join(directory, 'hs.yaml')).mode & 0o777).toBe(0o600)
  expect(run('synapse_homeserver', ['--generate-keys', '--config-path', 'hs.yaml']).status).toBe(0)
  expect(readFileSync(join(directory, 'example.org.signing.key'), 'utf8')).toBe(key)
})

test('hash_password makes a hash of the password from the input, and export_signing_key prints public keys (W-24)', () => {
  const { stdout } = run('hash_password', ['-c', 'hs.yaml'], 'wonderland\n')
  expect(bcrypt.compareSync('wonderland', stdout.trim())).toBe(true)
  expect(run('export_signing_key', ['example.org.signing.key']).stdout).toMatch(/^ed25519:a_\w{4} [A-Za-z0-9+/]{43}\n$/)
  expect(run('ganglion', ['export-signing-key', '-x', '--expiry-ts', '5', 'example.org.signing.key']).stdout).toMatch(
    /^ {2}"ed25519:a_\w{4}": \{ key: "[A-Za-z0-9+/]{43}", expired_ts: 5 \}\n$/,
  )
})

test('a wrong configuration ends with one message and status 78, a wrong command line with the nearest word and 64', () => {
  const config = run('ganglion', ['homeserver', '-c', 'missing.yaml'])
  expect(config).toMatchObject({ status: 78, stdout: '' })
  expect(config.stderr).toContain('missing.yaml')
  expect(run('ganglion', ['homserver'])).toMatchObject({
    status: 64,
    stderr: 'ganglion: there is no command "homserver"; did you mean homeserver?\n',
  })
  expect(run('ganglion', ['homeserver', '--sever-name', 'x']).stderr).toContain('did you mean --server-name?')
})

test('--version and --help answer everywhere', () => {
  for (const args of [['--version'], ['homeserver', '--version']]) expect(run('ganglion', args).stdout).toMatch(/^ganglion \d/)
  for (const args of [['--help'], ['register-user', '--help']])
    expect(run('ganglion', args)).toMatchObject({ status: 0, stderr: '' })
})
