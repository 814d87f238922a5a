import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import type { StateRecord } from './room-state.ts'

/** Queries over tables rooms, room_head, state_slots, state_intervals for readers of rooms. Schema: migrations/0002-rooms-and-events.sql. */

export type RoomStateRow = StateRecord & { readonly roomId: RoomId; readonly roomVersion: string }

const COLUMNS = `r.room_id AS "roomId", r.room_version AS "roomVersion", e.event_nid AS "eventNid", e.event_id AS "eventId", e.type,
  e.state_key AS "stateKey", e.redacted_by AS "redactedBy", e.json`

/** Reads single slots of one room as of a position. */
export async function getRoomSlots(
  tx: Queryable,
  key: {
    readonly roomId: string
    readonly position: number
    readonly slots: readonly { readonly type: string; readonly stateKey: string }[]
  },
): Promise<RoomStateRow[]> {
  return tx.query(
    'get_room_slots',
    `SELECT ${COLUMNS} FROM unnest($3::text[], $4::text[]) AS n(type, state_key)
       JOIN rooms r ON r.room_id = $1
       JOIN state_slots s ON s.type = n.type AND s.state_key = n.state_key
       JOIN state_intervals i ON i.slot_nid = s.slot_nid AND i.room_nid = r.room_nid AND i.from_pos <= $2 AND i.to_pos > $2
       JOIN events e USING (event_nid)`,
    [key.roomId, key.position, key.slots.map((slot) => slot.type), key.slots.map((slot) => slot.stateKey)],
  )
}

/** Tells whether we know the room. */
export async function getIsRoomKnown(tx: Queryable, roomId: RoomId): Promise<boolean> {
  return (await tx.query('get_is_room_known', `SELECT 1 FROM rooms WHERE room_id = $1`, [roomId])).length > 0
}

/** Reads a room's whole state as of a position. With `members`, of the member events only those of these users. */
export async function getRoomStateAsOf(
  tx: Queryable,
  key: { readonly roomId: string; readonly position: number; readonly members?: readonly string[] | undefined },
): Promise<RoomStateRow[]> {
  return tx.query(
    'get_room_state_as_of',
    `SELECT ${COLUMNS} FROM rooms r
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.from_pos <= $2 AND i.to_pos > $2
       JOIN events e USING (event_nid)
      WHERE r.room_id = $1 AND ($3::text[] IS NULL OR e.type <> 'm.room.member' OR e.state_key = ANY($3))
      ORDER BY i.from_pos`,
    [key.roomId, key.position, key.members ?? null],
  )
}

/** Reads a room's member events as of a position. */
export async function getMembersAsOf(
  tx: Queryable,
  key: { readonly roomId: string; readonly position: number },
): Promise<RoomStateRow[]> {
  return tx.query(
    'get_members_as_of',
    `SELECT ${COLUMNS} FROM rooms r
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.from_pos <= $2 AND i.to_pos > $2
       JOIN events e USING (event_nid)
      WHERE r.room_id = $1 AND e.type = 'm.room.member'
      ORDER BY i.from_pos`,
    [key.roomId, key.position],
  )
}

/** Reads how many users are joined to rooms. */
export async function getJoinedCounts(
  tx: Queryable,
  roomIds: readonly RoomId[],
): Promise<{ readonly roomId: RoomId; readonly joinedCount: number }[]> {
  return tx.query(
    'get_joined_counts',
    `SELECT r.room_id AS "roomId", h.joined_count AS "joinedCount" FROM rooms r JOIN room_head h USING (room_nid) WHERE r.room_id = ANY($1)`,
    [roomIds],
  )
}

/** Reads the current `m.space.child` events of rooms. */
export async function getSpaceChildren(tx: Queryable, roomIds: readonly RoomId[]): Promise<RoomStateRow[]> {
  return tx.query(
    'get_space_children',
    `SELECT ${COLUMNS} FROM rooms r
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.to_pos = 9223372036854775807
       JOIN state_slots s USING (slot_nid)
       JOIN events e USING (event_nid)
      WHERE r.room_id = ANY($1) AND s.type = 'm.space.child'`,
    [roomIds],
  )
}
