import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table blocked_rooms. Schema: migrations/0035-purging.sql. */

/** Blocks a room; who blocked it first is remembered. */
export async function insertBlockedRoom(tx: Queryable, row: { readonly roomId: RoomId; readonly userId: string }): Promise<void> {
  await tx.query('insert_blocked_room', `INSERT INTO blocked_rooms (room_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, [
    row.roomId,
    row.userId,
  ])
}

/** Lets people into a room again. */
export async function deleteBlockedRoom(tx: Queryable, roomId: RoomId): Promise<void> {
  await tx.query('delete_blocked_room', `DELETE FROM blocked_rooms WHERE room_id = $1`, [roomId])
}

/** Reads who blocked a room; undefined where nobody did. */
export async function getBlockedBy(tx: Queryable, roomId: RoomId): Promise<string | undefined> {
  const [row] = await tx.query<{ userId: string }>(
    'get_blocked_by',
    `SELECT user_id AS "userId" FROM blocked_rooms WHERE room_id = $1`,
    [roomId],
  )
  return row?.userId
}

/** Tells whether nobody of ours may enter the room: it is blocked, or just being deleted by a task of these actions. */
export async function getIsRoomClosed(tx: Queryable, roomId: RoomId, actions: readonly string[]): Promise<boolean> {
  const rows = await tx.query(
    'get_is_room_closed',
    `SELECT 1 FROM blocked_rooms WHERE room_id = $1
     UNION ALL SELECT 1 FROM scheduled_tasks WHERE resource_id = $1 AND action = ANY($2) AND status = 'active' LIMIT 1`,
    [roomId, actions],
  )
  return rows.length > 0
}
