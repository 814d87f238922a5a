import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { findContradictions } from './contradictions.ts'
import { ConfigError } from './config-error.ts'
import type { DatabaseConfig } from './database.ts'
import { databaseOptions } from './database.ts'
import type { EmailConfig } from './email.ts'
import { emailOptions } from './email.ts'
import type { ExperimentalConfig } from './experimental.ts'
import { experimentalOptions } from './experimental.ts'
import type { CachesConfig, FederationConfig, TlsConfig } from './federation.ts'
import { cacheOptions, federationOptions, tlsOptions } from './federation.ts'
import type { KeysConfig } from './keys.ts'
import { keysOptions } from './keys.ts'
import { foldLegacyReplication } from './legacy-replication.ts'
import type { LimitsConfig } from './limits.ts'
import { limitsOptions } from './limits.ts'
import type { ListenerConfig } from './listeners.ts'
import { listenerOptions } from './listeners.ts'
import { isLocatedMap, locatePlain } from './located.ts'
import type { Located, LocatedEntry } from './located.ts'
import type { LoggingConfig } from './logging.ts'
import { loggingOptions } from './logging.ts'
import type { MediaConfig } from './media.ts'
import { mediaOptions } from './media.ts'
import { readTable } from './option.ts'
import { OTHER_OPTIONS } from './other-options.ts'
import type { RatelimitsConfig } from './ratelimits.ts'
import { ratelimitOptions } from './ratelimits.ts'
import { MapReader, readMap } from './reader.ts'
import type { ReadContext } from './reader.ts'
import type { RegistrationConfig } from './registration.ts'
import { registrationOptions } from './registration.ts'
import type { RoomsConfig } from './rooms.ts'
import { roomsOptions } from './rooms.ts'
import type { ServerConfig } from './server.ts'
import { serverOptions } from './server.ts'
import { findTopologyDoubts } from './topology-contradictions.ts'
import type { UsersConfig } from './users.ts'
import { usersOptions } from './users.ts'
import type { WorkersConfig } from './workers.ts'
import { workersOptions } from './workers.ts'
import { parseYaml } from './yaml-file.ts'

/** The whole configuration: one frozen object, read once at start. Durations end in `Ms`, sizes in `Bytes`. */
export interface Config {
  readonly server: ServerConfig
  readonly listeners: readonly ListenerConfig[]
  readonly database: DatabaseConfig
  readonly logging: LoggingConfig
  readonly registration: RegistrationConfig
  readonly email: EmailConfig
  readonly limits: LimitsConfig
  readonly ratelimits: RatelimitsConfig
  readonly media: MediaConfig
  readonly rooms: RoomsConfig
  readonly users: UsersConfig
  readonly keys: KeysConfig
  readonly federation: FederationConfig
  readonly tls: TlsConfig
  readonly caches: CachesConfig
  readonly workers: WorkersConfig
  readonly experimental: ExperimentalConfig
  /** Folder of the last configuration file that is not a worker's own; files with default names stand in it. */
  readonly directory: string
  /** What an admin should know; logged once at start. */
  readonly warnings: readonly string[]
}

/** All chapters of `homeserver.yaml`, in the order of docs/config.md. */
export const CONFIG_SECTIONS = [
  serverOptions,
  listenerOptions,
  databaseOptions,
  loggingOptions,
  registrationOptions,
  emailOptions,
  limitsOptions,
  ratelimitOptions,
  mediaOptions,
  roomsOptions,
  usersOptions,
  keysOptions,
  federationOptions,
  tlsOptions,
  cacheOptions,
  workersOptions,
  experimentalOptions,
] as const

/** Reads configuration files. Later ones override earlier ones, option by option; a folder means all its `*.yaml`, sorted. Throws ConfigError. */
export function loadConfig(files: readonly string[], overrides: Readonly<Record<string, unknown>> = {}): Config {
  const warnings: string[] = []
  const paths = files.flatMap(listConfigFiles)
  if (paths.length === 0)
    throw new ConfigError([`there is no configuration file in ${files.join(', ') || 'the command'}; give one with -c`])
  const documents = paths.map((path) => parseYaml(readConfigFile(path), path, warnings))
  documents.push(locatePlain(overrides, 'the command line'))
  // Files with default names (signing key, embedded database) belong to all processes: they do not stand beside a worker's own file.
  const shared = paths.findLast((_, index) => !isWorkerFile(documents[index])) ?? paths.at(-1) ?? '.'
  return readConfig(documents, { warnings, directory: dirname(resolve(shared)) })
}

function isWorkerFile(document: Located | undefined): boolean {
  return document !== undefined && isLocatedMap(document.value) && document.value.has('worker_app')
}

/** Lists the names of the options that stand in the files. Throws ConfigError. */
export function listWrittenOptions(files: readonly string[]): string[] {
  const documents = files.flatMap(listConfigFiles).map((path) => parseYaml(readConfigFile(path), path, []))
  return documents.flatMap(({ value }) => (isLocatedMap(value) ? [...value.keys()] : []))
}

/** Makes a configuration from an object with Synapse's option names; what is missing has its default. For tests and tools. Throws ConfigError. */
export function parseConfig(options: Readonly<Record<string, unknown>> = {}): Config {
  return readConfig([locatePlain({ server_name: 'localhost', ...options }, 'options')], {
    warnings: [],
    directory: process.cwd(),
  })
}

function readConfig(documents: readonly Located[], options: { warnings: string[]; directory: string }): Config {
  const context: ReadContext = {
    problems: [],
    warnings: options.warnings,
    directory: options.directory,
    readFile: (path) => readFileSync(resolve(path), 'utf8'),
  }
  const reader = mergeDocuments(documents, context)
  if (!reader.get('server_name'))
    context.problems.push(`${documents[0]?.place.file ?? ''}: server_name: it is missing; every server needs a name`)
  const server = readTable(serverOptions.options, reader)
  const config: Config = {
    server: Object.freeze({ ...server, ...derivePublicUrl(server.publicBaseurl, server.serverName) }),
    listeners: readTable(listenerOptions.options, reader).listeners,
    database: readTable(databaseOptions.options, reader).database,
    logging: readTable(loggingOptions.options, reader),
    registration: readTable(registrationOptions.options, reader),
    email: readTable(emailOptions.options, reader),
    limits: readTable(limitsOptions.options, reader),
    ratelimits: readTable(ratelimitOptions.options, reader),
    media: readTable(mediaOptions.options, reader),
    rooms: readTable(roomsOptions.options, reader),
    users: readTable(usersOptions.options, reader),
    keys: readTable(keysOptions.options, reader),
    federation: readTable(federationOptions.options, reader),
    tls: readTable(tlsOptions.options, reader),
    caches: readTable(cacheOptions.options, reader),
    workers: foldLegacyReplication(readTable(workersOptions.options, reader), reader),
    experimental: readTable(experimentalOptions.options, reader).experimentalFeatures,
    directory: options.directory,
    warnings: context.warnings,
  }
  reader.reportUnknown(OTHER_OPTIONS)
  for (const { option, what } of findContradictions(config))
    reader.problem(reader.get(option)?.place ?? reader.place, option, what)
  for (const { option, what } of findTopologyDoubts(config)) reader.warn(reader.get(option)?.place ?? reader.place, option, what)
  if (context.problems.length > 0) throw new ConfigError(context.problems)
  return Object.freeze(config)
}

function derivePublicUrl(
  given: string | undefined,
  serverName: string,
): { publicBaseUrl: string; servesClientWellKnown: boolean } {
  const url = given ?? `https://${serverName}/`
  return { publicBaseUrl: url.endsWith('/') ? url : `${url}/`, servesClientWellKnown: given !== undefined }
}

function mergeDocuments(documents: readonly Located[], context: ReadContext): MapReader {
  const merged = new Map<string, LocatedEntry>()
  const place = documents[0]?.place ?? { file: 'options', line: 0, column: 0 }
  for (const document of documents) {
    if (document.value === null) continue
    if (!isLocatedMap(document.value)) readMap(document, 'the file', context)
    else for (const [name, entry] of document.value) merged.set(name, entry)
  }
  return new MapReader(merged, { path: '', place, context })
}

function listConfigFiles(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    return readdirSync(path)
      .filter((name) => name.endsWith('.yaml'))
      .toSorted()
      .map((name) => join(path, name))
  } catch (error) {
    throw new ConfigError([`cannot read the configuration ${path}: ${describe(error)}`])
  }
}

function readConfigFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError([`cannot read the configuration ${path}: ${describe(error)}`])
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
