import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import pg from 'pg'
import type { DatabaseOptions } from './database.ts'

const MIGRATION_LOCK = 1297237000
const DIRECTORY = new URL('./migrations/', import.meta.url)

export interface MigrationStatus {
  readonly applied: readonly string[]
  readonly pending: readonly string[]
}

/**
 * Applies all pending migrations, oldest first, each in a transaction of its own, under a session lock: of several
 * processes that start together one migrates and the others wait. Calls `onProgress` before each file.
 */
export async function runMigrations(
  options: DatabaseOptions,
  onProgress: (file: string, index: number, total: number) => void,
): Promise<void> {
  await withClient(options, async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK])
    const { pending } = await readStatus(client)
    for (const [index, file] of pending.entries()) {
      onProgress(file, index + 1, pending.length)
      const sql = await readFile(new URL(file, DIRECTORY), 'utf8')
      await client.query('BEGIN')
      try {
        await client.query(sql)
        await client.query('INSERT INTO schema_migrations (file) VALUES ($1)', [file])
        await client.query('COMMIT')
      } catch (error) {
        await client.query('ROLLBACK')
        throw new Error(`The migration ${file} failed`, { cause: error })
      }
    }
  })
}

/** Lists which migrations the database has and which it lacks. */
export async function getMigrationStatus(options: DatabaseOptions): Promise<MigrationStatus> {
  let status: MigrationStatus = { applied: [], pending: [] }
  await withClient(options, async (client) => {
    status = await readStatus(client)
  })
  return status
}

async function readStatus(client: pg.Client): Promise<MigrationStatus> {
  await client.query(
    'CREATE TABLE IF NOT EXISTS schema_migrations (file text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
  )
  const { rows } = await client.query<{ file: string }>('SELECT file FROM schema_migrations ORDER BY file')
  const applied = rows.map((row) => row.file)
  return { applied, pending: listMigrationFiles().filter((file) => !applied.includes(file)) }
}

/** The names of all migrations, oldest first. */
export function listMigrationFiles(): string[] {
  return readdirSync(DIRECTORY)
    .filter((file) => file.endsWith('.sql'))
    .sort()
}

async function withClient(options: DatabaseOptions, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const { max: _max, ...connection } = options
  const client = new pg.Client(connection)
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
