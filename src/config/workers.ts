import {
  choice,
  flag,
  group,
  groupList,
  groupMap,
  integer,
  optionalInteger,
  optionalText,
  parseFlag,
  secret,
  section,
  text,
  withDefault,
} from './option.ts'
import { listenerList } from './listeners.ts'
import { isLocatedList } from './located.ts'
import type { Option, Parse, Values } from './option.ts'
import type { MapReader } from './reader.ts'

/** The stream names of `stream_writers`. Synapse: docs/workers.md § Stream writers. */
export const WRITER_STREAMS = [
  'events',
  'typing',
  'to_device',
  'account_data',
  'receipts',
  'presence',
  'push_rules',
  'device_lists',
  'thread_subscriptions',
  'quarantined_media_changes',
] as const
export type WriterStream = (typeof WRITER_STREAMS)[number]

/** Name of the main process where a list of instances has none. */
export const MAIN_PROCESS_NAME = 'main'

const NAMES_TYPE = 'worker name, or list of them'
const NAMES_EXPECTED = { expected: 'the name of a worker, or a list of names' } as const

/** Synapse calls the main process `master` in some places and `main` in others: here it is always `main`. */
function normalizeName(name: string): string {
  return name === 'master' ? MAIN_PROCESS_NAME : name
}

const parseNames: Parse<readonly string[]> = ({ value }) => {
  const list = typeof value === 'string' ? [value] : isLocatedList(value) ? value.map((item) => item.value) : [value]
  return list.every((item) => typeof item === 'string') ? { ok: list.map(normalizeName) } : NAMES_EXPECTED
}

const WRITER_TABLE = Object.fromEntries(
  WRITER_STREAMS.map((stream) => [
    stream,
    withDefault(
      {
        name: stream,
        type: NAMES_TYPE,
        // A stream without any writer would stand still.
        parse: (node) => {
          const result = parseNames(node)
          return 'ok' in result && result.ok.length === 0 ? NAMES_EXPECTED : result
        },
        doc: `Writers of the stream ${stream}.`,
        defaultText: MAIN_PROCESS_NAME,
      },
      [MAIN_PROCESS_NAME],
    ),
  ]),
) as Readonly<Record<WriterStream, Option<readonly string[]>>>

/** One name, or a list of names; empty where nothing is written. */
function names(name: string, doc: string): Option<readonly string[]> {
  return withDefault({ name, type: NAMES_TYPE, parse: parseNames, doc, defaultText: 'none' }, [])
}

/** The name of one process; undefined where nothing is written. */
function optionalName(name: string, doc: string): Option<string | undefined> {
  const option = optionalText(name, doc)
  const read = (reader: MapReader): string | undefined => {
    const value = option.read(reader)
    return value === undefined ? undefined : normalizeName(value)
  }
  return { ...option, read }
}

/** A switch that tells whether somebody wrote it. */
function optionalFlag(name: string, doc: string): Option<boolean | undefined> {
  return withDefault({ name, type: 'boolean', parse: parseFlag, doc, defaultText: 'none' }, undefined)
}

const REDIS_ADDRESS = {
  host: text('host', 'localhost', 'Its host.'),
  port: integer('port', 6379, 'Its port; Sentinels mostly have 26379.', { max: 65_535 }),
} as const

/** Several processes. */
export const workersOptions = section('Workers', {
  workerApp: optionalText('worker_app', 'What this process is; nothing for the main process.'),
  workerName: optionalText('worker_name', 'Name of this worker.'),
  workerListeners: listenerList('worker_listeners', 'Where this worker listens.'),
  workerPidFile: optionalText('worker_pid_file', 'Where this worker writes its process id.'),
  workerLogConfig: optionalText('worker_log_config', 'Like `log_config`, for this worker.'),
  workerDaemonize: flag('worker_daemonize', false, 'Accepted; let the service manager do that.'),
  workerReplicationSecret: secret('worker_replication_secret', 'What our processes prove themselves to each other with.'),
  workerReplicationHost: optionalText('worker_replication_host', 'Old form of `instance_map.main.host`; understood.'),
  workerReplicationHttpPort: optionalInteger(
    'worker_replication_http_port',
    'Old form of `instance_map.main.port`; understood.',
    {
      max: 65_535,
    },
  ),
  workerReplicationHttpTls: optionalFlag('worker_replication_http_tls', 'Old form of `instance_map.main.tls`; understood.'),
  workerMainHttpUri: optionalText('worker_main_http_uri', 'Not needed any more; accepted.'),
  instanceMap: groupMap(
    'instance_map',
    {
      host: optionalText('host', 'Host of the process.'),
      port: optionalInteger('port', 'Port of its replication listener.', { max: 65_535 }),
      path: optionalText('path', 'Or its Unix socket.'),
      tls: flag('tls', false, 'Speaks TLS.'),
    },
    'Where processes reach each other, by name; the main process is `main`.',
  ),
  streamWriters: group('stream_writers', WRITER_TABLE, 'Which process writes which stream.'),
  startPushers: optionalFlag('start_pushers', 'The main process sends push notifications. Older form of `pusher_instances`.'),
  pusherInstances: names('pusher_instances', 'Processes that send push notifications.'),
  sendFederation: optionalFlag(
    'send_federation',
    'The main process sends to other servers. Older form of `federation_sender_instances`.',
  ),
  federationSenderInstances: names('federation_sender_instances', 'Processes that send to other servers.'),
  outboundFederationRestrictedTo: names(
    'outbound_federation_restricted_to',
    'The only processes that connect to other servers; the others ask them.',
  ),
  runBackgroundTasksOn: optionalName('run_background_tasks_on', 'The worker that tidies up.'),
  updateUserDirectoryFromWorker: optionalName('update_user_directory_from_worker', 'The worker that keeps the user directory.'),
  updateUserDirectory: optionalFlag(
    'update_user_directory',
    'The main process keeps the user directory. Older form of `update_user_directory_from_worker`.',
  ),
  notifyAppservicesFromWorker: names(
    'notify_appservices_from_worker',
    'The worker that sends to app services; several share the app services.',
  ),
  notifyAppservices: optionalFlag(
    'notify_appservices',
    'The main process sends to app services. Older form of `notify_appservices_from_worker`.',
  ),
  mediaInstanceRunningBackgroundJobs: optionalName('media_instance_running_background_jobs', 'The media worker that tidies up.'),
  cluster: group(
    'cluster',
    {
      transport: choice(
        'transport',
        ['auto', 'redis', 'postgres'],
        'auto',
        'How processes hear of each other: `auto` is Redis where it is enabled; `postgres` needs nothing but the database.',
      ),
    },
    'What Ganglion adds for several processes.',
  ),
  redis: group(
    'redis',
    {
      enabled: flag('enabled', false, 'Uses Redis; needed as soon as there is a worker.'),
      host: text('host', 'localhost', 'Host of Redis.'),
      port: integer('port', 6379, 'Port of Redis.', { max: 65_535 }),
      path: optionalText('path', 'Or its Unix socket.'),
      username: optionalText('username', 'User name.'),
      password: secret('password', 'Password.'),
      dbid: optionalInteger('dbid', 'Number of the database.'),
      useTls: flag('use_tls', false, 'Speaks TLS.'),
      certificateFile: optionalText('certificate_file', 'Our client certificate.'),
      privateKeyFile: optionalText('private_key_file', 'Its private key.'),
      caFile: optionalText('ca_file', 'Certificate authorities to trust.'),
      caPath: optionalText('ca_path', 'Folder of certificate authorities to trust.'),
      sentinels: groupList('sentinels', REDIS_ADDRESS, 'The Sentinels that know where Redis is now, instead of host and port.'),
      sentinelName: text('sentinel_name', 'mymaster', 'Name of the group that the Sentinels watch.'),
      sentinelUsername: optionalText('sentinel_username', 'User name at the Sentinels.'),
      sentinelPassword: secret('sentinel_password', 'Password at the Sentinels.'),
      cluster: groupList('cluster', REDIS_ADDRESS, 'Some nodes of a Redis Cluster (7.0 or newer), instead of host and port.'),
    },
    "How processes hear of each other's changes.",
  ),
  backgroundUpdates: group(
    'background_updates',
    {
      backgroundUpdateDurationMs: integer('background_update_duration_ms', 100, 'Aim for the length of one step.', { min: 1 }),
      sleepEnabled: flag('sleep_enabled', true, 'Rests between steps.'),
      sleepDurationMs: integer('sleep_duration_ms', 1000, 'How long.'),
      minBatchSize: integer('min_batch_size', 1, 'Fewest rows a step.', { min: 1 }),
      defaultBatchSize: integer('default_batch_size', 100, 'Rows of the first step.', { min: 1 }),
    },
    'Long changes to the database that run beside the work.',
  ),
})
export type WorkersConfig = Values<typeof workersOptions.options>
