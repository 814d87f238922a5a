import pg from 'pg'
import type { DatabaseOptions } from './database.ts'

const CONNECT_TIMEOUT_MS = 5000
/** Long enough for somebody who only asks whether the lock is free. */
const LOCK_TIMEOUT_MS = 2000
const CHECK_TIMEOUT_MS = 2000

/** A lock that PostgreSQL frees when this connection ends, however it ends. */
export interface SessionLock {
  /** Makes sure that the connection is still there; rejects when it is not, and then the lock is as good as lost. */
  check(): Promise<void>
  release(): Promise<void>
}

/**
 * Opens a connection of its own and takes the liveness lock of a boot on it (migrations/0020-members.sql). It must be a direct one:
 * behind a pooler in transaction mode, a session is nobody's. `onLost` is called once if the connection ends by itself.
 */
export async function openLivenessLock(
  options: DatabaseOptions,
  request: { readonly boot: string; readonly applicationName: string; onLost(error: Error | undefined): void },
): Promise<SessionLock> {
  const { max: _max, ...connection } = options
  const client = new pg.Client({
    ...connection,
    application_name: request.applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: LOCK_TIMEOUT_MS + CONNECT_TIMEOUT_MS,
    keepAlive: true,
  })
  let isOver = false
  const over = (error?: Error): void => {
    if (isOver) return
    isOver = true
    request.onLost(error)
  }
  let isHeld = false
  client.on('error', (error) => (isHeld ? over(error) : undefined))
  client.on('end', () => (isHeld ? over() : undefined))
  try {
    await client.connect()
    // A host that vanished must not hold the lock for the two hours that TCP would give it. Idle is what this session is for.
    await client.query(
      `SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; SET idle_session_timeout = 0;
       SET lock_timeout = ${LOCK_TIMEOUT_MS}`,
    )
    await client.query('SELECT pg_advisory_lock(liveness_key($1))', [request.boot])
    isHeld = true
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
  return {
    async check() {
      await client.query({ text: 'SELECT 1', query_timeout: CHECK_TIMEOUT_MS } as pg.QueryConfig)
    },
    async release() {
      isOver = true
      await client.end()
    },
  }
}
