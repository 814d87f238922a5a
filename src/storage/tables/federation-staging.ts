import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables federation_transactions, federation_staging. Schema: migrations/0023-federation-inbound.sql. */

/** An event that waits for its room. */
export interface StagedEvent {
  readonly roomId: RoomId
  readonly eventId: EventId
  /** Who sent it. */
  readonly origin: ServerName
  /** Canonical JSON without `unsigned`, as it is to be stored. */
  readonly json: string
}

/** One that was read back. */
export interface StagedEventRow extends StagedEvent {
  readonly stagingId: number
  readonly attempts: number
}

/** Reads how a transaction was answered, null where it was not; and counts what is staged of the server, up to `stagedMax`. */
export async function findTransaction(
  tx: Queryable,
  key: { readonly origin: ServerName; readonly txnId: string; readonly stagedMax: number },
): Promise<{ readonly response: string | null; readonly stagedCount: number }> {
  const [row] = await tx.query<{ response: string | null; stagedCount: number }>(
    'find_transaction',
    `SELECT (SELECT response FROM federation_transactions WHERE origin = $1 AND txn_id = $2) AS response,
       (SELECT count(*)::int FROM (SELECT FROM federation_staging WHERE origin = $1 LIMIT $3) AS staged) AS "stagedCount"`,
    [key.origin, key.txnId, key.stagedMax],
  )
  return row ?? { response: null, stagedCount: 0 }
}

/** Notes a transaction's answer, unless it has one. Returns the answer that counts. */
export async function insertTransaction(
  tx: Queryable,
  transaction: { readonly origin: ServerName; readonly txnId: string; readonly receivedTsMs: number; readonly response: string },
): Promise<string> {
  const rows = await tx.query<{ response: string }>(
    'insert_transaction',
    `INSERT INTO federation_transactions (origin, txn_id, received_ts_ms, response) VALUES ($1, $2, $3, $4)
     ON CONFLICT (origin, txn_id) DO UPDATE SET txn_id = EXCLUDED.txn_id RETURNING response`,
    [transaction.origin, transaction.txnId, transaction.receivedTsMs, transaction.response],
  )
  return rows[0]?.response ?? transaction.response
}

/**
 * Stages events in their order, each of them once. Those that are part of their rooms stay as they are. Those that wait already are due
 * at once: who sends one again may have more to show now.
 */
export async function insertStagedEvents(tx: Queryable, events: readonly StagedEvent[], receivedTsMs: number): Promise<void> {
  await tx.query(
    'insert_staged_events',
    `INSERT INTO federation_staging (room_id, event_id, origin, received_ts_ms, json)
     SELECT n.room_id, n.event_id, n.origin, $5, n.json
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS n(room_id, event_id, origin, json, ordinal)
      WHERE NOT EXISTS (SELECT FROM events e WHERE e.event_id = n.event_id AND e.flags & 1 = 0) ORDER BY n.ordinal
     ON CONFLICT (room_id, event_id) DO UPDATE SET retry_ts_ms = 0`,
    [
      events.map((event) => event.roomId),
      events.map((event) => event.eventId),
      events.map((event) => event.origin),
      events.map((event) => event.json),
      receivedTsMs,
    ],
  )
}

/** Reads the events of a room that are due, in the order in which they came, but for those in hand and all of `fullOrigins`. */
export async function getStagedEvents(
  tx: Queryable,
  page: {
    readonly roomId: RoomId
    readonly nowMs: number
    readonly limit: number
    readonly inHand: readonly number[]
    readonly fullOrigins: readonly ServerName[]
  },
): Promise<StagedEventRow[]> {
  return tx.query(
    'get_staged_events',
    `SELECT staging_id AS "stagingId", room_id AS "roomId", event_id AS "eventId", origin, attempts, json FROM federation_staging
      WHERE room_id = $1 AND retry_ts_ms <= $2 AND NOT staging_id = ANY($4) AND NOT origin = ANY($5) ORDER BY staging_id LIMIT $3`,
    [page.roomId, page.nowMs, page.limit, page.inHand, page.fullOrigins],
  )
}

/** Finds rooms with events that are due, and after `after` in the order of their ids. */
export async function getStagedRooms(
  tx: Queryable,
  page: { readonly after: string; readonly nowMs: number; readonly limit: number },
): Promise<RoomId[]> {
  const rows = await tx.query<{ roomId: RoomId }>(
    'get_staged_rooms',
    `SELECT DISTINCT room_id AS "roomId" FROM federation_staging WHERE room_id > $1 AND retry_ts_ms <= $2 ORDER BY room_id LIMIT $3`,
    [page.after, page.nowMs, page.limit],
  )
  return rows.map((row) => row.roomId)
}

/** Deletes events that are done with. */
export async function deleteStagedEvents(tx: Queryable, stagingIds: readonly number[]): Promise<void> {
  await tx.query('delete_staged_events', 'DELETE FROM federation_staging WHERE staging_id = ANY($1)', [stagingIds])
}

/** Lets an event wait that could not be completed. */
export async function postponeStagedEvent(tx: Queryable, stagingId: number, retryTsMs: number): Promise<void> {
  await tx.query(
    'postpone_staged_event',
    'UPDATE federation_staging SET attempts = attempts + 1, retry_ts_ms = $2 WHERE staging_id = $1',
    [stagingId, retryTsMs],
  )
}

/** Forgets transactions that nobody sends again: at most `limit`. */
export async function purgeTransactions(
  tx: Queryable,
  purge: { readonly receivedBeforeMs: number; readonly limit: number },
): Promise<void> {
  await tx.query(
    'purge_transactions',
    `DELETE FROM federation_transactions WHERE ctid = ANY(ARRAY(
       SELECT ctid FROM federation_transactions WHERE received_ts_ms < $1 ORDER BY received_ts_ms LIMIT $2))`,
    [purge.receivedBeforeMs, purge.limit],
  )
}

/** Finds which of the events are not stored here, not even for their own sake. */
export async function findUnknownEvents(tx: Queryable, eventIds: readonly EventId[]): Promise<EventId[]> {
  const rows = await tx.query<{ eventId: EventId }>(
    'find_unknown_events',
    `SELECT n.event_id AS "eventId" FROM unnest($1::text[]) AS n(event_id)
      WHERE NOT EXISTS (SELECT FROM events e WHERE e.event_id = n.event_id)`,
    [eventIds],
  )
  return rows.map((row) => row.eventId)
}

/** Reads the ids of a room's forward extremities. */
export async function getExtremityIds(tx: Queryable, roomId: RoomId): Promise<EventId[]> {
  const rows = await tx.query<{ eventId: EventId }>(
    'get_extremity_ids',
    `SELECT e.event_id AS "eventId" FROM rooms r JOIN room_head h USING (room_nid) JOIN events e ON e.event_nid = ANY(h.extremities)
      WHERE r.room_id = $1`,
    [roomId],
  )
  return rows.map((row) => row.eventId)
}
