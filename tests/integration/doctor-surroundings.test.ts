import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest'
import { loadConfig } from '../../src/config/config.ts'
import { configHash } from '../../src/config/topology.ts'
import { examine } from '../../src/process/doctor/doctor.ts'
import { probe } from '../../src/process/doctor/http-probe.ts'
import type { ProbeAnswer } from '../../src/process/doctor/http-probe.ts'
import { DOCTOR_HEADER } from '../../src/http/http-server.ts'
import type { Network } from '../../src/process/doctor/network-checks.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { systemClock } from '../../src/util/clock.ts'
import { findFreePort } from '../kit/stub-process.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const SECRET = 'a long text that nobody guesses'
const DATABASE = 'doctor_surroundings'

let directory: string
let database: DatabaseOptions
let redis: ChildProcess
let redisPort: number
/** What each replication listener says when it is pinged with the right secret. */
let pings: { main: object; worker1: object }
const servers: Server[] = []
const ports: number[] = []

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ganglion-doctor-'))
  mkdirSync(join(directory, 'workers'))
  database = await createTestDatabase(inject('postgres'), DATABASE)
  redisPort = await findFreePort()
  redis = spawn('redis-server', ['--port', String(redisPort), '--save', '', '--dir', directory], { stdio: 'ignore' })
  for (const name of ['main', 'worker1'] as const) {
    const server = createServer((request, response) => {
      const isAuthorized = request.headers.authorization === `Bearer ${SECRET}`
      const isPing = request.method === 'POST' && request.url === '/_synapse/replication/r1/doctor.ping'
      response.writeHead(!isPing ? 404 : isAuthorized ? 200 : 401, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isPing && isAuthorized ? pings[name] : { code: 'unauthorized' }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    servers.push(server)
    ports.push((server.address() as AddressInfo).port)
  }
  const client = new Redis({ port: redisPort, lazyConnect: true, retryStrategy: () => 50 })
  client.on('error', () => undefined)
  await client.connect().catch(() => undefined)
  while (client.status !== 'ready') await sleep(50)
  client.disconnect()
})
afterAll(async () => {
  for (const server of servers) server.close()
  redis.kill('SIGTERM')
  await new Promise((resolve) => redis.once('exit', resolve))
  await dropTestDatabase(inject('postgres'), DATABASE)
  rmSync(directory, { recursive: true })
})

interface Settings {
  readonly secret?: string
  readonly redis?: string
  readonly workerPort?: number
  readonly connectionsMax?: number
  readonly serverName?: string
  readonly baseUrl?: string
}

function writeFiles({
  secret = SECRET,
  redis: other,
  workerPort,
  connectionsMax = 5,
  serverName = 'localhost',
  baseUrl,
}: Settings): void {
  const [mainPort = 0, port = 0] = ports
  const shared = `server_name: ${serverName}
public_baseurl: ${baseUrl ?? 'https://matrix.example.com/'}
media_store_path: ${directory}
listeners:
  - { type: http, port: 8008, bind_addresses: ['127.0.0.1'], x_forwarded: true, resources: [{ names: [client, federation] }] }
  - { type: http, port: ${mainPort}, bind_addresses: ['127.0.0.1'], resources: [{ names: [replication] }] }
worker_replication_secret: ${secret}
redis: { enabled: true, ${other ?? `port: ${redisPort}`} }
instance_map:
  main: { host: 127.0.0.1, port: ${mainPort} }
  worker1: { host: 127.0.0.1, port: ${workerPort ?? port} }
database: { name: psycopg2, args: { database: ${DATABASE}, cp_max: ${connectionsMax} } }
`
  writeFileSync(join(directory, 'shared.yaml'), shared)
  writeFileSync(
    join(directory, 'workers', 'worker1.yaml'),
    `worker_app: synapse.app.generic_worker
worker_name: worker1
worker_listeners:
  - { type: http, port: ${workerPort ?? port}, bind_addresses: ['127.0.0.1'], resources: [{ names: [replication] }] }
  - { type: http, port: 8009, bind_addresses: ['127.0.0.1'], x_forwarded: true, resources: [{ names: [client] }] }
`,
  )
}

function json(value: unknown, headers: Record<string, string> = {}): ProbeAnswer {
  return { status: 200, headers, text: JSON.stringify(value) }
}

/** An Internet in which everything is right; replication and the like are asked for real. */
const INTERNET: Network = {
  probe: (request) => {
    if (request.url.endsWith('/.well-known/matrix/client'))
      return Promise.resolve(json({ 'm.homeserver': { base_url: 'https://matrix.example.com' } }))
    if (request.url.endsWith('/.well-known/matrix/server')) return Promise.resolve(json({ 'm.server': 'matrix.example.com:443' }))
    return probe(request)
  },
  resolve: () => Promise.resolve(['203.0.113.1']),
  hasServiceRecord: () => Promise.resolve(false),
}

async function findingsOf(settings: Settings, options: { network?: Network; isProxyAsked?: boolean } = {}): Promise<string[]> {
  writeFiles(settings)
  const findings = await examine({
    shared: [join(directory, 'shared.yaml')],
    workersDirectory: join(directory, 'workers'),
    isOffline: false,
    isProxyAsked: options.isProxyAsked ?? false,
    clock: systemClock,
    connectionOf: () => database,
    network: options.network ?? INTERNET,
  })
  // Tests do without durability.
  return findings
    .map(({ severity, text }) => `${severity} ${text.replaceAll(`${directory}/`, '')}`)
    .filter((text) => !/`(fsync|synchronous_commit|full_page_writes)` is off|a commit takes/.test(text))
}

beforeEach(() => {
  writeFiles({})
  const hash = configHash(loadConfig([join(directory, 'shared.yaml')]))
  const ping = { boot: 'b', version: '1', isDraining: false, configHash: hash }
  pings = { main: { ...ping, instance: 'main' }, worker1: { ...ping, instance: 'worker1' } }
})

test('where all is well, nothing is found', async () => {
  expect(await findingsOf({})).toEqual([])
})

test('a process that does not answer is found', async () => {
  const workerPort = await findFreePort()
  const findings = await findingsOf({ workerPort })
  expect(findings).toContainEqual(
    expect.stringMatching(
      /^error shared\.yaml:11:3: instance_map\.worker1: nobody answers at http:\/\/127\.0\.0\.1:\d+ .*start worker1/,
    ),
  )
})

test('a secret that the processes do not know is found', async () => {
  expect(await findingsOf({ secret: 'another text that nobody guesses' })).toContainEqual(
    expect.stringMatching(/^error shared\.yaml:10:3: instance_map\.main: .* refuses our `worker_replication_secret`/),
  )
})

test('another process behind the port, one that is about to stop and one with an older configuration are found', async () => {
  pings = { main: { ...pings.main, instance: 'worker7' }, worker1: { ...pings.worker1, configHash: 'old', isDraining: true } }
  expect(await findingsOf({})).toEqual([
    expect.stringMatching(/^error shared\.yaml:10:3: instance_map\.main: behind .* is worker7, not main/) as string,
    expect.stringMatching(/^error shared\.yaml:11:3: instance_map\.worker1: worker1 runs with another configuration/) as string,
    expect.stringMatching(/^warning shared\.yaml:11:3: instance_map\.worker1: worker1 is about to stop/) as string,
  ])
})

test('a listener of something else is found', async () => {
  const stranger = createServer((_request, response) => response.end('hello'))
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
  const findings = await findingsOf({ workerPort: (stranger.address() as AddressInfo).port })
  stranger.close()
  expect(findings).toContainEqual(
    expect.stringMatching(/^error .*instance_map\.worker1: what answers at .* is no replication listener/),
  )
})

test('a Redis that is away, throws keys away, or is shared is found', async () => {
  const port = await findFreePort()
  expect(await findingsOf({ redis: `port: ${port}` })).toContainEqual(
    expect.stringMatching(/^error shared\.yaml:8:1: redis: Redis cannot be reached \(.*ECONNREFUSED/),
  )
  const client = new Redis({ port: redisPort })
  await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await client.set('other', 'program')
  const findings = await findingsOf({})
  await client.flushall()
  await client.config('SET', 'maxmemory-policy', 'noeviction')
  client.disconnect()
  expect(findings).toContainEqual(expect.stringMatching(/^warning shared\.yaml:8:1: redis: .*maxmemory-policy allkeys-lru/))
  expect(findings).toContainEqual(expect.stringMatching(/^warning shared\.yaml:8:1: redis: database 0 holds 1 keys/))
})

test('more connections than PostgreSQL allows are found', async () => {
  expect(await findingsOf({ connectionsMax: 5000 })).toContainEqual(
    expect.stringMatching(/^error shared\.yaml:12:1: database: 2 processes may open 10004 connections/),
  )
})

test('a database that cannot be reached is found', async () => {
  const right = database
  database = { ...database, database: 'no_such_database' }
  const findings = await findingsOf({})
  database = right
  expect(findings).toContainEqual(
    expect.stringMatching(/^error shared\.yaml:12:1: database: PostgreSQL cannot be used \(.*no_such_database/),
  )
})

test('a name without an address, and a well-known file that says otherwise, are found', async () => {
  const network: Network = {
    ...INTERNET,
    resolve: () => Promise.reject(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' })),
    probe: (request) =>
      request.url.endsWith('/.well-known/matrix/client')
        ? Promise.resolve(json({ 'm.homeserver': { base_url: 'https://other.example.com' } }))
        : request.url.endsWith('/.well-known/matrix/server')
          ? Promise.resolve({ status: 404, headers: {}, text: '' })
          : probe(request),
  }
  const findings = await findingsOf({ serverName: 'example.com' }, { network })
  expect(findings).toContainEqual(
    expect.stringMatching(/^error shared\.yaml:1:1: server_name: example\.com has no address in DNS/),
  )
  expect(findings).toContainEqual(
    expect.stringMatching(/^error shared\.yaml:2:1: public_baseurl: .* says https:\/\/other\.example\.com/),
  )
  expect(await findingsOf({ baseUrl: 'http://matrix.example.com/' })).toContainEqual(
    expect.stringMatching(/^warning shared\.yaml:2:1: public_baseurl: is not https/),
  )
})

test('requests through the proxy that land nowhere, at a dead process or at the wrong one are found', async () => {
  const behaviour: Readonly<Record<string, ProbeAnswer>> = {
    '/_matrix/client/v3/login': { status: 404, headers: {}, text: '<html>nginx</html>' },
    '/_matrix/client/v3/sync': { status: 502, headers: {}, text: '{}' },
    '/_matrix/client/v3/pushrules/': json({}, { 'x-ganglion-process': 'worker9' }),
  }
  const asked: string[] = []
  const network: Network = {
    ...INTERNET,
    probe: (request) => {
      const url = new URL(request.url)
      if (url.hostname !== 'matrix.example.com') return INTERNET.probe(request)
      expect(request.headers).toHaveProperty(DOCTOR_HEADER)
      asked.push(url.pathname)
      return Promise.resolve(behaviour[url.pathname] ?? json({ errcode: 'M_MISSING_TOKEN' }))
    },
  }
  const findings = await findingsOf({}, { network, isProxyAsked: true })
  expect(asked.length).toBeGreaterThan(10)
  expect(findings).toContainEqual(
    expect.stringMatching(/^error https:\/\/matrix\.example\.com\/_matrix\/client\/v3\/sync: status 502/),
  )
  expect(findings).toContainEqual(
    expect.stringMatching(/^error .*v3\/login: status 404, and no Matrix answer: the proxy does not pass login on/),
  )
  expect(findings).toContainEqual(
    expect.stringMatching(/^warning .*pushrules\/: push_rules landed at worker9, and belongs to worker1 or main/),
  )
  expect(findings).toHaveLength(3)
})
