import { findNearest } from '../util/nearest.ts'
import type { Config } from './config.ts'
import type { Contradiction } from './contradictions.ts'
import type { ListenerConfig } from './listeners.ts'
import {
  hasSecret,
  instanceNameOf,
  isMonolithConfig,
  isPureReplication,
  kindOf,
  listNamedWorkers,
  servesReplication,
  WORKER_APPS,
} from './topology.ts'
import type { ProcessKind } from './topology.ts'
import { MAIN_PROCESS_NAME } from './workers.ts'
import type { WorkersConfig } from './workers.ts'

/** Finds what goes wrong between processes: every finding says in one line what to change. */
export function findTopologyContradictions(config: Config): Contradiction[] {
  // What a process of unknown kind or name would have to do is anybody's guess.
  const first = [...checkApp(config.workers), ...checkName(config.workers)]
  if (first.length > 0) return first
  return [
    ...checkInstances(config.workers),
    ...checkOwnListeners(config),
    ...checkSecret(config),
    ...checkTransport(config),
    ...checkDuties(config),
    ...checkMedia(config),
  ]
}

/** Finds what may be meant so, but rarely is. */
export function findTopologyDoubts(config: Config): Contradiction[] {
  const { workers } = config
  const found: Contradiction[] = []
  if (isWorker(workers) && workers.workerName === undefined) {
    found.push({
      option: 'worker_app',
      what: `this worker has no name, and is called ${instanceNameOf(workers)}; give each worker a \`worker_name\` of its own`,
    })
  }
  const instance = instanceNameOf(workers)
  const listeners = listenersOf(config)
  if (workers.instanceMap.has(instance) && listeners.length > 0 && !listeners.some(servesReplication)) {
    found.push({
      option: 'instance_map',
      what: `says where ${instance} is reached, but no listener of it has the resource replication; add one on that port`,
    })
  }
  for (const listener of hasSecret(workers) ? [] : listeners.filter((it) => isPureReplication(it) && it.isOnAllByDefault)) {
    found.push({
      option: isWorker(workers) ? 'worker_listeners' : 'listeners',
      what: `replication on port ${listener.port ?? 0} is open to this machine only, because there is no \`worker_replication_secret\`; set one`,
    })
  }
  return found
}

function isWorker(workers: WorkersConfig): boolean {
  return kindOf(workers) !== 'main'
}

function listenersOf(config: Config): readonly ListenerConfig[] {
  return isWorker(config.workers) ? config.workers.workerListeners : config.listeners
}

function checkApp({ workerApp }: WorkersConfig): Contradiction[] {
  if (workerApp === undefined || Object.hasOwn(WORKER_APPS, workerApp)) return []
  if (workerApp === 'synapse.app.admin_cmd') {
    return [
      {
        option: 'worker_app',
        what: 'synapse.app.admin_cmd is no worker that runs: there is no such tool here; use the admin API',
      },
    ]
  }
  const nearest = findNearest(workerApp, Object.keys(WORKER_APPS)) ?? 'synapse.app.generic_worker'
  return [{ option: 'worker_app', what: `there is no ${JSON.stringify(workerApp)}; did you mean \`${nearest}\`?` }]
}

function checkName(workers: WorkersConfig): Contradiction[] {
  const { workerName } = workers
  if (!isWorker(workers)) {
    const found: Contradiction[] = []
    if (workerName !== undefined && workerName !== MAIN_PROCESS_NAME && workerName !== 'master')
      found.push({ option: 'worker_name', what: 'a worker needs `worker_app` too; for the main process, remove `worker_name`' })
    if (workers.workerListeners.length > 0)
      found.push({
        option: 'worker_listeners',
        what: 'are for workers; write `listeners` for the main process, or add `worker_app`',
      })
    return found
  }
  if (workerName === MAIN_PROCESS_NAME || workerName === 'master')
    return [{ option: 'worker_name', what: `${workerName} is the name of the main process; choose another one` }]
  if (workerName !== undefined && !/^[\x21-\x7e]+$/.test(workerName))
    return [{ option: 'worker_name', what: 'is made of printable characters without spaces; choose another one' }]
  return []
}

/** Options whose workers are called by the others: those have to know where. */
const CALLED = /^(stream_writers\.|outbound_federation_restricted_to$)/

function checkInstances(workers: WorkersConfig): Contradiction[] {
  const found: Contradiction[] = []
  for (const { option, name } of listNamedWorkers(workers)) {
    if (!CALLED.test(option) || workers.instanceMap.has(name)) continue
    const [top = option, stream] = option.split('.')
    const who = stream === undefined ? `names ${name}` : `${stream} names ${name}`
    found.push({
      option: top,
      what: `${who}, which \`instance_map\` does not have; add its host and port there, or correct the name`,
    })
  }
  for (const [name, { host, port, path }] of workers.instanceMap) {
    if (
      (path === undefined) === (host === undefined && port === undefined) ||
      (path === undefined && (host === undefined || port === undefined))
    )
      found.push({ option: 'instance_map', what: `${name} needs a host and a port, or the path of a Unix socket` })
  }
  if (isWorker(workers) && !workers.instanceMap.has(MAIN_PROCESS_NAME)) {
    found.push({
      option: 'instance_map',
      what: `it does not say where the main process is; add \`main\` with host and port of its replication listener to the shared file`,
    })
  }
  const options = [
    'pusher_instances',
    'federation_sender_instances',
    'outbound_federation_restricted_to',
    'notify_appservices_from_worker',
  ]
  const lists = [
    workers.pusherInstances,
    workers.federationSenderInstances,
    workers.outboundFederationRestrictedTo,
    workers.notifyAppservicesFromWorker,
  ]
  for (const [index, list] of lists.entries()) found.push(...checkTwice(options[index] ?? '', list))
  for (const [stream, list] of Object.entries(workers.streamWriters))
    found.push(...checkTwice('stream_writers', list, `${stream} names`))
  return found
}

function checkTwice(option: string, names: readonly string[], verb = 'names'): Contradiction[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  return twice === undefined ? [] : [{ option, what: `${verb} ${twice} twice; remove one` }]
}

function checkOwnListeners(config: Config): Contradiction[] {
  const { workers } = config
  if (isMonolithConfig(config)) return []
  const instance = instanceNameOf(workers)
  const streams = Object.entries(workers.streamWriters).flatMap(([stream, names]) => (names.includes(instance) ? [stream] : []))
  const listeners = listenersOf(config)
  if (!isWorker(workers) || streams.length === 0 || listeners.some(servesReplication)) return []
  return [
    {
      option: 'worker_listeners',
      what: `${instance} writes ${streams.join(', ')}, and the others cannot reach it; add a listener with the resource replication`,
    },
  ]
}

const LOOPBACK = /^(127\.|::1$|localhost$)/

function checkSecret(config: Config): Contradiction[] {
  const { workers } = config
  if (hasSecret(workers)) return []
  const found: Contradiction[] = []
  for (const listener of listenersOf(config)) {
    if (!servesReplication(listener) || listener.path !== undefined) continue
    if (listener.isOnAllByDefault && isPureReplication(listener)) continue
    const outside = listener.bindAddresses.find((address) => !LOOPBACK.test(address))
    if (outside === undefined) continue
    found.push({
      option: isWorker(workers) ? 'worker_listeners' : 'listeners',
      what:
        `replication listens on ${outside} port ${listener.port ?? 0}, where everyone could pose as one of our processes: ` +
        'set `worker_replication_secret` in the shared file',
    })
  }
  if (workers.outboundFederationRestrictedTo.length > 0)
    found.push({
      option: 'outbound_federation_restricted_to',
      what: 'needs `worker_replication_secret`; set one in the shared file',
    })
  return found
}

function checkTransport(config: Config): Contradiction[] {
  const { redis, cluster } = config.workers
  if (redis.enabled || cluster.transport === 'postgres' || isMonolithConfig(config)) return []
  const [option, reason] =
    cluster.transport === 'redis'
      ? ['cluster', '`transport: redis` needs it']
      : isWorker(config.workers)
        ? ['worker_app', 'a worker needs it']
        : ['redis', 'the other processes need it']
  return [
    {
      option,
      what: `Redis is not enabled, and ${reason}: set \`redis: { enabled: true }\` in the shared file, or \`cluster: { transport: postgres }\``,
    },
  ]
}

interface Duty {
  readonly legacyOption: string
  readonly option: string
  readonly app: ProcessKind
  /** Empty where the new option is not written. */
  readonly named: readonly string[]
  readonly mainDoesIt: boolean | undefined
  /** The list beside the switch has always counted more; for the others, both must say the same. */
  readonly isListStronger: boolean
}

function checkDuties({ workers }: Config): Contradiction[] {
  const userDirectory = workers.updateUserDirectoryFromWorker
  const duties: readonly Duty[] = [
    {
      legacyOption: 'start_pushers',
      option: 'pusher_instances',
      app: 'pusher',
      named: workers.pusherInstances,
      mainDoesIt: workers.startPushers,
      isListStronger: true,
    },
    {
      legacyOption: 'send_federation',
      option: 'federation_sender_instances',
      app: 'federation_sender',
      named: workers.federationSenderInstances,
      mainDoesIt: workers.sendFederation,
      isListStronger: true,
    },
    {
      legacyOption: 'notify_appservices',
      option: 'notify_appservices_from_worker',
      app: 'appservice',
      named: workers.notifyAppservicesFromWorker,
      mainDoesIt: workers.notifyAppservices,
      isListStronger: false,
    },
    {
      legacyOption: 'update_user_directory',
      option: 'update_user_directory_from_worker',
      app: 'user_dir',
      named: userDirectory === undefined ? [] : [userDirectory],
      mainDoesIt: workers.updateUserDirectory,
      isListStronger: false,
    },
  ]
  return duties.flatMap((duty) => checkDuty(duty, workers))
}

function checkDuty(
  { legacyOption, option, app, named, mainDoesIt, isListStronger }: Duty,
  workers: WorkersConfig,
): Contradiction[] {
  const instance = instanceNameOf(workers)
  if (kindOf(workers) === app) {
    if (named.length === 0 && mainDoesIt !== false) {
      return [
        {
          option: 'worker_app',
          what: `${workers.workerApp ?? ''} does what the main process does already: set \`${legacyOption}: false\`, or better \`${option}: ${instance}\`, in the shared file`,
        },
      ]
    }
    if (named.length > 0 && !named.includes(instance)) {
      return [
        {
          option: 'worker_app',
          what: `${workers.workerApp ?? ''} runs as ${instance}, and \`${option}\` names ${named.join(', ')}: add ${instance} there, or use synapse.app.generic_worker`,
        },
      ]
    }
  }
  if (named.length === 0 || mainDoesIt === undefined) return []
  const isMainNamed = named.includes(MAIN_PROCESS_NAME)
  if (mainDoesIt === isMainNamed || (isListStronger && mainDoesIt)) return []
  return [
    {
      option: legacyOption,
      what: `says that the main process ${mainDoesIt ? 'does it' : 'does not do it'}, and \`${option}\` names ${named.join(', ')}: remove ${legacyOption}`,
    },
  ]
}

function checkMedia({ workers, media }: Config): Contradiction[] {
  const { mediaInstanceRunningBackgroundJobs: named } = workers
  if (named === undefined || media.enableMediaRepo || kindOf(workers) === 'media_repository') return []
  if (named !== instanceNameOf(workers)) return []
  return [
    {
      option: 'media_instance_running_background_jobs',
      what: isWorker(workers)
        ? `names this worker, where media is switched off: set \`enable_media_repo: true\` in its own file`
        : 'names the main process, where media is switched off: name the media worker, or set `enable_media_repo: true`',
    },
  ]
}
