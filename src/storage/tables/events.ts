import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table events. Schema: migrations/0002-rooms-and-events.sql. Written by operations/persist-events.ts. */

export interface EventRecord {
  readonly eventNid: number
  readonly roomId: RoomId
  readonly roomVersion: string
  readonly eventId: EventId
  /** Null where the event is not part of the timeline here. */
  readonly position: number | null
  /** Negative for events from before the stream: they stand before the event at the position. */
  readonly ordinal: number
  readonly basePos: number
  readonly redactedBy: EventId | null
  readonly replacesNid: number | null
  readonly flags: number
  readonly notifyOrdinal: number
  readonly threadId: string | null
  readonly txnDevice: string | null
  readonly txnId: string | null
  readonly json: string
}

/** Columns of EventRecord: events as e, rooms as r. */
export const EVENT_COLUMNS = `e.event_nid AS "eventNid", r.room_id AS "roomId", r.room_version AS "roomVersion", e.event_id AS "eventId", e.position, e.ordinal,
  e.base_pos AS "basePos", e.redacted_by AS "redactedBy", e.replaces_nid AS "replacesNid", e.flags, e.notify_ordinal AS "notifyOrdinal",
  e.thread_id AS "threadId", e.txn_device AS "txnDevice", e.txn_id AS "txnId", e.json`

/** Reads events by id, in any order; unknown ids are left out. */
export async function getEventsById(tx: Queryable, eventIds: readonly string[]): Promise<EventRecord[]> {
  return tx.query<EventRecord>(
    'get_events_by_id',
    `SELECT ${EVENT_COLUMNS} FROM events e JOIN rooms r USING (room_nid) WHERE e.event_id = ANY($1)`,
    [eventIds],
  )
}

/** Reads events by number, in any order. */
export async function getEventsByNid(tx: Queryable, eventNids: readonly number[]): Promise<EventRecord[]> {
  return tx.query<EventRecord>(
    'get_events_by_nid',
    `SELECT ${EVENT_COLUMNS} FROM events e JOIN rooms r USING (room_nid) WHERE e.event_nid = ANY($1)`,
    [eventNids],
  )
}

/**
 * Reads a room's timeline between two positions, both inside: newest first for `b`, oldest first for `f`.
 * Rejected and soft-failed events are left out.
 */
export async function getTimeline(
  tx: Queryable,
  range: { roomId: RoomId; low: number; high: number; direction: 'b' | 'f'; limit: number },
): Promise<(EventRecord & { position: number })[]> {
  const order = range.direction === 'b' ? 'DESC' : 'ASC'
  return tx.query(
    `get_timeline_${range.direction}`,
    `SELECT ${EVENT_COLUMNS} FROM events e JOIN rooms r USING (room_nid)
      WHERE e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.position BETWEEN $2 AND $3 AND e.flags = 0 AND e.ordinal = 0
      ORDER BY e.position ${order} LIMIT $4`,
    [range.roomId, range.low, range.high, range.limit],
  )
}

/**
 * Reads a room's history between two places (position, ordinal), both inside: newest first for `b`, oldest first for `f`. Rejected and
 * soft-failed events are left out; what was filled in before the stream is there.
 */
export async function getHistory(
  tx: Queryable,
  range: {
    roomId: RoomId
    low: { readonly position: number; readonly ordinal: number }
    high: { readonly position: number; readonly ordinal: number }
    direction: 'b' | 'f'
    limit: number
  },
): Promise<(EventRecord & { position: number })[]> {
  const order = range.direction === 'b' ? 'DESC' : 'ASC'
  return tx.query(
    `get_history_${range.direction}`,
    `SELECT ${EVENT_COLUMNS} FROM events e JOIN rooms r USING (room_nid)
      WHERE e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND (e.position, e.ordinal) >= ($2, $3) AND (e.position, e.ordinal) <= ($4, $5)
        AND e.flags = 0
      ORDER BY e.position ${order}, e.ordinal ${order} LIMIT $6`,
    [range.roomId, range.low.position, range.low.ordinal, range.high.position, range.high.ordinal, range.limit],
  )
}

/** What decides who may see an event from before the stream: the slot's event in the state before it. */
export interface HistorySlotRecord {
  readonly eventNid: number
  readonly type: string
  readonly json: string
}

/** Reads the history visibility and one user's membership in the states before events. */
export async function getVisibilityBefore(
  tx: Queryable,
  key: { eventNids: readonly number[]; userId: string },
): Promise<HistorySlotRecord[]> {
  return tx.query(
    'get_visibility_before',
    `SELECT e.event_nid AS "eventNid", s.type, v.json
       FROM events e
       JOIN state_slots s ON (s.type = 'm.room.history_visibility' AND s.state_key = '') OR (s.type = 'm.room.member' AND s.state_key = $2)
       LEFT JOIN state_overlays o USING (overlay_id)
       JOIN events v ON v.event_nid = coalesce(
         (SELECT x.event_nid FROM unnest(o.slot_nids, o.event_nids) AS x(slot_nid, event_nid) WHERE x.slot_nid = s.slot_nid),
         (SELECT i.event_nid FROM state_intervals i
           WHERE i.room_nid = e.room_nid AND i.slot_nid = s.slot_nid AND i.from_pos <= e.base_pos AND i.to_pos > e.base_pos))
      WHERE e.event_nid = ANY($1)`,
    [key.eventNids, key.userId],
  )
}

/** Reads the newest `limit` events at or below `high` of each room, newest first inside each room. */
export async function getRecentTimelines(
  tx: Queryable,
  range: { roomIds: readonly RoomId[]; high: number; limit: number },
): Promise<(EventRecord & { position: number })[]> {
  return tx.query(
    'get_recent_timelines',
    `SELECT ${EVENT_COLUMNS} FROM rooms r CROSS JOIN LATERAL (
        SELECT * FROM events WHERE room_nid = r.room_nid AND position <= $2 AND flags = 0 AND ordinal = 0 ORDER BY position DESC LIMIT $3) e
      WHERE r.room_id = ANY($1) ORDER BY e.room_nid, e.position DESC`,
    [range.roomIds, range.high, range.limit],
  )
}

/** An event with what the events stream tells of it besides. */
export interface StreamEventRecord extends EventRecord {
  readonly position: number
  readonly relationType: string | null
  readonly relatesTo: string | null
  /** The event that this redaction redacted. */
  readonly redacted: EventId | null
  readonly replacedEventId: EventId | null
  readonly replacedSender: string | null
  readonly replacedJson: string | null
  /** The event raised its room's count of notifying events. */
  readonly isNotifying: boolean
}

/** Reads all events of the stream with after < position <= upTo, for readers with a gap. */
export async function getEventsSince(
  tx: Queryable,
  range: { lane: number; after: number; upTo: number },
): Promise<StreamEventRecord[]> {
  return tx.query(
    'get_events_since',
    `SELECT ${EVENT_COLUMNS}, e.relation_type AS "relationType", e.relates_to AS "relatesTo", t.event_id AS redacted,
            p.event_id AS "replacedEventId", p.sender AS "replacedSender", p.json AS "replacedJson",
            e.notify_ordinal > coalesce((SELECT b.notify_ordinal FROM events b WHERE b.room_nid = e.room_nid AND b.position < e.position AND b.ordinal = 0
                                          ORDER BY b.position DESC LIMIT 1), 0) AS "isNotifying"
       FROM events e JOIN rooms r USING (room_nid)
       LEFT JOIN events t ON t.event_id = e.redacts AND t.redacted_by = e.event_id
       LEFT JOIN events p ON p.event_nid = e.replaces_nid
      WHERE e.lane = $1 AND e.position > $2 AND e.position <= $3 AND e.ordinal = 0 ORDER BY e.position`,
    [range.lane, range.after, range.upTo],
  )
}

/** Finds the event that a device sent with a transaction id; undefined where there is none. */
export async function getEventIdOfTransaction(
  tx: Queryable,
  key: { sender: string; txnDevice: string; txnId: string; txnScope: string; roomId: string },
): Promise<EventId | undefined> {
  const rows = await tx.query<{ eventId: EventId }>(
    'get_event_id_of_transaction',
    `SELECT event_id AS "eventId" FROM events WHERE sender = $1 AND txn_device = $2 AND txn_id = $3 AND txn_scope = $4
        AND room_nid = (SELECT room_nid FROM rooms WHERE room_id = $5)`,
    [key.sender, key.txnDevice, key.txnId, key.txnScope, key.roomId],
  )
  return rows[0]?.eventId
}

/** Draws a block of numbers for rooms and events; returns the first of 256. */
export async function drawNids(tx: Queryable): Promise<number> {
  const [row] = await tx.query<{ first: number }>('draw_nids', `SELECT nextval('nids') AS first`)
  if (!row) throw new Error('nextval returned no row')
  return row.first
}

/** Reads the events of a room's timeline nearest to a time: at or before it, latest first (`b`), or at or after it (`f`). */
export async function getEventsNearTime(
  tx: Queryable,
  query: { roomId: RoomId; timestampMs: number; direction: 'b' | 'f'; limit: number; offset: number },
): Promise<EventRecord[]> {
  const [compare, order] = query.direction === 'b' ? ['<=', 'DESC'] : ['>=', 'ASC']
  return tx.query<EventRecord>(
    `get_events_near_time_${query.direction}`,
    `SELECT ${EVENT_COLUMNS} FROM events e JOIN rooms r USING (room_nid)
      WHERE e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.origin_server_ts ${compare} $2
        AND e.flags = 0 AND e.position IS NOT NULL
      ORDER BY e.origin_server_ts ${order}, e.position ${order}, e.ordinal ${order} LIMIT $3 OFFSET $4`,
    [query.roomId, query.timestampMs, query.limit, query.offset],
  )
}

/** Reads the events of several rooms in (after, upTo], oldest first. */
export async function getEventsOfRooms(
  tx: Queryable,
  range: { roomIds: readonly RoomId[]; after: number; upTo: number; limit: number },
): Promise<(EventRecord & { position: number })[]> {
  return tx.query(
    'get_events_of_rooms',
    `SELECT ${EVENT_COLUMNS} FROM events e JOIN rooms r USING (room_nid)
      WHERE r.room_id = ANY($1) AND e.position > $2 AND e.position <= $3 AND e.flags = 0 AND e.ordinal = 0 ORDER BY e.position LIMIT $4`,
    [range.roomIds, range.after, range.upTo, range.limit],
  )
}
