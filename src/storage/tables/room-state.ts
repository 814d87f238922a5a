import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables rooms, room_head, state_slots, state_intervals. Schema: migrations/0002-rooms-and-events.sql. */

export interface RoomHeadRecord {
  readonly roomNid: number
  readonly roomId: RoomId
  readonly roomVersion: string
  readonly creator: string
  readonly version: number
  readonly extremities: number[]
  readonly depth: number
  readonly joinedCount: number
  readonly invitedCount: number
  readonly notifyOrdinal: number
  /** Position of the last change of the current state. */
  readonly statePos: number
}

export interface StateRecord {
  readonly eventNid: number
  readonly eventId: EventId
  readonly type: string
  readonly stateKey: string
  readonly redactedBy: EventId | null
  readonly json: string
}

/** Reads a room's head; undefined where the room is not known. */
export async function getRoomHead(tx: Queryable, roomId: RoomId): Promise<RoomHeadRecord | undefined> {
  const rows = await tx.query<RoomHeadRecord>(
    'get_room_head',
    `SELECT r.room_nid AS "roomNid", r.room_id AS "roomId", r.room_version AS "roomVersion", r.creator, h.version, h.extremities, h.depth,
            h.joined_count AS "joinedCount", h.invited_count AS "invitedCount", h.notify_ordinal AS "notifyOrdinal",
            coalesce((SELECT max(i.from_pos) FROM state_intervals i WHERE i.room_nid = r.room_nid), 0) AS "statePos"
       FROM rooms r JOIN room_head h USING (room_nid) WHERE r.room_id = $1`,
    [roomId],
  )
  return rows[0]
}

const STATE_COLUMNS = `e.event_nid AS "eventNid", e.event_id AS "eventId", e.type, e.state_key AS "stateKey", e.redacted_by AS "redactedBy", e.json`

/** Reads the whole current state of a room, together with the head version it belongs to when run in one snapshot. */
export async function getCurrentState(tx: Queryable, roomNid: number): Promise<StateRecord[]> {
  return tx.query<StateRecord>(
    'get_current_state',
    `SELECT ${STATE_COLUMNS} FROM state_intervals i JOIN events e USING (event_nid)
      WHERE i.room_nid = $1 AND i.to_pos = 9223372036854775807`,
    [roomNid],
  )
}

/** One value of a slot over time: it held for from <= position < to. */
export interface SlotInterval {
  readonly roomId: RoomId
  readonly type: string
  readonly fromPos: number
  /** Larger than any position while the value is current. */
  readonly toPos: number
  readonly json: string
}

/** Reads how the history visibility and one user's membership changed over time: all that visibility of a whole page needs. */
export async function getVisibilityHistory(
  tx: Queryable,
  key: { roomIds: readonly RoomId[]; userId: string },
): Promise<SlotInterval[]> {
  return tx.query<SlotInterval>(
    'get_visibility_history',
    `SELECT r.room_id AS "roomId", s.type, i.from_pos AS "fromPos", i.to_pos AS "toPos", e.json
       FROM state_slots s JOIN state_intervals i USING (slot_nid) JOIN rooms r USING (room_nid) JOIN events e USING (event_nid)
      WHERE r.room_id = ANY($1) AND ((s.type = 'm.room.history_visibility' AND s.state_key = '') OR (s.type = 'm.room.member' AND s.state_key = $2))
      ORDER BY i.from_pos`,
    [key.roomIds, key.userId],
  )
}
