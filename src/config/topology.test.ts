import { expect, test } from 'vitest'
import { ConfigError } from './config-error.ts'
import { parseConfig } from './config.ts'
import { configHash, describeTopology } from './topology.ts'
import type { Topology } from './topology.ts'

/** What every shared file with workers has. */
const SHARED = {
  redis: { enabled: true },
  worker_replication_secret: 'known to all',
  instance_map: { main: { host: 'localhost', port: 9093 }, persister1: { path: '/run/persister1.sock' } },
}
const WORKER = { worker_app: 'synapse.app.generic_worker', worker_name: 'worker1' }
const REPLICATION = [{ type: 'http', port: 9100, bind_address: '127.0.0.1', resources: [{ names: ['replication'] }] }]

function topologyOf(options: Readonly<Record<string, unknown>>): Topology {
  return describeTopology(parseConfig(options))
}

function problemsOf(options: Readonly<Record<string, unknown>>): readonly string[] {
  try {
    parseConfig(options)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

function warningsOf(options: Readonly<Record<string, unknown>>): readonly string[] {
  return parseConfig(options).warnings
}

test('a configuration that speaks of no worker is a monolith that holds every role (W-01)', () => {
  const topology = topologyOf({ listeners: [{ port: 8008, type: 'http', resources: [{ names: ['client', 'federation'] }] }] })
  expect(topology).toMatchObject({ instance: 'main', kind: 'main', isMonolith: true, transport: 'local', url: undefined })
  expect(topology.listeners.map(({ port }) => port)).toEqual([8008])
  expect(topology.ownRoles).toEqual(Object.keys(topology.roles))
})

test.each([
  { redis: { enabled: true } },
  { cluster: { transport: 'postgres' } },
  { redis: { enabled: true }, instance_map: { main: { host: 'localhost', port: 9093 } } },
  { redis: { enabled: true }, run_background_tasks_on: 'worker1' },
])('what speaks of another process makes the main process one of several: %j', (options) => {
  expect(topologyOf(options).isMonolith).toBe(false)
})

test('addresses of processes are URLs, and the name master means main', () => {
  const { addresses, url } = topologyOf({
    ...SHARED,
    instance_map: {
      master: { host: 'localhost', port: 9093 },
      worker1: { host: '10.0.0.2', port: 9100, tls: true },
      worker2: { host: '::1', port: 9101 },
      worker3: { path: '/run/worker3.sock' },
    },
  })
  expect(Object.fromEntries(addresses)).toEqual({
    main: 'http://localhost:9093',
    worker1: 'https://10.0.0.2:9100',
    worker2: 'http://[::1]:9101',
    worker3: 'unix:/run/worker3.sock',
  })
  expect(url).toBe('http://localhost:9093')
})

test('a worker listens where its own file says, and is reached at its replication listener when the map leaves it out (WO-03, WO-08)', () => {
  const topology = topologyOf({
    ...SHARED,
    ...WORKER,
    listeners: [{ port: 9093, bind_address: '127.0.0.1', type: 'http', resources: [{ names: ['replication'] }] }],
    worker_listeners: REPLICATION,
    worker_log_config: '/etc/log.yaml',
    log_config: '/etc/main-log.yaml',
  })
  expect(topology).toMatchObject({
    instance: 'worker1',
    kind: 'generic_worker',
    url: 'http://127.0.0.1:9100',
    logConfig: '/etc/log.yaml',
  })
  expect(topology.listeners.map(({ port }) => port)).toEqual([9100])
  expect(topology.ownRoles).toEqual([])
})

test('roles go to whom the new options name (WO-10, WO-11, WO-12, WO-14, WO-16, WO-18, WO-21)', () => {
  const options = {
    ...SHARED,
    stream_writers: { events: ['persister1', 'main'], typing: 'persister1' },
    pusher_instances: ['pusher1', 'pusher2'],
    federation_sender_instances: ['sender1'],
    run_background_tasks_on: 'worker1',
    update_user_directory_from_worker: 'worker1',
    notify_appservices_from_worker: 'master',
  }
  const { roles, writers, ownRoles } = topologyOf({ ...options, ...WORKER })
  expect(writers.events).toEqual(['persister1', 'main'])
  expect(roles.delayed_events.preferred).toEqual(['persister1', 'main'])
  expect(roles.typing_owner.preferred).toEqual(['persister1'])
  expect(roles.presence_owner.preferred).toEqual(['main'])
  expect(roles.pusher).toEqual({ preferred: ['pusher1', 'pusher2'], isAnnounced: false })
  expect(roles.federation_sender.preferred).toEqual(['sender1'])
  expect(roles.appservice_sender.preferred).toEqual(['main'])
  expect(ownRoles).toEqual(['background_tasks', 'task_scheduler', 'db_background_updates', 'stats', 'user_directory'])
})

test.each([
  ['synapse.app.pusher', 'start_pushers', 'pusher'],
  ['synapse.app.federation_sender', 'send_federation', 'federation_sender'],
  ['synapse.app.appservice', 'notify_appservices', 'appservice_sender'],
  ['synapse.app.user_dir', 'update_user_directory', 'user_directory'],
  ['synapse.app.media_repository', 'enable_media_repo', 'media_jobs'],
] as const)('%s does the work that %s: false takes from the main process (W-08, W-10, W-12, W-13, W-14)', (app, option, role) => {
  const shared = { ...SHARED, [option]: false }
  expect(topologyOf(shared).roles[role]).toEqual({ preferred: [], isAnnounced: true })
  const worker = topologyOf({ ...shared, worker_app: app, worker_name: 'old1' })
  expect(worker.roles[role]).toEqual({ preferred: ['old1'], isAnnounced: true })
  expect(worker.ownRoles).toEqual([role])
})

test.each(['client_reader', 'event_creator', 'federation_reader', 'frontend_proxy', 'synchrotron'])(
  'synapse.app.%s is a generic worker (W-05, W-06, W-07, W-09, W-11)',
  (app) => {
    expect(topologyOf({ ...SHARED, worker_app: `synapse.app.${app}`, worker_name: 'x' }).kind).toBe('generic_worker')
  },
)

test('media is served where it is not switched off: a media worker serves it always (W-14, WO-20)', () => {
  const shared = { ...SHARED, enable_media_repo: false }
  expect(topologyOf(shared).servesMedia).toBe(false)
  expect(topologyOf({ ...shared, ...WORKER }).servesMedia).toBe(false)
  expect(topologyOf({ ...shared, worker_app: 'synapse.app.media_repository', worker_name: 'm' }).servesMedia).toBe(true)
  expect(topologyOf({ ...shared, ...WORKER, enable_media_repo: true }).servesMedia).toBe(true)
})

test('worker_app: synapse.app.homeserver is the main process (W-03, WO-01)', () => {
  expect(topologyOf({ worker_app: 'synapse.app.homeserver' })).toMatchObject({ instance: 'main', isMonolith: true })
})

test('old worker files name the main process themselves: understood, with a warning for each option (WO-05, WO-06)', () => {
  const old = {
    ...WORKER,
    redis: { enabled: true },
    worker_replication_host: '127.0.0.1',
    worker_replication_http_port: 9093,
    worker_main_http_uri: 'http://localhost:8008',
  }
  expect(topologyOf(old).addresses.get('main')).toBe('http://127.0.0.1:9093')
  const warnings = warningsOf(old)
  expect(warnings).toHaveLength(3)
  expect(warnings.join()).toMatch(/worker_main_http_uri.*worker_replication_host.*worker_replication_http_port/)
})

test('without a secret, a replication listener on no address of its own is open to this machine only (WO-07, WO-28)', () => {
  const options = {
    ...WORKER,
    ...SHARED,
    worker_replication_secret: '',
    worker_listeners: [{ type: 'http', port: 8034, resources: [{ names: ['replication'] }] }],
  }
  expect(topologyOf(options).listeners[0]?.bindAddresses).toEqual(['127.0.0.1', '::1'])
  expect(warningsOf(options).join()).toContain('worker_replication_secret')
  const safe = { ...options, worker_replication_secret: 'known to all' }
  expect(topologyOf(safe).listeners[0]?.bindAddresses).toEqual(['::', '0.0.0.0'])
  expect(warningsOf(safe)).toEqual([])
})

test('processes agree when what they share is the same, whatever stands in their own files', () => {
  const main = parseConfig(SHARED)
  expect(configHash(parseConfig({ ...SHARED, ...WORKER, worker_listeners: REPLICATION }))).toBe(configHash(main))
  expect(configHash(parseConfig({ ...SHARED, stream_writers: { events: 'persister1' } }))).not.toBe(configHash(main))
  expect(configHash(parseConfig({ ...SHARED, worker_replication_secret: 'another' }))).not.toBe(configHash(main))
})

const MIXED: readonly [string, Readonly<Record<string, unknown>>, RegExp][] = [
  [
    'an unknown app',
    { ...SHARED, ...WORKER, worker_app: 'synapse.app.genric_worker' },
    /worker_app: .*did you mean `synapse.app.generic_worker`/,
  ],
  ['the offline tool', { ...SHARED, ...WORKER, worker_app: 'synapse.app.admin_cmd' }, /worker_app: .*use the admin API/],
  ['a worker called like the main process', { ...SHARED, ...WORKER, worker_name: 'main' }, /worker_name: .*choose another/],
  ['a name without an app', { ...SHARED, worker_name: 'worker1' }, /worker_name: .*worker_app/],
  ["a worker's listeners at the main process", { worker_listeners: REPLICATION }, /worker_listeners: .*`listeners`/],
  [
    'a writer that nobody knows',
    { ...SHARED, stream_writers: { events: ['persister1', 'persister2'] } },
    /stream_writers: events names persister2.*instance_map/,
  ],
  [
    'a writer twice',
    { ...SHARED, stream_writers: { events: ['persister1', 'persister1'] } },
    /stream_writers: events names persister1 twice/,
  ],
  [
    'a stream that is none',
    { ...SHARED, stream_writers: { event: 'persister1' } },
    /stream_writers.event: .*did you mean `events`/,
  ],
  ['no address of the main process', { ...WORKER, redis: { enabled: true } }, /instance_map: .*add `main`/],
  ['half an address', { ...SHARED, instance_map: { main: { host: 'localhost' } } }, /instance_map: main needs a host and a port/],
  [
    'a writer that cannot be reached',
    { ...SHARED, ...WORKER, worker_name: 'persister1', stream_writers: { events: 'persister1' } },
    /worker_listeners: persister1 writes events.*replication/,
  ],
  ['no Redis', { ...SHARED, ...WORKER, redis: { enabled: false } }, /worker_app: Redis is not enabled.*cluster/],
  ['no Redis, seen by the main process', { ...SHARED, redis: {} }, /redis: Redis is not enabled/],
  ['Redis wanted and not enabled', { cluster: { transport: 'redis' } }, /cluster: Redis is not enabled/],
  [
    'replication open to the world',
    {
      ...SHARED,
      ...WORKER,
      worker_replication_secret: undefined,
      worker_listeners: [{ ...REPLICATION[0], bind_address: '0.0.0.0' }],
    },
    /worker_listeners: replication listens on 0.0.0.0.*worker_replication_secret/,
  ],
  [
    'replication beside client requests without a secret',
    {
      ...SHARED,
      worker_replication_secret: '',
      listeners: [{ port: 8008, type: 'http', resources: [{ names: ['client', 'replication'] }] }],
    },
    /listeners: replication listens on .*worker_replication_secret/,
  ],
  [
    'senders that nobody knows',
    { ...SHARED, outbound_federation_restricted_to: ['sender1'] },
    /outbound_federation_restricted_to: names sender1/,
  ],
  [
    'asking others for requests to the outside, without a secret',
    { ...SHARED, worker_replication_secret: '', outbound_federation_restricted_to: ['persister1'] },
    /outbound_federation_restricted_to: needs `worker_replication_secret`/,
  ],
  [
    'a pusher beside a main process that pushes',
    { ...SHARED, worker_app: 'synapse.app.pusher', worker_name: 'p' },
    /worker_app: .*start_pushers: false.*pusher_instances: p/,
  ],
  [
    'a pusher that is not in the list',
    { ...SHARED, worker_app: 'synapse.app.pusher', worker_name: 'p', pusher_instances: ['q'] },
    /worker_app: .*names q: add p/,
  ],
  [
    'the main process and a worker both named for app services',
    { ...SHARED, notify_appservices: true, notify_appservices_from_worker: 'worker1' },
    /notify_appservices: .*names worker1: remove notify_appservices/,
  ],
  [
    'nobody and the main process both named for the user directory',
    { ...SHARED, update_user_directory: false, update_user_directory_from_worker: 'main' },
    /update_user_directory: .*remove update_user_directory/,
  ],
  [
    'no pushes from the main process, and from it',
    { ...SHARED, start_pushers: false, pusher_instances: ['main'] },
    /start_pushers: .*remove start_pushers/,
  ],
  [
    'media jobs where there is no media',
    { ...SHARED, ...WORKER, enable_media_repo: false, media_instance_running_background_jobs: 'worker1' },
    /media_instance_running_background_jobs: .*enable_media_repo: true/,
  ],
  [
    'two ports of the main process',
    { ...SHARED, ...WORKER, worker_replication_host: 'localhost', worker_replication_http_port: 9094 },
    /worker_replication_http_port: says 9094.*9093/,
  ],
]

test.each(MIXED)('%s is an error in one line that says what to change', (_, options, expected) => {
  const problems = problemsOf(options)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toMatch(expected)
  expect(problems[0]).not.toContain('\n')
})

test.each([
  { ...SHARED, notify_appservices: false, notify_appservices_from_worker: 'worker1' },
  { ...SHARED, start_pushers: false, pusher_instances: ['worker1'] },
  { ...SHARED, send_federation: true, federation_sender_instances: ['worker1'] },
  { ...SHARED, pusher_instances: ['p'], worker_app: 'synapse.app.pusher', worker_name: 'p' },
  { ...SHARED, redis: {}, cluster: { transport: 'postgres' } },
])('old and new form that say the same are fine: %j', (options) => {
  expect(problemsOf(options)).toEqual([])
})

test('a worker without a name is called like its app, and told to get one (WO-02)', () => {
  const options = { ...SHARED, worker_app: 'synapse.app.synchrotron' }
  expect(topologyOf(options).instance).toBe('synapse.app.synchrotron')
  expect(warningsOf(options).join()).toContain('worker_name')
})
