import type { Config } from '../config/config.ts'
import { describeTopology } from '../config/topology.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { runMigrations } from '../storage/migrations.ts'
import type { Logger } from '../util/logger.ts'
import { assemble } from './assemble.ts'
import { listServedResources, openListeners } from './listeners.ts'
import type { OpenListeners } from './listeners.ts'

/** A server that answers. */
export interface RunningServer {
  /** The URLs it listens on. */
  readonly addresses: readonly string[]
  stop(): Promise<void>
}

/** Migrates the database, wires the process, listens, and joins the other processes of the server. */
export async function startServer(deps: {
  readonly config: Config
  readonly logger: Logger
  readonly databaseOptions: DatabaseOptions
  /** Another process has taken this one's name, after this one was silent for too long: it has to end. */
  readonly onReplaced?: () => void
}): Promise<RunningServer> {
  const { config, logger } = deps
  await runMigrations(deps.databaseOptions, (file, index, total) => logger.info('migrating the database', { file, index, total }))
  const topology = describeTopology(config)
  const resources = listServedResources(topology)
  const onReplaced = deps.onReplaced ?? (() => logger.error('another process has taken the name of this one'))
  const assembly = assemble({ ...deps, topology, resources, onReplaced })
  const { cluster } = assembly
  let listeners: OpenListeners | undefined
  try {
    await assembly.start()
    listeners = await openListeners({ config, logger, topology, observed: assembly.observed, context: assembly.client })
    await cluster.join()
    await assembly.ready()
  } catch (error) {
    await listeners?.close()
    await assembly.stop()
    throw error
  }
  const { addresses, close } = listeners
  return {
    addresses,
    async stop() {
      await cluster.leave()
      await close()
      await assembly.stop()
    },
  }
}
