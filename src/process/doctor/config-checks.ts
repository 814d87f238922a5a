import { accessSync, constants } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { ListenerConfig } from '../../config/listeners.ts'
import { findDisagreements } from '../../config/topology-together.ts'
import { isMonolithConfig, listNamedWorkers, servesReplication } from '../../config/topology.ts'
import { MAIN_PROCESS_NAME } from '../../config/workers.ts'
import { findNearest } from '../../util/nearest.ts'
import { findMember, namesOf } from '../proxy-config/members.ts'
import type { ServerProcess } from '../proxy-config/topology.ts'
import { doubt, fault } from './finding.ts'
import type { Finding } from './finding.ts'
import type { Places } from './places.ts'

/** The configuration of all processes, read, and where its options stand. */
export interface ConfigurationUnderTest {
  readonly processes: readonly ServerProcess[]
  readonly shared: readonly string[]
  /** Undefined where only the shared file was given: then nothing can be said about who is missing. */
  readonly workersDirectory: string | undefined
  /** Names that stand in the workers' files, also in those that could not be read for another mistake. */
  readonly workerNames: readonly string[]
  readonly places: Places
}

const SECRET_LENGTH_MIN = 16
const PRIVATE_ADDRESS =
  /^(?:127\.|10\.|192\.168\.|172\.(?:1[6-9]|2[0-9]|3[01])\.|100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|169\.254\.|::1$|f[cd]|fe80:|localhost$)/i
/** What only a worker's own file says. */
const OWN_OPTIONS = ['worker_app', 'worker_name', 'worker_listeners', 'worker_pid_file', 'worker_log_config', 'worker_daemonize']
/** What must be the same for all, and so stands in the shared file. */
const SHARED_OPTIONS = [
  'server_name',
  'public_baseurl',
  'database',
  'redis',
  'cluster',
  'instance_map',
  'stream_writers',
  'worker_replication_secret',
  'macaroon_secret_key',
  'signing_key_path',
  'pusher_instances',
  'federation_sender_instances',
  'outbound_federation_restricted_to',
  'run_background_tasks_on',
  'update_user_directory_from_worker',
  'notify_appservices_from_worker',
]

/** Finds mistakes that the files alone show. */
export function checkConfiguration(under: ConfigurationUnderTest): Finding[] {
  const { processes, places, shared } = under
  const main = processes.find(({ app }) => app === undefined)
  return [
    ...findDisagreements(processes.map(({ file, config }) => ({ file: file ?? shared[0] ?? '', config }))).map((problem) =>
      fault(places.addLine(problem)),
    ),
    ...checkOwnership(under),
    ...(main === undefined ? [] : [...checkNames(under, main), ...checkSecret(under, main), ...checkWork(under, main)]),
    ...processes.flatMap((process) => [
      ...checkListeners(under, process),
      ...checkInstanceMap(under, process),
      ...checkFiles(under, process),
    ]),
  ]
}

function filesOf({ shared }: ConfigurationUnderTest, { file }: ServerProcess): readonly string[] {
  return file === undefined ? shared : [...shared, file]
}

function listenersOption({ app }: ServerProcess): string {
  return app === undefined ? 'listeners' : 'worker_listeners'
}

/** Options that stand in the wrong file. */
function checkOwnership({ processes, shared, places }: ConfigurationUnderTest): Finding[] {
  const inShared = shared.flatMap((file) =>
    places
      .listOptions(file)
      .filter((option) => OWN_OPTIONS.includes(option))
      .map((option) =>
        fault(
          `${places.of([file], option)}: makes a worker of every process that reads this file; move it into the worker's own file`,
        ),
      ),
  )
  const inWorkers = processes.flatMap(({ file }) =>
    file === undefined
      ? []
      : places.listOptions(file).flatMap((option) => {
          if (option === 'listeners')
            return [fault(`${places.of([file], option)}: are the main process's; write \`worker_listeners\` for this worker`)]
          if (!SHARED_OPTIONS.includes(option)) return []
          return [doubt(`${places.of([file], option)}: must be the same for all processes; move it into the shared file`)]
        }),
  )
  return [...inShared, ...inWorkers]
}

/** Names of processes that do not exist. */
function checkNames({ shared, places, workersDirectory, workerNames }: ConfigurationUnderTest, main: ServerProcess): Finding[] {
  const { workers } = main.config
  const files = [MAIN_PROCESS_NAME, ...workerNames]
  const known = workersDirectory === undefined ? [...workers.instanceMap.keys(), MAIN_PROCESS_NAME] : files
  const findings: Finding[] = []
  for (const { option, name } of listNamedWorkers(workers)) {
    if (known.includes(name) || (workersDirectory === undefined && workers.instanceMap.size === 0)) continue
    const nearest = findNearest(name, known)
    const advice = nearest === undefined ? 'add a worker of that name, or correct the name' : `did you mean ${nearest}?`
    const text = `${places.of(shared, ...option.split('.'))}: names ${name}, and there is no worker of that name; ${advice}`
    findings.push(workersDirectory === undefined ? doubt(text) : fault(text))
  }
  for (const name of workersDirectory === undefined ? [] : workers.instanceMap.keys()) {
    if (files.includes(name)) continue
    findings.push(
      doubt(`${places.of(shared, 'instance_map', name)}: no worker's file has this name; remove it, or correct the name`),
    )
  }
  return findings
}

function checkSecret({ shared, places, processes }: ConfigurationUnderTest, main: ServerProcess): Finding[] {
  const secret = main.config.workers.workerReplicationSecret
  if (processes.length === 1 && isMonolithConfig(main.config)) return []
  if (secret === undefined || secret === '')
    return [
      fault(
        `${places.of(shared, 'worker_replication_secret')}: it is missing, so everyone who reaches a replication listener is one of us; set a long random text`,
      ),
    ]
  return secret.length >= SECRET_LENGTH_MIN
    ? []
    : [
        doubt(
          `${places.of(shared, 'worker_replication_secret')}: it is short enough to be guessed; take at least ${SECRET_LENGTH_MIN} random characters`,
        ),
      ]
}

/** Work that nobody does. */
function checkWork({ processes, shared, places, workersDirectory }: ConfigurationUnderTest, main: ServerProcess): Finding[] {
  const { workers, media } = main.config
  const findings: Finding[] = []
  const knowsAll = workersDirectory !== undefined || isMonolithConfig(main.config)
  if (!knowsAll) return findings
  const lacks = (app: string): boolean => !processes.some((process) => process.app === `synapse.app.${app}`)
  if (!media.enableMediaRepo && !processes.some((process) => findMember(process, 'media') !== undefined)) {
    findings.push(
      doubt(
        `${places.of(shared, 'enable_media_repo')}: nobody serves media; add a worker with \`worker_app: synapse.app.media_repository\` and a listener with the resource media`,
      ),
    )
  }
  if (workers.startPushers === false && workers.pusherInstances.length === 0 && lacks('pusher'))
    findings.push(
      fault(`${places.of(shared, 'start_pushers')}: nobody sends push notifications; name workers in \`pusher_instances\``),
    )
  if (workers.sendFederation === false && workers.federationSenderInstances.length === 0 && lacks('federation_sender'))
    findings.push(
      fault(
        `${places.of(shared, 'send_federation')}: nobody sends to other servers; name workers in \`federation_sender_instances\``,
      ),
    )
  const stores = processes.filter(({ app }) => app === 'synapse.app.media_repository')
  if (stores.length > 1 && workers.mediaInstanceRunningBackgroundJobs === undefined)
    findings.push(
      doubt(
        `${places.of(shared, 'media_instance_running_background_jobs')}: ${stores.map(({ name }) => name).join(' and ')} serve media, and which of them tidies up is left to chance; name one`,
      ),
    )
  if (!processes.some((process) => findMember(process, 'client') !== undefined))
    findings.push(fault(`${places.of(shared, 'listeners')}: no process has a listener with the resource client; add one`))
  return findings
}

function checkListeners(under: ConfigurationUnderTest, process: ServerProcess): Finding[] {
  const place = under.places.of(filesOf(under, process), listenersOption(process))
  return process.listeners.flatMap((listener) => {
    const names = namesOf(listener)
    const where = listener.path ?? `port ${listener.port ?? 0}`
    const findings: Finding[] = []
    const open =
      listener.path === undefined ? listener.bindAddresses.find((address) => !PRIVATE_ADDRESS.test(address)) : undefined
    for (const name of ['replication', 'metrics']) {
      if (names.has(name) && open !== undefined)
        findings.push(
          doubt(
            `${place}: ${name} on ${where} listens on ${open}, for everybody to reach; bind it to 127.0.0.1 or a private network`,
          ),
        )
    }
    if (names.has('replication') && (names.has('client') || names.has('federation')))
      findings.push(doubt(`${place}: ${where} serves clients and replication; give replication a port of its own`))
    if (!listener.xForwarded && !listener.tls && (names.has('client') || names.has('federation')))
      findings.push(
        doubt(
          `${place}: ${where} has no \`x_forwarded: true\`; behind a proxy, all requests would seem to come from one address`,
        ),
      )
    return findings
  })
}

/** Where the others look for a process, and where it listens. */
function checkInstanceMap(under: ConfigurationUnderTest, process: ServerProcess): Finding[] {
  const { workers } = process.config
  const entry = workers.instanceMap.get(process.name)
  if (entry === undefined) return []
  const listeners = process.listeners.filter(servesReplication)
  const place = under.places.of(under.shared, 'instance_map', process.name)
  if (listeners.length === 0)
    return [
      fault(
        `${place}: ${process.name} has no listener with the resource replication; add one to \`${listenersOption(process)}\``,
      ),
    ]
  const fits = (listener: ListenerConfig): boolean =>
    entry.path === undefined ? listener.port === entry.port : listener.path === entry.path
  if (listeners.some(fits)) return []
  const real = listeners.map(({ port, path }) => path ?? String(port ?? 0)).join(' and ')
  return [
    fault(
      `${place}: says ${entry.path ?? entry.port ?? 0}, and ${process.name} listens for replication on ${real}; make them the same`,
    ),
  ]
}

/** Files and folders that are named and cannot be used. */
function checkFiles(under: ConfigurationUnderTest, process: ServerProcess): Finding[] {
  const { config } = process
  const findings: Finding[] = []
  const files = filesOf(under, process)
  const usesTls = process.listeners.some(({ tls }) => tls)
  const readable: readonly (readonly [option: string, path: string | undefined])[] = [
    [
      process.app === undefined ? 'log_config' : 'worker_log_config',
      process.app === undefined ? config.logging.logConfig : config.workers.workerLogConfig,
    ],
    ...(usesTls
      ? ([
          ['tls_certificate_path', config.tls.tlsCertificatePath],
          ['tls_private_key_path', config.tls.tlsPrivateKeyPath],
        ] as const)
      : []),
  ]
  for (const [option, path] of readable) {
    if (path !== undefined && !canAccess(path, constants.R_OK))
      findings.push(fault(`${under.places.of(files, option)}: ${path} cannot be read; make the file, or correct the name`))
    if (path === undefined && option.startsWith('tls_'))
      findings.push(
        fault(`${under.places.of(files, option)}: a listener has \`tls: true\`, and this option is missing; name the file`),
      )
  }
  const store = resolve(config.media.mediaStorePath)
  const nearest = canAccess(store, constants.F_OK) ? store : dirname(store)
  if (process.hasMediaStore && !canAccess(nearest, constants.W_OK))
    findings.push(
      fault(`${under.places.of(files, 'media_store_path')}: ${nearest} cannot be written to; give this user the right to`),
    )
  return findings
}

function canAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}
