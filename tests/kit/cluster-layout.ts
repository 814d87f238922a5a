import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseOptions } from '../../src/storage/database.ts'

/** One worker of a layout: its `worker_app`, and what its public listener serves. */
export interface LayoutWorker {
  readonly name: string
  readonly app: string
  readonly resources: readonly string[]
}

/** Who is there and who does what; `main` is always there. */
export interface Layout {
  readonly workers: readonly LayoutWorker[]
  /** Options of the shared file that divide the work. */
  readonly shared: Readonly<Record<string, unknown>>
}

const GENERIC = 'synapse.app.generic_worker'
const STREAMS_OF_ONE = ['typing', 'to_device', 'account_data', 'receipts', 'presence', 'push_rules', 'device_lists']

/** The full layout: every role on a process of its own. */
export const FULL_LAYOUT: Layout = {
  workers: [
    { name: 'generic1', app: GENERIC, resources: ['client', 'federation'] },
    { name: 'generic2', app: GENERIC, resources: ['client', 'federation'] },
    { name: 'persister1', app: GENERIC, resources: [] },
    { name: 'persister2', app: GENERIC, resources: [] },
    { name: 'streams1', app: GENERIC, resources: ['client'] },
    { name: 'background1', app: GENERIC, resources: [] },
    { name: 'media1', app: 'synapse.app.media_repository', resources: ['media'] },
    { name: 'pusher1', app: GENERIC, resources: [] },
    { name: 'sender1', app: GENERIC, resources: [] },
  ],
  shared: {
    stream_writers: {
      events: ['persister1', 'persister2'],
      ...Object.fromEntries(STREAMS_OF_ONE.map((stream) => [stream, 'streams1'])),
    },
    run_background_tasks_on: 'background1',
    update_user_directory_from_worker: 'background1',
    notify_appservices_from_worker: 'background1',
    pusher_instances: ['pusher1'],
    federation_sender_instances: ['sender1'],
    enable_media_repo: false,
    media_instance_running_background_jobs: 'media1',
  },
}

/** The full layout, with a public listener for those who have none: they serve hardly anything, and hand on all else. */
export const LISTENING_LAYOUT: Layout = {
  ...FULL_LAYOUT,
  workers: FULL_LAYOUT.workers.map((worker) => (worker.resources.length > 0 ? worker : { ...worker, resources: ['static'] })),
}

/** A small one: main, a generic worker, two event persisters. */
export const SMALL_LAYOUT: Layout = {
  workers: [
    { name: 'generic1', app: GENERIC, resources: ['client', 'federation', 'media'] },
    { name: 'persister1', app: GENERIC, resources: ['client'] },
    { name: 'persister2', app: GENERIC, resources: ['client'] },
  ],
  shared: { stream_writers: { events: ['persister1', 'persister2'] } },
}

/** The configuration files of a cluster on this machine; processes reach each other by Unix sockets. */
export interface ClusterFiles {
  readonly shared: string
  readonly workersDirectory: string
  /** A worker's file by its name; nothing for `main`. */
  fileOf(name: string): string | undefined
  /** Where a process serves clients: a Unix socket. */
  publicSocketOf(name: string): string
}

const CONNECTIONS_MAX = 4

/** Writes the files of a cluster. `config` stands in the shared one. */
export async function writeClusterFiles(options: {
  readonly directory: string
  readonly layout: Layout
  readonly config: Readonly<Record<string, unknown>>
  readonly databaseOptions: DatabaseOptions
  readonly redisSocket: string
}): Promise<ClusterFiles> {
  const { directory, layout, databaseOptions } = options
  const workersDirectory = join(directory, 'workers')
  const replicationSocketOf = (name: string): string => join(directory, `${name}.r`)
  const publicSocketOf = (name: string): string => join(directory, `${name}.s`)
  const fileOf = (name: string): string | undefined => (name === 'main' ? undefined : join(workersDirectory, `${name}.yaml`))
  await mkdir(workersDirectory, { recursive: true })
  const listenersOf = (name: string, resources: readonly string[]): unknown[] => [
    { type: 'http', path: replicationSocketOf(name), resources: [{ names: ['replication'] }] },
    ...(resources.length === 0
      ? []
      : [{ type: 'http', path: publicSocketOf(name), x_forwarded: true, resources: [{ names: resources }] }]),
  ]
  const { host, port, user, password, database } = databaseOptions
  const names = ['main', ...layout.workers.map((worker) => worker.name)]
  const shared = join(directory, 'homeserver.yaml')
  await writeFile(
    shared,
    JSON.stringify({
      listeners: listenersOf('main', ['client', 'federation', 'consent']),
      database: {
        name: 'psycopg2',
        args: {
          host,
          user,
          database,
          cp_max: CONNECTIONS_MAX,
          ...(port === undefined ? {} : { port }),
          ...(password === undefined ? {} : { password }),
        },
      },
      redis: { enabled: true, path: options.redisSocket },
      worker_replication_secret: 'secret of the tests',
      instance_map: Object.fromEntries(names.map((name) => [name, { path: replicationSocketOf(name) }])),
      ...layout.shared,
      ...options.config,
    }),
  )
  for (const { name, app, resources } of layout.workers) {
    const media = app === 'synapse.app.media_repository' ? { enable_media_repo: true } : {}
    await writeFile(
      fileOf(name) ?? '',
      JSON.stringify({ worker_app: app, worker_name: name, worker_listeners: listenersOf(name, resources), ...media }),
    )
  }
  return { shared, workersDirectory, fileOf, publicSocketOf }
}
