import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../src/process/embedded-postgres.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { runMigrations } from '../../src/storage/migrations.ts'
import { environmentVariable } from './environment.ts'
import { TestLogger } from './test-logger.ts'

/** A PostgreSQL for one test run. */
export interface TestPostgres {
  /** How to reach it; `database` is the one for administration. */
  readonly options: DatabaseOptions
  stop(): Promise<void>
}

/** Name of the migrated database that every test database is a copy of. */
export const TEMPLATE_DATABASE = 'ganglion_template'

/**
 * Starts an embedded PostgreSQL in a temporary folder. GANGLION_TEST_POSTGRES names one that runs already, by the folder
 * of its socket; its superuser `postgres` must get in without a password.
 */
export async function startTestPostgres(): Promise<TestPostgres> {
  const running = environmentVariable('GANGLION_TEST_POSTGRES')
  if (running !== undefined) return { options: { host: running, user: 'postgres', database: 'postgres' }, stop: async () => {} }
  const directory = await mkdtemp(join(tmpdir(), 'ganglion-pg-'))
  const postgres = await startEmbeddedPostgres({ dataDir: join(directory, 'data'), logger: new TestLogger() })
  const options = { ...postgres.connection, database: 'postgres' }
  await forgoDurability(options)
  return {
    options,
    async stop() {
      await postgres.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Tests kill servers, not machines: nothing has to reach the disk. */
async function forgoDurability(options: DatabaseOptions): Promise<void> {
  await administrate(options, async (client) => {
    for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes'])
      await client.query(`ALTER SYSTEM SET ${setting} = off`)
    await client.query('SELECT pg_reload_conf()')
  })
}

/** Makes the template anew and migrates it. */
export async function createTemplate(options: DatabaseOptions): Promise<void> {
  await administrate(options, async (client) => {
    await client.query(`DROP DATABASE IF EXISTS ${TEMPLATE_DATABASE} WITH (FORCE)`)
    await client.query(`CREATE DATABASE ${TEMPLATE_DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`)
  })
  await runMigrations({ ...options, database: TEMPLATE_DATABASE }, () => {})
}

/** Makes a migrated and empty database; a copy of the template, so it takes some 20 ms. */
export async function createTestDatabase(options: DatabaseOptions, name: string): Promise<DatabaseOptions> {
  await administrate(options, (client) =>
    client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)} TEMPLATE ${TEMPLATE_DATABASE}`),
  )
  return { ...options, database: name }
}

/** Drops a test database even while something is connected to it. */
export async function dropTestDatabase(options: DatabaseOptions, name: string): Promise<void> {
  await administrate(options, (client) => client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`))
}

async function administrate(options: DatabaseOptions, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const { max: _max, ...connection } = options
  const client = new pg.Client({ ...connection, database: 'postgres' })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
