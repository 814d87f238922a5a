import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import { EVENT_COLUMNS } from './events.ts'
import type { EventRecord } from './events.ts'

/** Reads of the rooms' graphs for appending. Schema: migrations/0002-rooms-and-events.sql, 0022-foreign-events.sql. */

/** What the columns `events.flags` say. */
export const EVENT_FLAGS = { outlier: 1, rejected: 2, softFailed: 4, hidden: 8 } as const

/** An event with the place of its state. */
export interface GraphEventRecord extends EventRecord {
  readonly overlayId: number | null
}

/** Reads events of a room by id, with what appending needs of them; unknown ids are left out. */
export async function getGraphEvents(tx: Queryable, eventIds: readonly string[]): Promise<GraphEventRecord[]> {
  return tx.query(
    'get_graph_events',
    `SELECT ${EVENT_COLUMNS}, e.overlay_id AS "overlayId" FROM events e JOIN rooms r USING (room_nid) WHERE e.event_id = ANY($1)`,
    [eventIds],
  )
}

/** A state event without its content. */
export interface StateEventRecord {
  readonly eventId: EventId
  readonly eventNid: number
  readonly type: string
  readonly stateKey: string | null
  readonly flags: number
}

/** Reads of which slots events of a room are; unknown ids are left out. */
export async function getStateEvents(
  tx: Queryable,
  key: { roomNid: number; eventIds: readonly string[] },
): Promise<StateEventRecord[]> {
  return tx.query(
    'get_state_events',
    `SELECT event_id AS "eventId", event_nid AS "eventNid", type, state_key AS "stateKey", flags FROM events
      WHERE room_nid = $1 AND event_id = ANY($2)`,
    [key.roomNid, key.eventIds],
  )
}

/** One entry of an overlay; an event number 0 has no id. */
export interface OverlayEntryRecord {
  readonly overlayId: number
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number
  readonly eventId: EventId | null
}

/** Reads the entries of overlays. */
export async function getOverlayEntries(tx: Queryable, overlayIds: readonly number[]): Promise<OverlayEntryRecord[]> {
  return tx.query(
    'get_overlay_entries',
    `SELECT o.overlay_id AS "overlayId", s.type, s.state_key AS "stateKey", n.event_nid AS "eventNid", e.event_id AS "eventId"
       FROM state_overlays o CROSS JOIN LATERAL unnest(o.slot_nids, o.event_nids) AS n(slot_nid, event_nid)
       JOIN state_slots s USING (slot_nid) LEFT JOIN events e ON e.event_nid = n.event_nid
      WHERE o.overlay_id = ANY($1)`,
    [overlayIds],
  )
}

/** A value of a slot: for from <= position < to. */
export interface IntervalRecord {
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number
  readonly eventId: EventId | null
  readonly fromPos: number
  readonly toPos: number
}

/** Reads what the slots that changed in (low, high], and the named ones, held from `low` to `high`. */
export async function getIntervalsBetween(
  tx: Queryable,
  range: {
    roomNid: number
    low: number
    high: number
    slots: readonly { readonly type: string; readonly stateKey: string }[]
  },
): Promise<IntervalRecord[]> {
  return tx.query(
    'get_intervals_between',
    `SELECT s.type, s.state_key AS "stateKey", i.event_nid AS "eventNid", e.event_id AS "eventId", i.from_pos AS "fromPos", i.to_pos AS "toPos"
       FROM (SELECT slot_nid FROM state_intervals WHERE room_nid = $1 AND from_pos > $2 AND from_pos <= $3
             UNION SELECT s.slot_nid FROM unnest($4::text[], $5::text[]) AS n(type, state_key)
                     JOIN state_slots s ON s.type = n.type AND s.state_key = n.state_key) AS c
       JOIN state_slots s USING (slot_nid)
       LEFT JOIN state_intervals i ON i.room_nid = $1 AND i.slot_nid = c.slot_nid AND i.from_pos <= $3 AND i.to_pos > $2
       LEFT JOIN events e ON e.event_nid = i.event_nid`,
    [range.roomNid, range.low, range.high, range.slots.map((slot) => slot.type), range.slots.map((slot) => slot.stateKey)],
  )
}

/** An event of an auth chain with the numbers of its auth events. */
export interface AuthChainRecord {
  readonly eventNid: number
  readonly eventId: EventId
  readonly authNids: number[]
}

/** Reads the auth chains of events, these included, in one query. */
export async function getAuthChains(tx: Queryable, eventIds: readonly string[]): Promise<AuthChainRecord[]> {
  return tx.query(
    'get_auth_chains',
    `WITH RECURSIVE chain(event_nid) AS (
       SELECT event_nid FROM events WHERE event_id = ANY($1)
       UNION SELECT a.auth_nid FROM chain c JOIN event_auth a USING (event_nid))
     SELECT c.event_nid AS "eventNid", e.event_id AS "eventId", ARRAY(SELECT a.auth_nid FROM event_auth a WHERE a.event_nid = c.event_nid) AS "authNids"
       FROM chain c JOIN events e USING (event_nid)`,
    [eventIds],
  )
}

/**
 * Finds those of the events that are in the auth chain of an event which the room's state held in a slot all the time from `low`
 * to `high`; the slots in `except` do not count.
 */
export async function getReachedFromState(
  tx: Queryable,
  query: {
    roomNid: number
    eventIds: readonly string[]
    low: number
    high: number
    except: readonly { readonly type: string; readonly stateKey: string }[]
  },
): Promise<EventId[]> {
  const rows = await tx.query<{ eventId: EventId }>(
    'get_reached_from_state',
    `WITH RECURSIVE citing(start, event_nid) AS (
       SELECT event_nid, event_nid FROM events WHERE event_id = ANY($2)
       UNION SELECT c.start, a.event_nid FROM citing c JOIN event_auth a ON a.auth_nid = c.event_nid)
     SELECT DISTINCT t.event_id AS "eventId" FROM citing c
       JOIN events e USING (event_nid)
       JOIN state_slots s ON s.type = e.type AND s.state_key = e.state_key
       JOIN state_intervals i ON i.room_nid = $1 AND i.slot_nid = s.slot_nid AND i.event_nid = c.event_nid AND i.from_pos <= $3 AND i.to_pos > $4
       JOIN events t ON t.event_nid = c.start
      WHERE NOT EXISTS (SELECT 1 FROM unnest($5::text[], $6::text[]) AS x(type, state_key) WHERE x.type = s.type AND x.state_key = s.state_key)`,
    [
      query.roomNid,
      query.eventIds,
      query.low,
      query.high,
      query.except.map((slot) => slot.type),
      query.except.map((slot) => slot.stateKey),
    ],
  )
  return rows.map((row) => row.eventId)
}

/** Finds those of the ids that accepted events name as missing prev_events. */
export async function getAwaitedEvents(
  tx: Queryable,
  eventIds: readonly string[],
): Promise<{ readonly prevId: EventId; readonly flags: number }[]> {
  return tx.query(
    'get_awaited_events',
    `SELECT m.prev_id AS "prevId", e.flags FROM missing_prev_events m JOIN events e USING (event_nid) WHERE m.prev_id = ANY($1)`,
    [eventIds],
  )
}

/** Reads the redactions that came before the events that they redact. */
export async function getRedactionsOf(tx: Queryable, eventIds: readonly string[]): Promise<EventRecord[]> {
  return tx.query(
    'get_redactions_of',
    `SELECT ${EVENT_COLUMNS} FROM events e JOIN rooms r USING (room_nid) WHERE e.redacts = ANY($1) AND e.flags = 0 ORDER BY e.position`,
    [eventIds],
  )
}

/** A place where the room's history here begins although there is more: `prevIds` are not stored. */
export interface BackwardExtremity {
  readonly eventId: EventId
  readonly depth: number
  readonly position: number | null
  readonly ordinal: number
  readonly prevIds: EventId[]
}

/** Lists where the room's history has gaps, the latest first. */
export async function getBackwardExtremities(tx: Queryable, roomId: RoomId, limit: number): Promise<BackwardExtremity[]> {
  return tx.query(
    'get_backward_extremities',
    `SELECT e.event_id AS "eventId", e.depth, e.position, e.ordinal, array_agg(m.prev_id) AS "prevIds"
       FROM missing_prev_events m JOIN events e USING (event_nid)
      WHERE m.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1)
      GROUP BY e.event_nid ORDER BY e.depth DESC LIMIT $2`,
    [roomId, limit],
  )
}

/** Where history before an event goes: the event's position, and the lowest ordinal there. Undefined where it has no position. */
export async function getHistoryPlace(
  tx: Queryable,
  eventId: string,
): Promise<{ readonly position: number; readonly ordinal: number } | undefined> {
  const rows = await tx.query<{ position: number; ordinal: number }>(
    'get_history_place',
    `SELECT e.position, (SELECT min(b.ordinal) FROM events b WHERE b.room_nid = e.room_nid AND b.position = e.position) AS ordinal
       FROM events e WHERE e.event_id = $1 AND e.position IS NOT NULL`,
    [eventId],
  )
  return rows[0]
}

/** A change of a room's state at an event's position; an emptied slot has no event. */
export interface StateChangeRecord {
  readonly position: number
  readonly type: string
  readonly stateKey: string
  readonly eventId: EventId | null
  readonly sender: string | null
  /** Of member events: what the slot holds now, and what it held before. */
  readonly memberJson: string | null
  readonly memberJsonBefore: string | null
}

/** Reads what changed in rooms' states at the events of the stream with after < position <= upTo. */
export async function getStateChangesSince(
  tx: Queryable,
  range: { lane: number; after: number; upTo: number },
): Promise<StateChangeRecord[]> {
  return tx.query(
    'get_state_changes_since',
    `SELECT e.position, s.type, s.state_key AS "stateKey", c.event_id AS "eventId", c.sender, CASE s.type WHEN 'm.room.member' THEN c.json END AS "memberJson",
            CASE s.type WHEN 'm.room.member' THEN p.json END AS "memberJsonBefore"
       FROM events e JOIN state_intervals i ON i.room_nid = e.room_nid AND i.from_pos = e.position
       JOIN state_slots s USING (slot_nid)
       LEFT JOIN events c ON c.event_nid = i.event_nid
       LEFT JOIN state_intervals b ON b.room_nid = i.room_nid AND b.slot_nid = i.slot_nid AND b.to_pos = e.position AND b.from_pos < e.position
       LEFT JOIN events p ON p.event_nid = b.event_nid
      WHERE e.lane = $1 AND e.position > $2 AND e.position <= $3 AND e.ordinal = 0`,
    [range.lane, range.after, range.upTo],
  )
}
