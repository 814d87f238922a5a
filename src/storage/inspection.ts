import pg from 'pg'
import type { Clock } from '../util/clock.ts'
import type { DatabaseOptions } from './database.ts'

const CONNECT_TIMEOUT_MS = 5000
const COMMITS_MEASURED = 9
/** No lock of the program: replication's are 1297237248 and above, the migrations' is 1297237000. */
const TEST_LOCK = 1297237001

/** How a database is set up, for who looks after it. */
export interface DatabaseInspection {
  /** 17.2 is 170002. */
  readonly versionNumber: number
  readonly encoding: string
  readonly collation: string
  readonly ctype: string
  readonly fsync: boolean
  readonly synchronousCommit: string
  readonly fullPageWrites: boolean
  readonly connectionsMax: number
  readonly connectionsReserved: number
  readonly isStandby: boolean
  /** Sequences of positions that draw more than one at a time. */
  readonly cachingSequences: readonly string[]
  /** Our clock less the database's. */
  readonly clockOffsetMs: number
  /** The median of a commit that reaches the disk. */
  readonly commitMs: number
  /** Whether a lock that one session holds keeps another out. */
  readonly doLocksExclude: boolean
  /** Whether a session's lock is still there in its next statement: not behind a pooler that shares connections. */
  readonly doSessionsLast: boolean
}

/** Looks at a database over two connections of its own, and changes nothing. Rejects where it cannot be reached. */
export async function inspectDatabase(options: DatabaseOptions, clock: Clock): Promise<DatabaseInspection> {
  const { max: _max, ...connection } = options
  const clients = [0, 1].map(() => new pg.Client({ ...connection, connectionTimeoutMillis: CONNECT_TIMEOUT_MS }))
  const [one, other] = clients
  if (one === undefined || other === undefined) throw new Error('There are two clients')
  try {
    for (const client of clients) {
      // A connection that breaks rejects what is under way; without a listener it would end the program.
      client.on('error', () => undefined)
      await client.connect()
    }
    return {
      ...(await readSettings(one)),
      ...(await testLocks(one, other)),
      clockOffsetMs: await measureClock(one, clock),
      commitMs: await measureCommit(one, clock),
    }
  } finally {
    await Promise.allSettled(clients.map((client) => client.end()))
  }
}

type Settings = Omit<DatabaseInspection, 'clockOffsetMs' | 'commitMs' | 'doLocksExclude' | 'doSessionsLast'>

async function readSettings(client: pg.Client): Promise<Settings> {
  const { rows } = await client.query<Omit<Settings, 'cachingSequences'>>(`
    SELECT current_setting('server_version_num')::integer AS "versionNumber",
           pg_encoding_to_char(encoding) AS encoding, datctype AS ctype,
           CASE to_jsonb(pg_database) ->> 'datlocprovider' WHEN 'i' THEN 'ICU' ELSE datcollate END AS collation,
           current_setting('fsync')::boolean AS fsync,
           current_setting('synchronous_commit') AS "synchronousCommit",
           current_setting('full_page_writes')::boolean AS "fullPageWrites",
           current_setting('max_connections')::integer AS "connectionsMax",
           current_setting('superuser_reserved_connections')::integer AS "connectionsReserved",
           pg_is_in_recovery() AS "isStandby"
      FROM pg_database WHERE datname = current_database()`)
  const sequences = await client.query<{ name: string }>(
    `SELECT sequencename AS name FROM pg_sequences
      WHERE schemaname = ANY (current_schemas(false)) AND sequencename LIKE 'stream\\_%\\_pos' AND cache_size <> 1 ORDER BY 1`,
  )
  const [row] = rows
  if (row === undefined) throw new Error('The database does not know itself')
  return { ...row, cachingSequences: sequences.rows.map(({ name }) => name) }
}

async function testLocks(one: pg.Client, other: pg.Client): Promise<{ doLocksExclude: boolean; doSessionsLast: boolean }> {
  // Another doctor may be at it.
  const mine = await one.query<{ ok: boolean }>('SELECT pg_try_advisory_lock($1) AS ok', [TEST_LOCK])
  if (mine.rows[0]?.ok !== true) return { doLocksExclude: true, doSessionsLast: true }
  const theirs = await other.query<{ ok: boolean }>('SELECT pg_try_advisory_lock($1) AS ok', [TEST_LOCK])
  const wasExcluded = theirs.rows[0]?.ok === false
  if (!wasExcluded) await other.query('SELECT pg_advisory_unlock($1)', [TEST_LOCK])
  const unlocked = await one.query<{ ok: boolean }>('SELECT pg_advisory_unlock($1) AS ok', [TEST_LOCK])
  return { doLocksExclude: wasExcluded, doSessionsLast: unlocked.rows[0]?.ok === true }
}

async function measureClock(client: pg.Client, clock: Clock): Promise<number> {
  const beforeMs = clock.nowMs()
  const { rows } = await client.query<{ ms: string }>('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms')
  // Halfway between asking and hearing.
  return Math.round((beforeMs + clock.nowMs()) / 2 - Number(rows[0]?.ms ?? 0))
}

async function measureCommit(client: pg.Client, clock: Clock): Promise<number> {
  const durations: number[] = []
  for (let count = 0; count < COMMITS_MEASURED; count += 1) {
    const startMs = clock.monotonicMs()
    // A message in the log that nobody reads: written and flushed like any commit.
    await client.query("SELECT pg_logical_emit_message(true, 'ganglion doctor', '')")
    durations.push(clock.monotonicMs() - startMs)
  }
  return durations.toSorted((one, other) => one - other)[COMMITS_MEASURED >> 1] ?? 0
}
