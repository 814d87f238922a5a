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

/** What an administrator sees of a destination. */
export interface DestinationRecord {
  readonly destination: ServerName
  readonly retryLastTsMs: number
  readonly retryIntervalMs: number
  readonly failureTsMs: number | null
  /** Position of the newest event that arrived; 0 when none did. */
  readonly lastPosition: number
}

/** By what destinations can be sorted: columns by the names that Synapse gives them. */
export const DESTINATION_ORDERS = {
  destination: 'destination',
  retry_last_ts: 'retry_last_ts',
  retry_interval: 'retry_interval',
  failure_ts: 'failure_ts',
  last_successful_stream_ordering: 'last_pos',
} as const
export type DestinationOrder = keyof typeof DESTINATION_ORDERS

/** Reads a page of the destinations. */
export async function getDestinations(
  tx: Queryable,
  page: { readonly orderBy: DestinationOrder; readonly isReversed: boolean; readonly offset: number; readonly limit: number },
): Promise<{ readonly destinations: DestinationRecord[]; readonly total: number }> {
  const direction = page.isReversed ? 'DESC' : 'ASC'
  const [destinations, [count]] = await Promise.all([
    tx.query<DestinationRecord>(
      `get_destinations_${page.orderBy}_${direction}`,
      `SELECT ${COLUMNS}, last_pos AS "lastPosition" FROM destinations
        ORDER BY ${DESTINATION_ORDERS[page.orderBy]} ${direction}, destination ASC OFFSET $1 LIMIT $2`,
      [page.offset, page.limit],
    ),
    tx.query<{ count: number }>('count_destinations', 'SELECT count(*)::int AS count FROM destinations'),
  ])
  return { destinations, total: count?.count ?? 0 }
}

/** Reads one destination; undefined for a server that nothing was ever sent to. */
export async function getDestination(tx: Queryable, destination: string): Promise<DestinationRecord | undefined> {
  const rows = await tx.query<DestinationRecord>(
    'get_destination',
    `SELECT ${COLUMNS}, last_pos AS "lastPosition" FROM destinations WHERE destination = $1`,
    [destination],
  )
  return rows[0]
}

/** Reads a page of the rooms that a destination is in, with the newest event of ours in each that it has got. */
export async function getRoomsOfDestination(
  tx: Queryable,
  page: {
    readonly destination: string
    readonly serverName: string
    readonly isReversed: boolean
    readonly offset: number
    readonly limit: number
  },
): Promise<{ readonly rooms: { readonly roomId: string; readonly position: number }[]; readonly total: number }> {
  const direction = page.isReversed ? 'DESC' : 'ASC'
  const shared = `SELECT DISTINCT r.room_nid, r.room_id FROM memberships m JOIN rooms r USING (room_nid)
     WHERE m.membership = 'join' AND substr(m.user_id, strpos(m.user_id, ':') + 1) = $1`
  const [rooms, [count]] = await Promise.all([
    tx.query<{ roomId: string; position: number }>(
      `get_rooms_of_destination_${direction}`,
      `SELECT s.room_id AS "roomId", coalesce((
         SELECT e.position FROM events e
          WHERE e.room_nid = s.room_nid AND e.ordinal = 0 AND e.position IS NOT NULL AND substr(e.sender, strpos(e.sender, ':') + 1) = $4
            AND NOT EXISTS (SELECT FROM destination_queue q WHERE q.destination = $1 AND q.position = e.position)
          ORDER BY e.position DESC LIMIT 1), 0) AS position
         FROM (${shared}) AS s ORDER BY s.room_id ${direction} OFFSET $2 LIMIT $3`,
      [page.destination, page.offset, page.limit, page.serverName],
    ),
    tx.query<{ count: number }>('count_rooms_of_destination', `SELECT count(*)::int AS count FROM (${shared}) AS s`, [
      page.destination,
    ]),
  ])
  return { rooms, total: count?.count ?? 0 }
}
