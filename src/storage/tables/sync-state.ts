import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import type { StateRecord } from './room-state.ts'

/** Queries of /sync over tables rooms, state_slots, state_intervals, events. Schema: migrations/0002-rooms-and-events.sql. */

type RoomStateRecord = StateRecord & { readonly roomId: RoomId; readonly roomVersion: string }

const COLUMNS = `r.room_id AS "roomId", r.room_version AS "roomVersion", e.event_nid AS "eventNid", e.event_id AS "eventId", e.type,
  e.state_key AS "stateKey", e.redacted_by AS "redactedBy", e.json`

/** Reads the current member events of pairs of room and user. */
export async function getMemberEvents(
  tx: Queryable,
  pairs: readonly { readonly roomId: string; readonly userId: string }[],
): Promise<RoomStateRecord[]> {
  return tx.query(
    'get_member_events',
    `SELECT ${COLUMNS} FROM unnest($1::text[], $2::text[]) AS n(room_id, user_id)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_slots s ON s.type = 'm.room.member' AND s.state_key = n.user_id
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.slot_nid = s.slot_nid AND i.to_pos = 9223372036854775807
       JOIN events e USING (event_nid)`,
    [pairs.map((pair) => pair.roomId), pairs.map((pair) => pair.userId)],
  )
}

/**
 * Reads the whole state of several rooms, each as of a position of its own. With `members`, of the member events only those of
 * these users (lazy loading).
 */
export async function getStatesAsOf(
  tx: Queryable,
  query: {
    readonly rooms: readonly { readonly roomId: string; readonly position: number }[]
    readonly members: readonly string[] | undefined
  },
): Promise<RoomStateRecord[]> {
  return tx.query(
    'get_states_as_of',
    `SELECT ${COLUMNS} FROM unnest($1::text[], $2::bigint[]) AS n(room_id, position)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.from_pos <= n.position AND i.to_pos > n.position
       JOIN events e USING (event_nid)
      WHERE $3::text[] IS NULL OR e.type <> 'm.room.member' OR e.state_key = ANY($3)`,
    [query.rooms.map((room) => room.roomId), query.rooms.map((room) => room.position), query.members ?? null],
  )
}

/** Reads for each slot that changed in (after, upTo] of its room what it held at `upTo`. */
export async function getStateDeltas(
  tx: Queryable,
  rooms: readonly { readonly roomId: string; readonly after: number; readonly upTo: number }[],
): Promise<RoomStateRecord[]> {
  return tx.query(
    'get_state_deltas',
    `SELECT ${COLUMNS} FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n(room_id, after, up_to)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.from_pos > n.after AND i.from_pos <= n.up_to AND i.to_pos > n.up_to
       JOIN events e USING (event_nid)`,
    [rooms.map((room) => room.roomId), rooms.map((room) => room.after), rooms.map((room) => room.upTo)],
  )
}

/** Reads slots of given types (any state key) of several rooms as of positions: what strangers see of a room, or its name and summary. */
export async function getTypesAsOf(
  tx: Queryable,
  query: { readonly rooms: readonly { readonly roomId: string; readonly position: number }[]; readonly types: readonly string[] },
): Promise<RoomStateRecord[]> {
  return tx.query(
    'get_types_as_of',
    `SELECT ${COLUMNS} FROM unnest($1::text[], $2::bigint[]) AS n(room_id, position)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_slots s ON s.type = ANY($3) AND s.state_key = ''
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.slot_nid = s.slot_nid AND i.from_pos <= n.position AND i.to_pos > n.position
       JOIN events e USING (event_nid)`,
    [query.rooms.map((room) => room.roomId), query.rooms.map((room) => room.position), query.types],
  )
}

/** The membership of one user in several rooms, each as of a position. */
export async function getMembershipsAsOf(
  tx: Queryable,
  query: { readonly userId: string; readonly rooms: readonly { readonly roomId: string; readonly position: number }[] },
): Promise<RoomStateRecord[]> {
  return tx.query(
    'get_memberships_as_of',
    `SELECT ${COLUMNS} FROM unnest($1::text[], $2::bigint[]) AS n(room_id, position)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_slots s ON s.type = 'm.room.member' AND s.state_key = $3
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.slot_nid = s.slot_nid AND i.from_pos <= n.position AND i.to_pos > n.position
       JOIN events e USING (event_nid)`,
    [query.rooms.map((room) => room.roomId), query.rooms.map((room) => room.position), query.userId],
  )
}

/** Finds those of the rooms that have events in (after, upTo]. */
export async function getChangedRooms(
  tx: Queryable,
  query: { readonly roomIds: readonly RoomId[]; readonly after: number; readonly upTo: number },
): Promise<RoomId[]> {
  const rows = await tx.query<{ roomId: RoomId }>(
    'get_changed_rooms',
    `SELECT r.room_id AS "roomId" FROM rooms r
      WHERE r.room_id = ANY($1) AND EXISTS (SELECT 1 FROM events e WHERE e.room_nid = r.room_nid AND e.position > $2 AND e.position <= $3 AND e.ordinal = 0)`,
    [query.roomIds, query.after, query.upTo],
  )
  return rows.map((row) => row.roomId)
}
