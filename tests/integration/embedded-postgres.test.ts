import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EmbeddedPostgres } from '../../src/process/embedded-postgres.ts'
import { copyPostgresBinaries, findPostgresBinaries } from '../../src/process/embedded-postgres-binaries.ts'
import { startEmbeddedPostgres } from '../../src/process/embedded-postgres.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { isProcessAlive } from '../../src/util/lock-file.ts'
import { createLogger } from '../../src/util/logger.ts'

const SUPERVISOR = join(import.meta.dirname, '..', 'kit', 'postgres-supervisor.ts')
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postgres-'))
  // As most folders are: others may pass. One test below has a closed one.
  chmodSync(directory, 0o755)
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function start(dataDir = directory): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDir, logger: createLogger({ rootLevel: 'silent', levels: new Map(), sinks: [] }) })
}

async function query(connection: DatabaseOptions, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ ...connection, port: 5432 })
  // A connection that the server closes under us is what some of these tests are about.
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

async function startProcess(): Promise<{ child: ChildProcess; pid: number; connection: DatabaseOptions }> {
  const child = spawn(process.execPath, [SUPERVISOR, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { child, ...(JSON.parse(line) as { pid: number; connection: DatabaseOptions }) }
}

test('a new cluster speaks UTF8 with collation C, keeps every commit, and what it was told after a clean restart', async () => {
  {
    await using postgres = await start()
    expect(
      await query(
        postgres.connection,
        `SELECT datcollate, datctype, pg_encoding_to_char(encoding) AS encoding FROM pg_database WHERE datname = current_database()`,
      ),
    ).toEqual([{ datcollate: 'C', datctype: 'C', encoding: 'UTF8' }])
    const settings = await query(
      postgres.connection,
      `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'jit', 'listen_addresses') ORDER BY name`,
    )
    expect(settings.map(({ setting }) => setting)).toEqual(['on', 'off', '', 'on'])
    await query(postgres.connection, 'CREATE TABLE kept AS SELECT 42 AS answer')
    expect(readFileSync(`/proc/${postgres.pid}/status`, 'utf8')).not.toMatch(/^Uid:\s+0\s+0\s+0\s+0$/m)
  }
  await using postgres = await start()
  expect(await query(postgres.connection, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
})

test('a second start on the same folder is refused with a sentence that names the process', async () => {
  await using postgres = await start()
  await expect(start()).rejects.toThrow(`is in use by process ${process.pid}`)
  expect(isProcessAlive(postgres.pid)).toBe(true)
})

test('after kill -9 of the supervisor, the next start stops the orphan and has every committed row', async () => {
  const { child, pid, connection } = await startProcess()
  await query(connection, 'CREATE TABLE kept AS SELECT 42 AS answer')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(isProcessAlive(pid)).toBe(true)
  await using postgres = await start()
  expect(postgres.pid).not.toBe(pid)
  expect(isProcessAlive(pid)).toBe(false)
  expect(await query(postgres.connection, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
})

test('after kill -9 of supervisor and PostgreSQL, the next start recovers every committed row', async () => {
  const { child, pid, connection } = await startProcess()
  await query(connection, 'CREATE TABLE kept AS SELECT 42 AS answer')
  child.kill('SIGKILL')
  process.kill(pid, 'SIGKILL')
  await once(child, 'exit')
  await using postgres = await start()
  expect(await query(postgres.connection, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
})

test('a PostgreSQL that dies is started anew', async () => {
  await using postgres = await start()
  const before = postgres.pid
  await query(postgres.connection, 'CREATE TABLE kept AS SELECT 42 AS answer')
  process.kill(before, 'SIGKILL')
  while (postgres.pid === before || !(await canConnect(postgres))) await sleep(50)
  expect(await query(postgres.connection, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
})

async function canConnect(postgres: EmbeddedPostgres): Promise<boolean> {
  return query(postgres.connection, 'SELECT 1').then(
    () => true,
    () => false,
  )
}

test('SIGTERM stops both, and the socket is gone', async () => {
  const { child, pid } = await startProcess()
  child.kill('SIGTERM')
  await once(child, 'exit')
  expect(isProcessAlive(pid)).toBe(false)
})

test('a folder with a path too long for a socket works', async () => {
  const long = join(directory, 'x'.repeat(60), 'y'.repeat(60))
  mkdirSync(long, { recursive: true })
  await using postgres = await start(long)
  expect(await query(postgres.connection, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  rmSync(String(postgres.connection.host), { recursive: true, force: true })
})

test.runIf(process.getuid?.() === 0)('as root, a folder that no other user can enter works too', async () => {
  const closed = join(directory, 'closed')
  mkdirSync(closed, { mode: 0o700 })
  await using postgres = await start(join(closed, 'data'))
  expect(await query(postgres.connection, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  expect(statSync(closed).mode & 0o777).toBe(0o700)
})

test('a copy of the program runs, for where the installed one cannot be used', () => {
  const copy = copyPostgresBinaries(findPostgresBinaries(), join(directory, 'copy'))
  expect(spawnSync(copy.postgres, ['--version'], { encoding: 'utf8' }).stdout).toMatch(/^postgres \(PostgreSQL\) \d/)
})
