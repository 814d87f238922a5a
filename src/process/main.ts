import { ENDPOINTS } from '../api/endpoints.ts'
import type { Config } from '../config/config.ts'
import { HttpServer } from '../http/http-server.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { runMigrations } from '../storage/migrations.ts'
import type { Logger } from '../util/logger.ts'
import { assemble } from './assemble.ts'

/** A server that answers. */
export interface RunningServer {
  /** The URLs it listens on. */
  readonly addresses: string[]
  stop(): Promise<void>
}

/** Migrates the database, wires the process, and listens. */
export async function startServer(deps: { config: Config; logger: Logger; databaseOptions: DatabaseOptions }): Promise<RunningServer> {
  const { config, logger } = deps
  await runMigrations(deps.databaseOptions, (file, index, total) => logger.info('migrating the database', { file, index, total }))
  const assembly = assemble(deps)
  await assembly.start()
  const server = new HttpServer(
    {
      isForwarded: false,
      onFinished: (info) => logger.debug('request', { ...info }),
      onInternalError: (error, info) => logger.error('internal error', { ...info, error }),
    },
    ENDPOINTS,
    assembly.client,
  )
  void config
  const addresses = [await server.listen({ host: '127.0.0.1', port: 0 })]
  return {
    addresses,
    async stop() {
      await server.close()
      await assembly.stop()
    },
  }
}
