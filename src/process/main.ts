import type { Config } from '../config/config.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { runMigrations } from '../storage/migrations.ts'
import type { Logger } from '../util/logger.ts'
import { assemble } from './assemble.ts'
import { openListeners } from './listeners.ts'

/** A server that answers. */
export interface RunningServer {
  /** The URLs it listens on. */
  readonly addresses: readonly string[]
  stop(): Promise<void>
}

/** Migrates the database, wires the process, and listens. */
export async function startServer(deps: {
  config: Config
  logger: Logger
  databaseOptions: DatabaseOptions
}): Promise<RunningServer> {
  const { config, logger } = deps
  await runMigrations(deps.databaseOptions, (file, index, total) => logger.info('migrating the database', { file, index, total }))
  const assembly = assemble(deps)
  try {
    await assembly.start()
    const listeners = await openListeners({ config, logger, context: assembly.client })
    return {
      addresses: listeners.addresses,
      async stop() {
        await listeners.close()
        await assembly.stop()
      },
    }
  } catch (error) {
    await assembly.stop()
    throw error
  }
}
