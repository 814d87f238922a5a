import { flag, group, groupMap, integer, optionalInteger, optionalText, secret, section, text, withDefault } from './option.ts'
import { listenerList } from './listeners.ts'
import { isLocatedList } from './located.ts'
import type { Option, Values } from './option.ts'

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

const WRITER_TABLE = Object.fromEntries(
  WRITER_STREAMS.map((stream) => [stream, names(stream, [MAIN_PROCESS_NAME], `Writers of the stream ${stream}.`)]),
) as Readonly<Record<WriterStream, Option<readonly string[]>>>

/** One name, or a list of names. Synapse calls the main process `master` in some places and `main` in others: here it is always `main`. */
function names(name: string, fallback: readonly string[], doc: string): Option<readonly string[]> {
  return withDefault<readonly string[], readonly string[]>(
    {
      name,
      type: 'worker name, or list of them',
      parse: ({ value }) => {
        const list = typeof value === 'string' ? [value] : isLocatedList(value) ? value.map((item) => item.value) : [value]
        // A stream without any writer would stand still.
        return (list.length > 0 || fallback.length === 0) && list.every((item) => typeof item === 'string')
          ? { ok: list.map((item) => (item === 'master' ? MAIN_PROCESS_NAME : item)) }
          : { expected: 'the name of a worker, or a list of names' }
      },
      doc,
      defaultText: fallback.length === 0 ? 'none' : fallback.join(', '),
    },
    fallback,
  )
}

/** Several processes. */
export const workersOptions = section('Workers', {
  workerApp: optionalText('worker_app', 'What this process is; nothing for the main process.'),
  workerName: optionalText('worker_name', 'Name of this worker.'),
  workerListeners: listenerList('worker_listeners', 'Where this worker listens.'),
  workerPidFile: optionalText('worker_pid_file', 'Where this worker writes its process id.'),
  workerLogConfig: optionalText('worker_log_config', 'Like `log_config`, for this worker.'),
  workerDaemonize: flag('worker_daemonize', false, 'Accepted; let the service manager do that.'),
  workerReplicationSecret: secret('worker_replication_secret', 'What our processes prove themselves to each other with.'),
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
  startPushers: flag('start_pushers', true, 'The main process sends push notifications.'),
  pusherInstances: names('pusher_instances', [], 'Workers that send push notifications.'),
  sendFederation: flag('send_federation', true, 'The main process sends to other servers.'),
  federationSenderInstances: names('federation_sender_instances', [], 'Workers that send to other servers.'),
  outboundFederationRestrictedTo: names(
    'outbound_federation_restricted_to',
    [],
    'The only processes that connect to other servers.',
  ),
  runBackgroundTasksOn: optionalText('run_background_tasks_on', 'The worker that tidies up.'),
  updateUserDirectoryFromWorker: optionalText('update_user_directory_from_worker', 'The worker that keeps the user directory.'),
  notifyAppservicesFromWorker: optionalText('notify_appservices_from_worker', 'The worker that sends to app services.'),
  mediaInstanceRunningBackgroundJobs: optionalText('media_instance_running_background_jobs', 'The media worker that tidies up.'),
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
