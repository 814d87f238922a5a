import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEmbeddedPostgres } from '../../src/process/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../../src/process/embedded-postgres.ts'
import { checkDatabase } from '../../src/storage/requirements.ts'
import { createLogger } from '../../src/util/logger.ts'

let directory: string
let postgres: EmbeddedPostgres
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'requirements-'))
  postgres = await startEmbeddedPostgres({
    dataDir: directory,
    logger: createLogger({ rootLevel: 'silent', levels: new Map(), sinks: [] }),
  })
  const client = new pg.Client(postgres.connection)
  await client.connect()
  await client.query(`CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
  await client.query(
    `CREATE DATABASE sorted ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en' TEMPLATE template0`,
  )
  await client.end()
})
afterAll(async () => {
  await postgres.stop()
  rmSync(directory, { recursive: true })
})

function check(database: string, allowUnsafeLocale = false): Promise<void> {
  return checkDatabase({ ...postgres.connection, database }, { allowUnsafeLocale })
}

test('a database with UTF8 and collation C is accepted', async () => {
  await check('postgres')
})

test('another encoding is refused with the statement that makes a right one', async () => {
  await expect(check('latin')).rejects.toThrow(/LATIN1 and must have UTF8.*CREATE DATABASE latin ENCODING 'UTF8'/)
})

test('another collation is refused unless the admin insists', async () => {
  await expect(check('sorted')).rejects.toThrow(/collation ICU .*allow_unsafe_locale/)
  await check('sorted', true)
})

test('a database that is missing or does not answer is one sentence', async () => {
  await expect(check('nothing')).rejects.toThrow('The database nothing at')
  const closed = checkDatabase({ host: '127.0.0.1', port: 1, user: 'x', database: 'y' }, { allowUnsafeLocale: false })
  await expect(closed).rejects.toThrow(/The database y at 127.0.0.1 cannot be used: .*ECONNREFUSED/)
})
