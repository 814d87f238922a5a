import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import { EVENT_COLUMNS } from './events.ts'
import type { EventRecord } from './events.ts'

/** What other servers ask of rooms, over tables rooms, events, state_slots, state_intervals, memberships, event_auth. Schema: migrations/0002-rooms-and-events.sql, 0022-foreign-events.sql. */

/** The value of a slot from a position on. */
export interface SlotChange {
  readonly stateKey: string
  readonly fromPos: number
  /** Larger than any position while the value is current. */
  readonly toPos: number
  readonly json: string
}

/** Reads how the history visibility of a room changed over time. */
export async function getVisibilityChanges(tx: Queryable, roomId: RoomId): Promise<SlotChange[]> {
  return tx.query(
    'get_visibility_changes',
    `SELECT s.state_key AS "stateKey", i.from_pos AS "fromPos", i.to_pos AS "toPos", e.json
       FROM rooms r JOIN state_slots s ON s.type = 'm.room.history_visibility' AND s.state_key = ''
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.slot_nid = s.slot_nid
       JOIN events e USING (event_nid)
      WHERE r.room_id = $1 ORDER BY i.from_pos`,
    [roomId],
  )
}

/** Reads how the memberships of one server's users in a room changed over time. */
export async function getServerMembershipChanges(
  tx: Queryable,
  key: { readonly roomId: RoomId; readonly serverName: string },
): Promise<SlotChange[]> {
  return tx.query(
    'get_server_membership_changes',
    `SELECT s.state_key AS "stateKey", i.from_pos AS "fromPos", i.to_pos AS "toPos", e.json
       FROM rooms r JOIN memberships m ON m.room_nid = r.room_nid AND substr(m.user_id, strpos(m.user_id, ':') + 1) = $2
       JOIN state_slots s ON s.type = 'm.room.member' AND s.state_key = m.user_id
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.slot_nid = s.slot_nid
       JOIN events e USING (event_nid)
      WHERE r.room_id = $1 ORDER BY i.from_pos`,
    [key.roomId, key.serverName],
  )
}

/** A slot that differs, in the state before an event, from the room's main line. */
export interface OverlaySlot {
  readonly eventNid: number
  readonly type: string
  readonly stateKey: string
  /** Null where the slot was empty. */
  readonly json: string | null
}

/** Reads how the states before events differ from the main line: history visibility, and memberships of one server's users. */
export async function getOverlaySlots(
  tx: Queryable,
  key: { readonly eventNids: readonly number[]; readonly serverName: string },
): Promise<OverlaySlot[]> {
  return tx.query(
    'get_overlay_slots',
    `SELECT e.event_nid AS "eventNid", s.type, s.state_key AS "stateKey", v.json
       FROM events e JOIN state_overlays o USING (overlay_id)
       CROSS JOIN LATERAL unnest(o.slot_nids, o.event_nids) AS x(slot_nid, value_nid)
       JOIN state_slots s ON s.slot_nid = x.slot_nid
       LEFT JOIN events v ON v.event_nid = x.value_nid
      WHERE e.event_nid = ANY($1)
        AND ((s.type = 'm.room.history_visibility' AND s.state_key = '')
          OR (s.type = 'm.room.member' AND substr(s.state_key, strpos(s.state_key, ':') + 1) = $2))`,
    [key.eventNids, key.serverName],
  )
}

/** Rows of a walk that are looked at for one answer: repetitions over several ways count. */
const WALK_ROWS_PER_EVENT = 30

/**
 * Walks a room's event graph from events towards its beginning, breadth first, and reads what was met: the latest by depth first.
 * Outliers end the walk; rejected events are stepped over. Events named in `stopAt` and those above the beginning are left out.
 */
export async function getEventsByWalk(
  tx: Queryable,
  walk: {
    readonly roomId: RoomId
    readonly from: readonly EventId[]
    readonly stopAt: readonly EventId[]
    readonly minDepth: number
    readonly limit: number
    /** Whether the events that the walk starts from are part of the answer. */
    readonly includesFrom: boolean
  },
): Promise<EventRecord[]> {
  return tx.query<EventRecord>(
    'get_events_by_walk',
    `WITH RECURSIVE walk(nid, level) AS (
       SELECT e.event_nid, 0 FROM events e
        WHERE e.event_id = ANY($2) AND e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.event_id <> ALL($3) AND e.flags & 1 = 0
       UNION
       SELECT p.event_nid, w.level + 1
         FROM walk w JOIN events e ON e.event_nid = w.nid CROSS JOIN LATERAL unnest(e.prev_nids) AS x(nid)
         JOIN events p ON p.event_nid = x.nid
        WHERE w.level < $5 AND p.room_nid = e.room_nid AND p.event_id <> ALL($3) AND p.depth >= $4 AND p.flags & 1 = 0
     ), met AS (
       SELECT nid, min(level) AS level FROM (SELECT nid, level FROM walk LIMIT $6) AS w GROUP BY nid
     )
     SELECT ${EVENT_COLUMNS} FROM met JOIN events e ON e.event_nid = met.nid JOIN rooms r USING (room_nid)
      WHERE (met.level > 0 OR $7) AND e.flags & 2 = 0
      ORDER BY e.depth DESC, e.event_nid DESC LIMIT $5`,
    [walk.roomId, walk.from, walk.stopAt, walk.minDepth, walk.limit, walk.limit * WALK_ROWS_PER_EVENT, walk.includesFrom],
  )
}

/** An event of a room's state. */
export interface StateEventRecord {
  readonly eventNid: number
  readonly eventId: EventId
}

const STATE_BEFORE = `FROM events e CROSS JOIN LATERAL (
    SELECT i.event_nid FROM state_intervals i
     WHERE i.room_nid = e.room_nid AND i.from_pos <= e.base_pos AND i.to_pos > e.base_pos
       AND i.slot_nid <> ALL (coalesce((SELECT o.slot_nids FROM state_overlays o WHERE o.overlay_id = e.overlay_id), '{}'))
    UNION ALL
    SELECT unnest(o.event_nids) FROM state_overlays o WHERE o.overlay_id = e.overlay_id) AS x(event_nid)
  JOIN events v ON v.event_nid = x.event_nid WHERE e.event_nid = $1 LIMIT $2`

/** Reads which events make up the state before an event. */
export async function getStateIdsBefore(
  tx: Queryable,
  key: { readonly eventNid: number; readonly limit: number },
): Promise<StateEventRecord[]> {
  return tx.query('get_state_ids_before', `SELECT v.event_nid AS "eventNid", v.event_id AS "eventId" ${STATE_BEFORE}`, [
    key.eventNid,
    key.limit,
  ])
}

/** Reads the same without the members, but for those named. */
export async function getStateIdsWithoutMembers(
  tx: Queryable,
  key: { readonly eventNid: number; readonly limit: number; readonly members: readonly string[] },
): Promise<StateEventRecord[]> {
  return tx.query(
    'get_state_ids_without_members',
    `SELECT v.event_nid AS "eventNid", v.event_id AS "eventId" ${STATE_BEFORE.replace(
      'LIMIT $2',
      `AND (v.type <> 'm.room.member' OR v.state_key = ANY($3)) LIMIT $2`,
    )}`,
    [key.eventNid, key.limit, key.members],
  )
}

/** Finds the events that authorise others, recursively: the auth chain of `eventNids`, without those that nothing in it names. */
export async function getAuthChain(
  tx: Queryable,
  key: { readonly eventNids: readonly number[]; readonly limit: number },
): Promise<StateEventRecord[]> {
  return tx.query(
    'get_auth_chain',
    `WITH RECURSIVE chain(nid) AS (
       SELECT auth_nid FROM event_auth WHERE event_nid = ANY($1)
       UNION
       SELECT a.auth_nid FROM chain JOIN event_auth a ON a.event_nid = chain.nid
     )
     SELECT e.event_nid AS "eventNid", e.event_id AS "eventId" FROM (SELECT nid FROM chain LIMIT $2) AS c JOIN events e ON e.event_nid = c.nid`,
    [key.eventNids, key.limit],
  )
}

/** An event as it was received, with what became of it. */
export interface StoredPdu {
  readonly eventNid: number
  readonly eventId: EventId
  readonly roomVersion: string
  readonly flags: number
  readonly redactedBy: EventId | null
  readonly json: string
}

/** Reads events' texts by number, in any order. */
export async function getPdusByNid(tx: Queryable, eventNids: readonly number[]): Promise<StoredPdu[]> {
  return tx.query(
    'get_pdus_by_nid',
    `SELECT e.event_nid AS "eventNid", e.event_id AS "eventId", r.room_version AS "roomVersion", e.flags, e.redacted_by AS "redactedBy", e.json
       FROM events e JOIN rooms r USING (room_nid) WHERE e.event_nid = ANY($1)`,
    [eventNids],
  )
}
