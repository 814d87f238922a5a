import type { Config } from '../config/config.ts'
import { findRunningPostgres, startEmbeddedPostgres } from '../process/embedded-postgres.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { embeddedDirectoryOf } from './embedded-database.ts'
import { openLog, openOutsideDatabase } from './run-server.ts'

/** Does some work on the database of a configuration: the admin's own one, or the embedded one, which is started where it does not run. */
export async function withDatabase<T>(config: Config, work: (options: DatabaseOptions) => Promise<T>): Promise<T> {
  if (config.database.name === 'psycopg2') return work(await openOutsideDatabase(config))
  const dataDir = embeddedDirectoryOf(config)
  const running = findRunningPostgres(dataDir)
  if (running !== undefined) return work(running)
  await using postgres = await startEmbeddedPostgres({ dataDir, logger: openLog(config) })
  return await work(postgres.connection)
}
