import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table published_rooms. Schema: migrations/0016-room-directory.sql. */

/** Lists a room in the directory. Idempotent. */
export async function insertPublishedRoom(
  tx: Queryable,
  row: { readonly roomId: RoomId; readonly publishedBy: string; readonly publishedTsMs: number },
): Promise<void> {
  await tx.query(
    'insert_published_room',
    `INSERT INTO published_rooms (room_id, published_by, published_ts_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
    [row.roomId, row.publishedBy, row.publishedTsMs],
  )
}

/** Takes a room out of the directory. Idempotent. */
export async function deletePublishedRoom(tx: Queryable, roomId: RoomId): Promise<void> {
  await tx.query('delete_published_room', `DELETE FROM published_rooms WHERE room_id = $1`, [roomId])
}

/** Tells whether we know the room, and whether the directory lists it; undefined where it is unknown. */
export async function getIsPublished(tx: Queryable, roomId: RoomId): Promise<boolean | undefined> {
  const rows = await tx.query<{ isPublished: boolean }>(
    'get_is_published',
    `SELECT p.room_id IS NOT NULL AS "isPublished" FROM rooms r LEFT JOIN published_rooms p USING (room_id) WHERE r.room_id = $1`,
    [roomId],
  )
  return rows[0]?.isPublished
}
