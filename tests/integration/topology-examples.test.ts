import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { loadConfig } from '../../src/config/config.ts'
import { findDisagreements } from '../../src/config/topology-together.ts'
import { configHash, describeTopology } from '../../src/config/topology.ts'
import type { Topology } from '../../src/config/topology.ts'

// The set-ups of Synapse's documentation of workers (docs/workers.md, docs/systemd-with-workers, the worker chapters of its configuration
// manual), with the same options and values.
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'topology-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

const HOMESERVER = `
server_name: example.org
signing_key: ed25519 a_test AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
database: { name: psycopg2, args: { database: synapse } }
listeners:
  - port: 8008
    type: http
    x_forwarded: true
    bind_addresses: ['127.0.0.1']
    resources:
      - names: [client, federation]
  - port: 9093
    bind_address: '127.0.0.1'
    type: http
    resources:
      - names: [replication]
`
const REDIS = `
worker_replication_secret: ""
redis:
    enabled: true
`
const MAIN_MAP = `
instance_map:
    main:
        host: 'localhost'
        port: 9093
`

let fileCount = 0
function write(text: string): string {
  const path = join(directory, `${fileCount++}.yaml`)
  writeFileSync(path, text)
  return path
}

function read(...texts: readonly string[]): { topology: Topology; warnings: readonly string[]; hash: string } {
  const config = loadConfig([write(HOMESERVER + REDIS), ...texts.map(write)])
  return { topology: describeTopology(config), warnings: config.warnings, hash: configHash(config) }
}

const GENERIC_WORKER = `
worker_app: synapse.app.generic_worker
worker_name: generic_worker1
worker_listeners:
  - type: http
    port: 8083
    x_forwarded: true
    resources:
      - names: [client, federation]
worker_log_config: /etc/matrix-synapse/generic-worker-log.yaml
`

test('the shared file with a replication listener, Redis and the main process in the map is a main process', () => {
  const { topology, warnings } = read(MAIN_MAP)
  expect(topology).toMatchObject({
    instance: 'main',
    kind: 'main',
    isMonolith: false,
    transport: 'redis',
    url: 'http://localhost:9093',
  })
  expect(topology.listeners).toHaveLength(2)
  expect(warnings).toEqual([])
})

test('a generic worker beside it (W-04)', () => {
  const { topology, warnings, hash } = read(MAIN_MAP, GENERIC_WORKER)
  expect(topology).toMatchObject({
    instance: 'generic_worker1',
    kind: 'generic_worker',
    logConfig: '/etc/matrix-synapse/generic-worker-log.yaml',
    servesMedia: true,
  })
  expect(topology.listeners).toMatchObject([
    { port: 8083, xForwarded: true, bindAddresses: ['::', '0.0.0.0'], resources: [{ names: ['client', 'federation'] }] },
  ])
  expect(topology.addresses.get('main')).toBe('http://localhost:9093')
  expect(warnings).toEqual([])
  expect(hash).toBe(read(MAIN_MAP).hash)
})

const PERSISTER_MAP = `
instance_map:
    main:
        host: localhost
        port: 8030
    event_persister1:
        host: localhost
        port: 8034
stream_writers:
    events: event_persister1
`
const PERSISTER = `
worker_app: synapse.app.generic_worker
worker_name: event_persister1
worker_listeners:
  - type: http
    port: 8034
    resources:
      - names: [replication]
worker_log_config: /etc/matrix-synapse/event-persister-log.yaml
`

test('a stream writer for events: the others reach it, and without a secret nobody else does', () => {
  const { topology } = read(PERSISTER_MAP, PERSISTER)
  expect(topology.url).toBe('http://localhost:8034')
  expect(topology.writers).toMatchObject({ events: ['event_persister1'], typing: ['main'] })
  expect(topology.ownRoles).toEqual(['partial_state_resync', 'delayed_events', 'event_expiry', 'retention'])
  expect(topology.listeners[0]?.bindAddresses).toEqual(['127.0.0.1', '::1'])
  expect(read(PERSISTER_MAP).topology.ownRoles).not.toContain('delayed_events')
})

test('two event persisters (W-15, ST-01)', () => {
  const { topology } = read(`
instance_map:
    main: { host: localhost, port: 8030 }
    event_persister1: { host: localhost, port: 8034 }
    event_persister2: { host: localhost, port: 8035 }
stream_writers:
    events:
        - event_persister1
        - event_persister2
`)
  expect(topology.writers.events).toEqual(['event_persister1', 'event_persister2'])
})

test('one worker for two streams, and instances on Unix sockets (W-17, WO-25)', () => {
  const shared = `
instance_map:
  main:
    path: /run/synapse/main_replication.sock
  worker1:
    path: /run/synapse/worker1_replication.sock
stream_writers:
  events: worker1
  typing: worker1
`
  const { topology } = read(
    shared,
    `
worker_app: synapse.app.generic_worker
worker_name: worker1
worker_listeners:
- type: http
  path: /run/synapse/worker1_replication.sock
  resources:
  - names:
    - replication
- type: http
  path: /run/synapse/worker_public.sock
  resources:
  - names:
    - client
    - federation
`,
  )
  expect(topology.url).toBe('unix:/run/synapse/worker1_replication.sock')
  expect(topology.addresses.get('main')).toBe('unix:/run/synapse/main_replication.sock')
  expect(topology.roles.typing_owner.preferred).toEqual(['worker1'])
  expect(topology.listeners.map(({ xForwarded }) => xForwarded)).toEqual([true, true])
})

test('outbound requests through senders only (WO-26)', () => {
  const { topology } = read(`
instance_map:
    main:
        host: localhost
        port: 8030
    federation_sender1:
        host: localhost
        port: 8034
outbound_federation_restricted_to:
  - federation_sender1
worker_replication_secret: "secret_secret"
`)
  expect(topology.outboundFederationVia).toEqual(['federation_sender1'])
})

test('a background worker has no listeners, and the background roles (W-16)', () => {
  const worker = `
worker_app: synapse.app.generic_worker
worker_name: background_worker
worker_log_config: /etc/matrix-synapse/background-worker-log.yaml
`
  const { topology } = read(`${MAIN_MAP}\nrun_background_tasks_on: background_worker\n`, worker)
  expect(topology.listeners).toEqual([])
  expect(topology.ownRoles).toEqual(['background_tasks', 'task_scheduler', 'db_background_updates', 'stats'])
})

test('one worker for the user directory and for app services (W-12, W-13)', () => {
  const shared = `${MAIN_MAP}
update_user_directory_from_worker: generic_worker1
notify_appservices_from_worker: generic_worker1
`
  expect(read(shared, GENERIC_WORKER).topology.ownRoles).toEqual(['user_directory', 'appservice_sender'])
  const main = read(shared).topology.ownRoles
  expect(main).not.toContain('user_directory')
  expect(main).not.toContain('appservice_sender')
})

test.each([
  ['synapse.app.pusher', 'start_pushers', 'pusher_instances', 'pusher', 'pusher_worker'],
  ['synapse.app.federation_sender', 'send_federation', 'federation_sender_instances', 'federation_sender', 'federation_sender'],
] as const)('%s: by the switch, by the list, and by both', (app, option, list, role, name) => {
  const worker = `worker_app: ${app}\nworker_name: ${name}1\nworker_log_config: /etc/matrix-synapse/log.yaml\n`
  const names = `${list}:\n    - ${name}1\n    - ${name}2\n`
  expect(read(`${MAIN_MAP}${option}: false\n`, worker).topology.ownRoles).toEqual([role])
  for (const shared of [names, `${option}: false\n${names}`]) {
    const { topology } = read(`${MAIN_MAP}${shared}`, worker)
    expect(topology.ownRoles).toEqual([role])
    expect(topology.roles[role]).toEqual({ preferred: [`${name}1`, `${name}2`], isAnnounced: false })
    expect(read(`${MAIN_MAP}${shared}`).topology.ownRoles).not.toContain(role)
  }
})

test('a media worker, alone and as one of two', () => {
  const worker = `
worker_app: synapse.app.media_repository
worker_name: media_worker
worker_listeners:
  - type: http
    port: 8085
    x_forwarded: true
    resources:
      - names: [media]
worker_log_config: /etc/matrix-synapse/media-worker-log.yaml
`
  const alone = read(`${MAIN_MAP}enable_media_repo: False\n`, worker).topology
  expect(alone).toMatchObject({ servesMedia: true, ownRoles: ['media_jobs'] })
  const second = read(
    `${MAIN_MAP}enable_media_repo: False\nmedia_instance_running_background_jobs: "media-repository-1"\n`,
    worker,
  )
  expect(second.topology).toMatchObject({ servesMedia: true, ownRoles: [] })
  expect(read(`${MAIN_MAP}enable_media_repo: False\n`).topology.servesMedia).toBe(false)
})

test('app services and the user directory in their deprecated form (WO-13, WO-15)', () => {
  for (const [app, option, role] of [
    ['appservice', 'notify_appservices', 'appservice_sender'],
    ['user_dir', 'update_user_directory', 'user_directory'],
  ] as const) {
    const worker = `worker_app: synapse.app.${app}\nworker_name: ${app}1\n`
    expect(read(`${MAIN_MAP}${option}: False\n`, worker).topology.ownRoles).toEqual([role])
  }
})

test('secrets and Redis by files, and a pid file as synctl wants it (WO-09, WO-27)', () => {
  const secret = write('known to all\n')
  const password = write('of redis\n')
  const shared = write(`
${HOMESERVER}${MAIN_MAP}
worker_replication_secret_path: ${secret}
redis:
  enabled: true
  host: localhost
  port: 6379
  password_path: ${password}
  dbid: 3
`)
  const config = loadConfig([
    shared,
    write(`${GENERIC_WORKER}\nworker_pid_file: /home/matrix/synapse/worker1.pid\nworker_daemonize: true\n`),
  ])
  expect(config.workers.workerReplicationSecret).toBe('known to all')
  expect(config.workers.redis).toMatchObject({ enabled: true, password: 'of redis' })
  expect(describeTopology(config).pidFile).toBe('/home/matrix/synapse/worker1.pid')
  expect(describeTopology(loadConfig([shared, write('worker_app: synapse.app.homeserver\n')])).kind).toBe('main')
})

test('listeners of a worker for metrics and health, and a manhole that is left out with a warning (WO-22)', () => {
  const { topology, warnings } = read(
    MAIN_MAP,
    `
worker_app: synapse.app.generic_worker
worker_name: w
worker_manhole: 9000
worker_listeners:
  - { type: metrics, port: 9101, bind_address: 127.0.0.1 }
  - { type: http, port: 8081, resources: [{ names: [health] }] }
  - { type: http, port: 8082, resources: [{ names: [metrics] }] }
  - { type: manhole, port: 9001 }
`,
  )
  expect(topology.listeners.map(({ type, port }) => [type, port])).toEqual([
    ['metrics', 9101],
    ['http', 8081],
    ['http', 8082],
  ])
  expect(warnings).toHaveLength(2)
})

test("a folder of files is read in order, and the signing key's default place is beside the shared file", () => {
  const folder = join(directory, 'conf.d')
  mkdirSync(folder)
  writeFileSync(join(folder, '1.yaml'), MAIN_MAP)
  writeFileSync(join(folder, '2.yaml'), 'run_background_tasks_on: generic_worker1\n')
  const workers = join(directory, 'workers')
  mkdirSync(workers)
  const worker = join(workers, 'generic_worker1.yaml')
  writeFileSync(worker, GENERIC_WORKER)
  const config = loadConfig([write(HOMESERVER + REDIS), folder, worker])
  expect(config.workers.runBackgroundTasksOn).toBe('generic_worker1')
  expect(config.directory).toBe(folder)
})

test('files side by side: names and ports used twice, and shared options in a worker file, are found', () => {
  const shared = write(HOMESERVER + REDIS + MAIN_MAP)
  const load = (file: string, text: string) => ({ file, config: loadConfig([shared, write(text)]) })
  const main = { file: 'homeserver.yaml', config: loadConfig([shared]) }
  const first = load('a.yaml', GENERIC_WORKER)
  expect(findDisagreements([main, first])).toEqual([])
  expect(findDisagreements([main, first, load('b.yaml', GENERIC_WORKER)])).toEqual([
    expect.stringMatching(/^b.yaml: worker_name: .*a.yaml are both called generic_worker1/),
    expect.stringMatching(/^b.yaml: worker_listeners: port 8083 is taken by generic_worker1 \(a.yaml\)/),
  ])
  const different = load('c.yaml', 'worker_app: synapse.app.generic_worker\nworker_name: c\nrun_background_tasks_on: c\n')
  expect(findDisagreements([main, different])).toEqual([expect.stringMatching(/^c.yaml: run_background_tasks_on: differs from/)])
})

test('a contradiction names file, line and option', () => {
  const shared = write(`${HOMESERVER}${REDIS}${MAIN_MAP}`)
  const worker = write('worker_app: synapse.app.generic_worker\nworker_name: master\n')
  expect(() => loadConfig([shared, worker])).toThrow(ConfigError)
  expect(() => loadConfig([shared, worker])).toThrow(`${worker}:2:14: worker_name: `)
})
