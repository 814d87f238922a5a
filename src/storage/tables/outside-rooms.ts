import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import type { StateRecord } from './room-state.ts'

/** Table outside_room_state, and rooms that nobody here is in. Schema: migrations/0023-federation-inbound.sql. */

/** What a user is shown of a room from outside. */
export interface OutsideRoomState {
  readonly roomId: RoomId
  readonly userId: UserId
  /** The member event with which it came: of use only while that is the user's place. */
  readonly eventId: EventId
  /** A JSON array of stripped state events. */
  readonly stateJson: string
}

/** Makes the row of a room of which only a member event is known, where there is none. */
export async function ensureRoom(
  tx: Queryable,
  room: { readonly roomNid: number; readonly roomId: RoomId; readonly roomVersion: string; readonly createdTsMs: number },
): Promise<void> {
  await tx.query(
    'ensure_room',
    `WITH room AS (
       INSERT INTO rooms (room_nid, room_id, room_version, creator, created_ts_ms) VALUES ($1, $2, $3, '', $4)
       ON CONFLICT (room_id) DO NOTHING RETURNING room_nid
     )
     INSERT INTO room_head (room_nid, version, extremities, depth, joined_count, invited_count)
     SELECT room_nid, 0, '{}', 0, 0, 0 FROM room`,
    [room.roomNid, room.roomId, room.roomVersion, room.createdTsMs],
  )
}

/** Stores what the user is shown, over what was stored before. */
export async function upsertOutsideRoomState(tx: Queryable, state: OutsideRoomState): Promise<void> {
  await tx.query(
    'upsert_outside_room_state',
    `INSERT INTO outside_room_state (room_nid, user_id, event_id, state_json)
     SELECT room_nid, $2, $3, $4 FROM rooms WHERE room_id = $1
     ON CONFLICT (room_nid, user_id) DO UPDATE SET event_id = EXCLUDED.event_id, state_json = EXCLUDED.state_json`,
    [state.roomId, state.userId, state.eventId, state.stateJson],
  )
}

/** Reads what the user is shown of the rooms, with which member event. */
export async function getOutsideRoomStates(
  tx: Queryable,
  key: { readonly userId: string; readonly roomIds: readonly string[] },
): Promise<OutsideRoomState[]> {
  return tx.query(
    'get_outside_room_states',
    `SELECT r.room_id AS "roomId", o.user_id AS "userId", o.event_id AS "eventId", o.state_json AS "stateJson"
       FROM outside_room_state o JOIN rooms r USING (room_nid) WHERE o.user_id = $1 AND r.room_id = ANY($2)`,
    [key.userId, key.roomIds],
  )
}

/** Reads the version of a room; undefined where nothing of it is known. */
export async function getRoomVersionId(tx: Queryable, roomId: RoomId): Promise<string | undefined> {
  const rows = await tx.query<{ roomVersion: string }>(
    'get_room_version_id',
    'SELECT room_version AS "roomVersion" FROM rooms WHERE room_id = $1',
    [roomId],
  )
  return rows[0]?.roomVersion
}

/** Reads the user's member events at positions where they are no part of the room's timeline: its user was outside. */
export async function getOutsideMemberEvents(
  tx: Queryable,
  query: { readonly userId: string; readonly rooms: readonly { readonly roomId: string; readonly position: number }[] },
): Promise<(StateRecord & { readonly roomId: RoomId; readonly roomVersion: string })[]> {
  return tx.query(
    'get_outside_member_events',
    `SELECT r.room_id AS "roomId", r.room_version AS "roomVersion", e.event_nid AS "eventNid", e.event_id AS "eventId", e.type,
            e.state_key AS "stateKey", e.redacted_by AS "redactedBy", e.json
       FROM unnest($1::text[], $2::bigint[]) AS n(room_id, position) JOIN rooms r ON r.room_id = n.room_id
       JOIN events e ON e.room_nid = r.room_nid AND e.position = n.position AND e.ordinal = 0
      WHERE e.type = 'm.room.member' AND e.state_key = $3 AND e.flags & 1 = 1`,
    [query.rooms.map((room) => room.roomId), query.rooms.map((room) => room.position), query.userId],
  )
}
