import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table memberships. Schema: migrations/0002-rooms-and-events.sql. Written by operations/persist-events.ts. */

export interface MembershipRow {
  readonly roomId: RoomId
  readonly userId: UserId
  readonly membership: string
  readonly eventId: EventId
  readonly position: StreamPosition
  readonly sender: UserId
  readonly isForgotten: boolean
}

/** Reads every room that the user has a membership in, left and forgotten ones too. */
export async function getMembershipsOfUser(tx: Queryable, userId: UserId): Promise<MembershipRow[]> {
  return tx.query<MembershipRow>(
    'get_memberships_of_user',
    `SELECT r.room_id AS "roomId", m.user_id AS "userId", m.membership, m.event_id AS "eventId", m.position, m.sender, m.is_forgotten AS "isForgotten"
       FROM memberships m JOIN rooms r USING (room_nid) WHERE m.user_id = $1`,
    [userId],
  )
}

/** Reads every membership of a room; with `membership` only those. */
export async function getMembershipsOfRoom(tx: Queryable, roomId: RoomId): Promise<MembershipRow[]> {
  return tx.query<MembershipRow>(
    'get_memberships_of_room',
    `SELECT $1::text AS "roomId", m.user_id AS "userId", m.membership, m.event_id AS "eventId", m.position, m.sender, m.is_forgotten AS "isForgotten"
       FROM memberships m WHERE m.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) ORDER BY m.position`,
    [roomId],
  )
}

/** Tells whether none of our users has a place in the room that they have not forgotten; false for a room that none was in. */
export async function isForgottenByAll(tx: Queryable, roomId: RoomId, serverName: string): Promise<boolean> {
  const [row] = await tx.query<{ isForgotten: boolean | null }>(
    'is_forgotten_by_all',
    `SELECT bool_and(m.is_forgotten) AS "isForgotten" FROM memberships m JOIN rooms r USING (room_nid)
      WHERE r.room_id = $1 AND right(m.user_id, length($2)) = $2`,
    [roomId, `:${serverName}`],
  )
  return row?.isForgotten === true
}

/** Marks a left room as forgotten. Returns whether the user had left it. */
export async function forgetMembership(tx: Queryable, key: { roomId: RoomId; userId: UserId }): Promise<boolean> {
  const rows = await tx.query(
    'forget_membership',
    `UPDATE memberships SET is_forgotten = true
      WHERE room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND user_id = $2 AND membership IN ('leave', 'ban') RETURNING 1`,
    [key.roomId, key.userId],
  )
  return rows.length > 0
}
