import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { getMigrationStatus, runMigrations } from '../../src/storage/migrations.ts'
import { environmentVariable } from '../kit/environment.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const DUMP = new URL('../vectors/schema.sql', import.meta.url)

describe('database schema', () => {
  let options: DatabaseOptions
  let database: Database

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `schema_${randomBytes(6).toString('hex')}`)
    database = new Database({ ...options, max: 4 }, { onError: () => {} })
  })

  afterAll(async () => {
    await database.close()
    await dropTestDatabase(options, options.database)
  })

  it('after all migrations is the one in tests/vectors/schema.sql (GANGLION_UPDATE_SCHEMA=1 writes it anew)', async () => {
    const dump = await dumpSchema(database)
    if (environmentVariable('GANGLION_UPDATE_SCHEMA') !== undefined) await writeFile(DUMP, dump)
    expect(dump).toContain('CREATE TABLE events')
    expect(dump).toBe(await readFile(DUMP, 'utf8'))
  })

  it('is migrated once: several processes that start together find nothing left to do', async () => {
    const applied: string[] = []
    await Promise.all([1, 2, 3].map(() => runMigrations(options, (file) => applied.push(file))))
    expect(applied).toEqual([])
    expect((await getMigrationStatus(options)).pending).toEqual([])
  })
})

/** Writes tables, columns, constraints, indexes, sequences and functions as text, sorted by name. */
async function dumpSchema(database: Database): Promise<string> {
  const lines = async (name: string, sql: string): Promise<string[]> =>
    (await database.query<{ line: string }>(name, sql)).map((row) => row.line)
  const parts = await Promise.all([
    lines(
      'dump_tables',
      `SELECT 'CREATE TABLE ' || c.relname || E' (\n' || string_agg('  ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
                || CASE WHEN a.attidentity <> '' THEN ' GENERATED ALWAYS AS IDENTITY' ELSE '' END
                || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), ''), E',\n' ORDER BY a.attnum) || E'\n)' AS line
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname ORDER BY c.relname`,
    ),
    lines(
      'dump_constraints',
      `SELECT 'ALTER TABLE ' || conrelid::regclass || ' ADD ' || pg_get_constraintdef(oid) AS line
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
        ORDER BY conrelid::regclass::text, pg_get_constraintdef(oid)`,
    ),
    lines('dump_indexes', `SELECT indexdef AS line FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname`),
    lines(
      'dump_sequences',
      `SELECT 'CREATE SEQUENCE ' || sequencename || ' INCREMENT ' || increment_by || ' CACHE ' || cache_size AS line
         FROM pg_sequences WHERE schemaname = 'public' ORDER BY sequencename`,
    ),
    lines(
      'dump_functions',
      `SELECT pg_get_functiondef(p.oid) AS line FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY p.proname`,
    ),
  ])
  return `${parts
    .flat()
    .map((line) => `${line.trimEnd()};\n`)
    .join('\n')}`
}
