import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table receipts. Schema: migrations/0014-receipts-and-push.sql. Unthreaded receipts have the thread id ''. */

const STREAM = STREAMS.receipts.number
/** How far an event's relations are followed to find its thread. Spec: client-server-api § Threaded read receipts. */
const RELATION_HOPS_MAX = 3

export interface ReceiptKey {
  readonly roomId: string
  readonly userId: string
  readonly receiptType: string
  readonly threadId: string
}

export interface ReceiptRow extends ReceiptKey {
  readonly eventId: string
  readonly receivedTsMs: number
}

export interface StoredReceipt extends ReceiptRow {
  readonly position: StreamPosition
  readonly eventPosition: number
}

const COLUMNS = `room_id AS "roomId", user_id AS "userId", receipt_type AS "receiptType", thread_id AS "threadId",
  event_id AS "eventId", received_ts_ms AS "receivedTsMs", position, event_position AS "eventPosition"`

/**
 * Stores a receipt at the claimed position with this index, unless the one that is there is for the same or a newer event.
 * Returns what stands there afterwards.
 */
export async function upsertReceipt(
  tx: Queryable,
  index: number,
  row: ReceiptRow & { eventPosition: number; notifyOrdinal: number },
): Promise<StoredReceipt | undefined> {
  const rows = await tx.query<StoredReceipt>(
    'upsert_receipt',
    `WITH written AS (
       INSERT INTO receipts (room_id, user_id, receipt_type, thread_id, event_id, received_ts_ms, event_position, notify_ordinal, position)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, claimed_pos(${STREAM}, 0, $9))
       ON CONFLICT (room_id, user_id, receipt_type, thread_id) DO UPDATE
         SET event_id = EXCLUDED.event_id, received_ts_ms = EXCLUDED.received_ts_ms, event_position = EXCLUDED.event_position,
             notify_ordinal = EXCLUDED.notify_ordinal, position = EXCLUDED.position
         WHERE receipts.event_position < EXCLUDED.event_position
       RETURNING *
     )
     SELECT ${COLUMNS} FROM written
     UNION ALL
     SELECT ${COLUMNS} FROM receipts
      WHERE room_id = $1 AND user_id = $2 AND receipt_type = $3 AND thread_id = $4 AND NOT EXISTS (SELECT FROM written)`,
    [
      row.roomId,
      row.userId,
      row.receiptType,
      row.threadId,
      row.eventId,
      row.receivedTsMs,
      row.eventPosition,
      row.notifyOrdinal,
      index,
    ],
  )
  return rows[0]
}

/** What a receipt may point at: an event of a room's timeline, and the events that it is related to. */
export interface ReceiptTarget {
  readonly position: number
  readonly notifyOrdinal: number
  /** The event itself first, then what it relates to, up to three hops. */
  readonly chain: readonly { readonly eventId: string; readonly threadId: string | null }[]
}

/** Finds the event in the room's timeline, with the chain of its relations; undefined where it is not there. */
export async function getReceiptTarget(
  tx: Queryable,
  event: { roomId: string; eventId: string },
): Promise<ReceiptTarget | undefined> {
  const rows = await tx.query<{ eventId: string; threadId: string | null; position: number; notifyOrdinal: number }>(
    'get_receipt_target',
    `WITH RECURSIVE chain AS (
       SELECT e.event_id, e.thread_id, e.relates_to, e.room_nid, e.position, e.notify_ordinal, 0 AS hop
         FROM events e WHERE e.event_id = $2 AND e.position IS NOT NULL AND e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1)
       UNION ALL
       SELECT e.event_id, e.thread_id, e.relates_to, e.room_nid, e.position, e.notify_ordinal, c.hop + 1
         FROM chain c JOIN events e ON e.event_id = c.relates_to AND e.room_nid = c.room_nid WHERE c.hop < ${RELATION_HOPS_MAX}
     )
     SELECT event_id AS "eventId", thread_id AS "threadId", position, notify_ordinal AS "notifyOrdinal" FROM chain ORDER BY hop`,
    [event.roomId, event.eventId],
  )
  const [first] = rows
  return first && { position: first.position, notifyOrdinal: first.notifyOrdinal, chain: rows }
}

/** Reads one receipt's event position; undefined where there is no such receipt. */
export async function getReceiptEventPosition(tx: Queryable, key: ReceiptKey): Promise<number | undefined> {
  const rows = await tx.query<{ eventPosition: number }>(
    'get_receipt_event_position',
    `SELECT event_position AS "eventPosition" FROM receipts
      WHERE room_id = $1 AND user_id = $2 AND receipt_type = $3 AND thread_id = $4`,
    [key.roomId, key.userId, key.receiptType, key.threadId],
  )
  return rows[0]?.eventPosition
}

/** Reads the positions of events in a room's timeline; those that are not there are left out. */
export async function getEventPositions(
  tx: Queryable,
  events: { roomId: string; eventIds: readonly string[] },
): Promise<Map<string, number>> {
  const rows = await tx.query<{ eventId: string; position: number }>(
    'get_event_positions',
    `SELECT event_id AS "eventId", position FROM events
      WHERE event_id = ANY($2) AND position IS NOT NULL AND room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1)`,
    [events.roomId, events.eventIds],
  )
  return new Map(rows.map((row) => [row.eventId, row.position]))
}

/** Reads all receipts of rooms that the user may see, oldest first: private ones only of his own. */
export async function getReceiptsOfRooms(
  tx: Queryable,
  of: { roomIds: readonly string[]; userId: string },
): Promise<StoredReceipt[]> {
  return tx.query<StoredReceipt>(
    'get_receipts_of_rooms',
    `SELECT ${COLUMNS} FROM receipts WHERE room_id = ANY($1) AND (receipt_type <> 'm.read.private' OR user_id = $2) ORDER BY position`,
    [of.roomIds, of.userId],
  )
}

/** Reads the receipts of rooms with after < position <= upTo that the user may see, oldest first. */
export async function getReceiptsChanged(
  tx: Queryable,
  range: { roomIds: readonly string[]; userId: string; after: StreamPosition; upTo: StreamPosition },
): Promise<StoredReceipt[]> {
  return tx.query<StoredReceipt>(
    'get_receipts_changed',
    `SELECT ${COLUMNS} FROM receipts
      WHERE room_id = ANY($1) AND position > $3 AND position <= $4 AND (receipt_type <> 'm.read.private' OR user_id = $2) ORDER BY position`,
    [range.roomIds, range.userId, range.after, range.upTo],
  )
}

/** Reads all receipts with after < position <= upTo, in order. */
export async function getReceiptRowsSince(
  tx: Queryable,
  range: { after: StreamPosition; upTo: StreamPosition },
): Promise<StoredReceipt[]> {
  return tx.query<StoredReceipt>(
    'get_receipt_rows_since',
    `SELECT ${COLUMNS} FROM receipts WHERE position > $1 AND position <= $2 ORDER BY position`,
    [range.after, range.upTo],
  )
}
