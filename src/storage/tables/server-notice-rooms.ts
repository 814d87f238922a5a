import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table server_notice_rooms. Schema: migrations/0034-server-notices.sql. */

/** Finds the room in which a user gets the server's notices. */
export async function getServerNoticeRoom(tx: Queryable, userId: UserId): Promise<RoomId | undefined> {
  const [row] = await tx.query<{ roomId: RoomId }>(
    'get_server_notice_room',
    'SELECT room_id AS "roomId" FROM server_notice_rooms WHERE user_id = $1',
    [userId],
  )
  return row?.roomId
}

/** Puts a room in the place of `former`. Returns the room that counts: another process may have been first. */
export async function claimServerNoticeRoom(
  tx: Queryable,
  claim: { readonly userId: UserId; readonly roomId: RoomId; readonly former: RoomId | undefined },
): Promise<RoomId> {
  const rows = await tx.query(
    'claim_server_notice_room',
    `INSERT INTO server_notice_rooms AS s (user_id, room_id) VALUES ($1, $2)
     ON CONFLICT (user_id) DO UPDATE SET room_id = EXCLUDED.room_id WHERE s.room_id = $3 RETURNING 1`,
    [claim.userId, claim.roomId, claim.former ?? null],
  )
  return rows.length > 0 ? claim.roomId : ((await getServerNoticeRoom(tx, claim.userId)) ?? claim.roomId)
}

/** Tells whether it is a room of the server's notices. */
export async function isServerNoticeRoom(tx: Queryable, roomId: RoomId): Promise<boolean> {
  const rows = await tx.query('is_server_notice_room', 'SELECT 1 FROM server_notice_rooms WHERE room_id = $1', [roomId])
  return rows.length > 0
}
