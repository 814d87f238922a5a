import { lookup, resolveSrv } from 'node:dns/promises'
import { ConfigError } from '../../config/config-error.ts'
import type { DatabaseConfig } from '../../config/database.ts'
import type { DatabaseOptions } from '../../storage/database.ts'
import { inspectDatabase } from '../../storage/inspection.ts'
import type { Clock } from '../../util/clock.ts'
import { buildProxyModel } from '../proxy-config/model.ts'
import { listWorkerFiles, readWhatIsRight } from '../proxy-config/topology.ts'
import { checkConfiguration } from './config-checks.ts'
import type { ConfigurationUnderTest } from './config-checks.ts'
import { checkDatabase } from './database-checks.ts'
import { describeError, doubt, fault } from './finding.ts'
import type { Finding } from './finding.ts'
import { probe } from './http-probe.ts'
import { checkDiscovery, checkProxy } from './network-checks.ts'
import type { Network } from './network-checks.ts'
import { Places } from './places.ts'
import { checkProcesses } from './process-checks.ts'
import { checkRedis } from './redis-checks.ts'

export interface DoctorOptions {
  readonly shared: readonly string[]
  readonly workersDirectory: string | undefined
  /** Looks at nothing but the files. */
  readonly isOffline: boolean
  /** Sends requests through the proxy. */
  readonly isProxyAsked: boolean
  readonly clock: Clock
  /** How to connect to the database of a configuration. */
  readonly connectionOf: (database: DatabaseConfig) => DatabaseOptions
  readonly network?: Network
}

const REAL_NETWORK: Network = {
  probe,
  resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
  async hasServiceRecord(host) {
    const found = await Promise.allSettled(
      ['_matrix-fed._tcp', '_matrix._tcp'].map((service) => resolveSrv(`${service}.${host}`)),
    )
    return found.some(({ status }) => status === 'fulfilled')
  },
}

/** Looks for everything that keeps this server from working well, each thing once. Rejects only where the doctor itself is at fault. */
export async function examine(options: DoctorOptions): Promise<Finding[]> {
  const { shared, workersDirectory } = options
  const { processes, problems } = readWhatIsRight(shared, workersDirectory)
  const places = new Places()
  const workerFiles = workersDirectory === undefined ? [] : listWorkerFiles(workersDirectory)
  for (const file of [...shared, ...workerFiles]) places.add(file)
  const workerNames = workerFiles.flatMap((file) => places.textOf(file, 'worker_name') ?? places.textOf(file, 'worker_app') ?? [])
  const under: ConfigurationUnderTest = { processes, shared, workersDirectory, workerNames, places }
  const findings = [
    ...problems.map((problem) => fault(problem)),
    ...processes.flatMap(({ config }) => config.warnings.map((warning) => doubt(warning))),
    ...checkConfiguration(under),
  ]
  if (!options.isOffline) findings.push(...(await examineSurroundings(under, options)))
  return [...new Map(findings.map((finding) => [finding.text, finding])).values()]
}

async function examineSurroundings(under: ConfigurationUnderTest, options: DoctorOptions): Promise<Finding[]> {
  const network = options.network ?? REAL_NETWORK
  const found = await Promise.all([
    checkProcesses(under, network.probe),
    checkRedis(under),
    examineDatabase(under, options),
    checkDiscovery(under, network),
    options.isProxyAsked ? examineProxy(under, network) : [],
  ])
  return found.flat()
}

async function examineDatabase(under: ConfigurationUnderTest, { clock, connectionOf }: DoctorOptions): Promise<Finding[]> {
  const database = under.processes[0]?.config.database
  // The one that comes with the program is set up by it.
  if (database === undefined || database.name === 'embedded') return []
  const place = under.places.of(under.shared, 'database')
  try {
    return checkDatabase(await inspectDatabase(connectionOf(database), clock), under)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => fault(problem))
    return [fault(`${place}: PostgreSQL cannot be used (${describeError(error)}); start it, or correct \`args\``)]
  }
}

async function examineProxy(under: ConfigurationUnderTest, { probe: send }: Network): Promise<Finding[]> {
  const url = under.processes[0]?.config.server.publicBaseUrl ?? ''
  try {
    return await checkProxy(buildProxyModel(under.processes, { listen: [] }), url, send)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => fault(problem))
    throw error
  }
}
