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

/** A published room with its size, by which the directory is sorted. */
export interface PublishedRoom {
  readonly roomId: RoomId
  readonly joinedCount: number
}

/** Reads published rooms with members, the biggest first: those after a place, or (`b`) those before it, nearest first. */
export async function getPublishedRooms(
  tx: Queryable,
  query: { readonly direction: 'f' | 'b'; readonly place: PublishedRoom | undefined; readonly limit: number },
): Promise<PublishedRoom[]> {
  const [compare, joinedOrder, idOrder] = query.direction === 'f' ? ['>', 'DESC', 'ASC'] : ['<', 'ASC', 'DESC']
  return tx.query(
    `get_published_rooms_${query.direction}`,
    `SELECT p.room_id AS "roomId", h.joined_count AS "joinedCount"
       FROM published_rooms p JOIN rooms r USING (room_id) JOIN room_head h USING (room_nid)
      WHERE h.joined_count > 0 AND ($1::int IS NULL OR (-h.joined_count, p.room_id COLLATE "C") ${compare} (-$1::int, $2::text COLLATE "C"))
      ORDER BY h.joined_count ${joinedOrder}, p.room_id COLLATE "C" ${idOrder} LIMIT $3`,
    [query.place?.joinedCount ?? null, query.place?.roomId ?? null, query.limit],
  )
}

/** Counts the published rooms. */
export async function countPublishedRooms(tx: Queryable): Promise<number> {
  const [row] = await tx.query<{ count: number }>('count_published_rooms', `SELECT count(*) AS count FROM published_rooms`)
  return row?.count ?? 0
}

/** Tells which of the rooms are published. */
export async function getPublishedAmong(tx: Queryable, roomIds: readonly RoomId[]): Promise<ReadonlySet<RoomId>> {
  const rows = await tx.query<{ roomId: RoomId }>(
    'get_published_among',
    `SELECT room_id AS "roomId" FROM published_rooms WHERE room_id = ANY($1)`,
    [roomIds],
  )
  return new Set(rows.map((row) => row.roomId))
}
