import type { ServerName } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table destinations: back-off. Schema: migrations/0021-federation.sql. */

/** How a destination has been reached lately. Interval 0: all is well. */
export interface DestinationRetry {
  readonly retryLastTsMs: number
  readonly retryIntervalMs: number
  /** Since when nothing succeeded. */
  readonly failureTsMs: number | undefined
}

interface Row {
  destination: ServerName
  retryLastTsMs: number
  retryIntervalMs: number
  failureTsMs: number | null
}

const COLUMNS = `destination, retry_last_ts AS "retryLastTsMs", retry_interval AS "retryIntervalMs", failure_ts AS "failureTsMs"`

/** Reads how destinations have been reached lately; those without a row are left out. */
export async function getDestinationRetries(
  tx: Queryable,
  destinations: readonly ServerName[],
): Promise<ReadonlyMap<ServerName, DestinationRetry>> {
  const rows = await tx.query<Row>(
    'get_destination_retries',
    `SELECT ${COLUMNS} FROM destinations WHERE destination = ANY ($1::text[])`,
    [destinations],
  )
  return new Map(rows.map((row) => [row.destination, toRetry(row)]))
}

/**
 * Notes a failure of an attempt that began at `startedTsMs`, unless another one was noted since: of many requests that fail
 * together, only the first makes the pause longer. Returns what then stands; undefined where nothing was changed.
 */
export async function recordDestinationFailure(
  tx: Queryable,
  failure: {
    readonly destination: ServerName
    readonly startedTsMs: number
    readonly nowMs: number
    readonly firstIntervalMs: number
    /** How much longer than the last one the next pause is. */
    readonly factor: number
    readonly intervalMaxMs: number
  },
): Promise<DestinationRetry | undefined> {
  const rows = await tx.query<Row>(
    'record_destination_failure',
    `INSERT INTO destinations AS d (destination, retry_last_ts, retry_interval, failure_ts)
     VALUES ($1, $3::bigint, $4::bigint, $3::bigint)
     ON CONFLICT (destination) DO UPDATE
       SET retry_last_ts = EXCLUDED.retry_last_ts,
           retry_interval = CASE WHEN d.retry_interval = 0 THEN EXCLUDED.retry_interval
                            ELSE least($6::float8, d.retry_interval * $5::float8)::bigint END,
           failure_ts = coalesce(d.failure_ts, EXCLUDED.failure_ts)
       WHERE d.retry_last_ts <= $2::bigint
     RETURNING ${COLUMNS}`,
    [failure.destination, failure.startedTsMs, failure.nowMs, failure.firstIntervalMs, failure.factor, failure.intervalMaxMs],
  )
  return rows[0] && toRetry(rows[0])
}

/** Notes that all is well again. Returns whether it was not before. */
export async function clearDestinationFailure(tx: Queryable, destination: ServerName): Promise<boolean> {
  const rows = await tx.query(
    'clear_destination_failure',
    `UPDATE destinations SET retry_last_ts = 0, retry_interval = 0, failure_ts = NULL
      WHERE destination = $1 AND (retry_interval <> 0 OR failure_ts IS NOT NULL) RETURNING destination`,
    [destination],
  )
  return rows.length > 0
}

function toRetry(row: Row): DestinationRetry {
  return {
    retryLastTsMs: row.retryLastTsMs,
    retryIntervalMs: row.retryIntervalMs,
    failureTsMs: row.failureTsMs ?? undefined,
  }
}
