import { createHash } from 'node:crypto'
import type { Config } from './config.ts'
import type { ListenerConfig } from './listeners.ts'
import { MAIN_PROCESS_NAME, WRITER_STREAMS } from './workers.ts'
import type { WorkersConfig, WriterStream } from './workers.ts'

/** What a process is. All but `media_repository` differ from `generic_worker` only in the role that their old form implies. */
export type ProcessKind =
  | 'main'
  | 'generic_worker'
  | 'appservice'
  | 'federation_sender'
  | 'media_repository'
  | 'pusher'
  | 'user_dir'

/** Every value of `worker_app`, current and historical. Synapse: docs/workers.md § Available worker applications, § Historical apps. */
export const WORKER_APPS: Readonly<Record<string, ProcessKind>> = {
  'synapse.app.homeserver': 'main',
  'synapse.app.generic_worker': 'generic_worker',
  'synapse.app.client_reader': 'generic_worker',
  'synapse.app.event_creator': 'generic_worker',
  'synapse.app.federation_reader': 'generic_worker',
  'synapse.app.frontend_proxy': 'generic_worker',
  'synapse.app.synchrotron': 'generic_worker',
  'synapse.app.appservice': 'appservice',
  'synapse.app.federation_sender': 'federation_sender',
  'synapse.app.media_repository': 'media_repository',
  'synapse.app.pusher': 'pusher',
  'synapse.app.user_dir': 'user_dir',
}

/** Work that one process does for all (shards of it, for some). */
export type RoleName =
  | 'background_tasks'
  | 'task_scheduler'
  | 'db_background_updates'
  | 'stats'
  | 'user_directory'
  | 'appservice_sender'
  | 'pusher'
  | 'federation_sender'
  | 'typing_owner'
  | 'presence_owner'
  | 'partial_state_resync'
  | 'delayed_events'
  | 'event_expiry'
  | 'retention'
  | 'media_jobs'

/** Who holds a role by choice of the admin; others stand in while all of them are gone. */
export interface RolePlacement {
  readonly preferred: readonly string[]
  /**
   * The old form of the configuration: switched off for the main process, and done by whichever worker has the right `worker_app`. Its name
   * stands in no shared option, so it has to tell the others that it is there (`Topology.ownRoles`). `preferred` is then this process, or nobody.
   */
  readonly isAnnounced: boolean
}

/** How this process and those around it divide the work, worked out of the shared file and of its own. */
export interface Topology {
  /** `main`, or the worker's name. */
  readonly instance: string
  readonly kind: ProcessKind
  /** One process does everything: no worker is configured anywhere. */
  readonly isMonolith: boolean
  readonly transport: 'local' | 'redis' | 'postgres'
  /** Where this process listens. */
  readonly listeners: readonly ListenerConfig[]
  /** Where the others reach this process: `http://host:port`, `https://host:port` or `unix:/path`; undefined when it has no replication listener. */
  readonly url: string | undefined
  /** The same for every process of `instance_map`. */
  readonly addresses: ReadonlyMap<string, string>
  readonly roles: Readonly<Record<RoleName, RolePlacement>>
  /** Roles that this process holds by choice; it announces them to the others. */
  readonly ownRoles: readonly RoleName[]
  readonly writers: Readonly<Record<WriterStream, readonly string[]>>
  /** Whether media endpoints answer here: everywhere but where `enable_media_repo` is off. */
  readonly servesMedia: boolean
  /** The only processes that connect to other servers; undefined when all may. */
  readonly outboundFederationVia: readonly string[] | undefined
  readonly logConfig: string | undefined
  readonly pidFile: string | undefined
}

/** Works out what this process is and who does what. The configuration has been checked: contradictions are config errors already. */
export function describeTopology(config: Config): Topology {
  const { workers } = config
  const kind = kindOf(workers)
  const instance = instanceNameOf(workers)
  const isMonolith = isMonolithConfig(config)
  const roles = placeRoles(config, { instance, kind })
  const listeners = narrowListeners(kind === 'main' ? config.listeners : workers.workerListeners, workers)
  const addresses = new Map([...workers.instanceMap].map(([name, entry]) => [name, addressOf(entry)]))
  return Object.freeze({
    instance,
    kind,
    isMonolith,
    transport: isMonolith ? 'local' : transportOf(workers),
    listeners,
    url: addresses.get(instance) ?? ownAddressOf(listeners),
    addresses,
    roles,
    ownRoles: (Object.keys(roles) as RoleName[]).filter((role) => roles[role].preferred.includes(instance)),
    writers: Object.fromEntries(WRITER_STREAMS.map((stream) => [stream, workers.streamWriters[stream]])) as Record<
      WriterStream,
      readonly string[]
    >,
    servesMedia: config.media.enableMediaRepo || kind === 'media_repository',
    outboundFederationVia: workers.outboundFederationRestrictedTo.length > 0 ? workers.outboundFederationRestrictedTo : undefined,
    logConfig: kind === 'main' ? config.logging.logConfig : workers.workerLogConfig,
    pidFile: kind === 'main' ? config.server.pidFile : workers.workerPidFile,
  } satisfies Topology)
}

/** What `worker_app` makes of this process; without it, the main process. */
export function kindOf({ workerApp }: WorkersConfig): ProcessKind {
  return workerApp === undefined ? 'main' : (WORKER_APPS[workerApp] ?? 'generic_worker')
}

/** The name of this process. A worker without `worker_name` is called like its app, as in Synapse. */
export function instanceNameOf(workers: WorkersConfig): string {
  return kindOf(workers) === 'main' ? MAIN_PROCESS_NAME : (workers.workerName ?? workers.workerApp ?? MAIN_PROCESS_NAME)
}

/** Tells whether nothing in the configuration speaks of a second process. */
export function isMonolithConfig({ workers }: Config): boolean {
  return (
    kindOf(workers) === 'main' &&
    !workers.redis.enabled &&
    workers.cluster.transport === 'auto' &&
    workers.instanceMap.size === 0 &&
    listNamedWorkers(workers).length === 0
  )
}

/** Lists the workers that options of the shared file name, beside `instance_map`, with the option. */
export function listNamedWorkers(workers: WorkersConfig): readonly { readonly option: string; readonly name: string }[] {
  const named: readonly (readonly [option: string, names: readonly string[]])[] = [
    ...WRITER_STREAMS.map((stream) => [`stream_writers.${stream}`, workers.streamWriters[stream]] as const),
    ['pusher_instances', workers.pusherInstances],
    ['federation_sender_instances', workers.federationSenderInstances],
    ['outbound_federation_restricted_to', workers.outboundFederationRestrictedTo],
    ['notify_appservices_from_worker', workers.notifyAppservicesFromWorker],
    ['run_background_tasks_on', listOf(workers.runBackgroundTasksOn)],
    ['update_user_directory_from_worker', listOf(workers.updateUserDirectoryFromWorker)],
    ['media_instance_running_background_jobs', listOf(workers.mediaInstanceRunningBackgroundJobs)],
  ]
  return named.flatMap(([option, names]) => names.filter((name) => name !== MAIN_PROCESS_NAME).map((name) => ({ option, name })))
}

/** What all processes of one server must agree on, by option. */
export function listSharedFacts(config: Config): Readonly<Record<string, string>> {
  const { workers } = config
  const facts: Record<string, unknown> = {
    server_name: config.server.serverName,
    stream_writers: workers.streamWriters,
    pusher_instances: workers.pusherInstances,
    federation_sender_instances: workers.federationSenderInstances,
    run_background_tasks_on: workers.runBackgroundTasksOn,
    update_user_directory_from_worker: workers.updateUserDirectoryFromWorker,
    notify_appservices_from_worker: workers.notifyAppservicesFromWorker,
    media_instance_running_background_jobs: workers.mediaInstanceRunningBackgroundJobs,
    outbound_federation_restricted_to: workers.outboundFederationRestrictedTo,
    start_pushers: workers.startPushers,
    send_federation: workers.sendFederation,
    update_user_directory: workers.updateUserDirectory,
    notify_appservices: workers.notifyAppservices,
    'redis and cluster.transport': isMonolithConfig(config) ? 'local' : transportOf(workers),
    worker_replication_secret: workers.workerReplicationSecret,
    macaroon_secret_key: config.keys.macaroonSecretKey,
  }
  return Object.fromEntries(Object.entries(facts).map(([option, value]) => [option, JSON.stringify(value ?? null)]))
}

/** Fingerprint of everything that all processes of one server must agree on; whoever differs must not join. */
export function configHash(config: Config): string {
  return createHash('sha256')
    .update(JSON.stringify(listSharedFacts(config)))
    .digest('hex')
}

function transportOf(workers: WorkersConfig): 'redis' | 'postgres' {
  return workers.cluster.transport === 'auto' ? 'redis' : workers.cluster.transport
}

interface Self {
  readonly instance: string
  readonly kind: ProcessKind
}

function placeRoles(config: Config, self: Self): Readonly<Record<RoleName, RolePlacement>> {
  const { workers } = config
  const background = placed([workers.runBackgroundTasksOn ?? MAIN_PROCESS_NAME])
  const persisters = placed(workers.streamWriters.events)
  return Object.freeze({
    background_tasks: background,
    task_scheduler: background,
    db_background_updates: background,
    stats: background,
    user_directory: placeDuty(self, {
      app: 'user_dir',
      named: listOf(workers.updateUserDirectoryFromWorker),
      mainDoesIt: workers.updateUserDirectory,
    }),
    appservice_sender: placeDuty(self, {
      app: 'appservice',
      named: workers.notifyAppservicesFromWorker,
      mainDoesIt: workers.notifyAppservices,
    }),
    pusher: placeDuty(self, { app: 'pusher', named: workers.pusherInstances, mainDoesIt: workers.startPushers }),
    federation_sender: placeDuty(self, {
      app: 'federation_sender',
      named: workers.federationSenderInstances,
      mainDoesIt: workers.sendFederation,
    }),
    typing_owner: placed(workers.streamWriters.typing),
    presence_owner: placed(workers.streamWriters.presence),
    partial_state_resync: persisters,
    delayed_events: persisters,
    event_expiry: persisters,
    retention: persisters,
    media_jobs: placeDuty(self, {
      app: 'media_repository',
      named: listOf(workers.mediaInstanceRunningBackgroundJobs),
      mainDoesIt: config.media.enableMediaRepo,
    }),
  })
}

interface Duty {
  readonly app: ProcessKind
  /** Empty where the new option is not written. */
  readonly named: readonly string[]
  readonly mainDoesIt: boolean | undefined
}

function placeDuty({ instance, kind }: Self, { app, named, mainDoesIt }: Duty): RolePlacement {
  if (named.length > 0) return placed(named)
  if (mainDoesIt !== false) return placed([MAIN_PROCESS_NAME])
  return { preferred: kind === app ? [instance] : [], isAnnounced: true }
}

function placed(preferred: readonly string[]): RolePlacement {
  return { preferred, isAnnounced: false }
}

function listOf(name: string | undefined): readonly string[] {
  return name === undefined ? [] : [name]
}

/** Without a secret, whoever reaches the replication listener is one of us: nobody from outside may, unless the admin chose an address. */
function narrowListeners(listeners: readonly ListenerConfig[], workers: WorkersConfig): readonly ListenerConfig[] {
  if (hasSecret(workers)) return listeners
  return listeners.map((listener) =>
    isPureReplication(listener) && listener.isOnAllByDefault ? { ...listener, bindAddresses: ['127.0.0.1', '::1'] } : listener,
  )
}

/** Whether processes prove themselves to each other. An empty secret, as in the example of Synapse's documentation, is none. */
export function hasSecret({ workerReplicationSecret }: WorkersConfig): boolean {
  return workerReplicationSecret !== undefined && workerReplicationSecret !== ''
}

/** Whether a listener serves the other processes. */
export function servesReplication(listener: ListenerConfig): boolean {
  return listener.resources.some(({ names }) => names.includes('replication'))
}

/** Whether a listener serves the other processes, and nobody else. */
export function isPureReplication(listener: ListenerConfig): boolean {
  const names = listener.resources.flatMap((resource) => resource.names)
  return servesReplication(listener) && names.every((name) => name === 'replication' || name === 'health' || name === 'metrics')
}

type InstanceEntry = WorkersConfig['instanceMap'] extends ReadonlyMap<string, infer Entry> ? Entry : never

function addressOf({ host, port, path, tls }: InstanceEntry): string {
  return path === undefined ? formatUrl({ host: host ?? 'localhost', port: port ?? 0, tls }) : `unix:${path}`
}

function ownAddressOf(listeners: readonly ListenerConfig[]): string | undefined {
  const listener = listeners.find(servesReplication)
  if (listener === undefined) return undefined
  if (listener.path !== undefined) return `unix:${listener.path}`
  // A port that the system chooses is known only when it is open.
  if (listener.port === 0) return undefined
  const [first = '127.0.0.1'] = listener.bindAddresses.filter((address) => address !== '::' && address !== '0.0.0.0')
  return formatUrl({ host: first, port: listener.port ?? 0, tls: listener.tls })
}

function formatUrl({ host, port, tls }: { host: string; port: number; tls: boolean }): string {
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}
