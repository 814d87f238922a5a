import type { RoomAlias, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table room_aliases. Schema: migrations/0016-room-directory.sql. */

export interface RoomAliasRow {
  readonly alias: RoomAlias
  readonly roomId: RoomId
  readonly creator: string
}

/** Stores an alias. Returns false where it is taken. */
export async function insertRoomAlias(tx: Queryable, row: RoomAliasRow & { readonly createdTsMs: number }): Promise<boolean> {
  const rows = await tx.query(
    'insert_room_alias',
    `INSERT INTO room_aliases (alias, room_id, creator, created_ts_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING 1`,
    [row.alias, row.roomId, row.creator, row.createdTsMs],
  )
  return rows.length > 0
}

/** Keeps who else asks for the same lock waiting until the transaction ends. */
export async function lockRoomAlias(tx: Queryable, alias: RoomAlias): Promise<void> {
  await tx.query('lock_room_alias', `SELECT pg_advisory_xact_lock(hashtextextended('room_alias ' || $1, 0))`, [alias])
}

/** Looks an alias up; undefined where nobody made it. */
export async function getRoomAlias(tx: Queryable, alias: RoomAlias): Promise<RoomAliasRow | undefined> {
  const rows = await tx.query<RoomAliasRow>(
    'get_room_alias',
    `SELECT alias, room_id AS "roomId", creator FROM room_aliases WHERE alias = $1`,
    [alias],
  )
  return rows[0]
}

/** Reads all aliases of a room, oldest first. */
export async function getAliasesOfRoom(tx: Queryable, roomId: RoomId): Promise<RoomAlias[]> {
  const rows = await tx.query<{ alias: RoomAlias }>(
    'get_aliases_of_room',
    `SELECT alias FROM room_aliases WHERE room_id = $1 ORDER BY created_ts_ms, alias`,
    [roomId],
  )
  return rows.map((row) => row.alias)
}

/** Removes an alias. Returns whether it was there. */
export async function deleteRoomAlias(tx: Queryable, alias: RoomAlias): Promise<boolean> {
  return (await tx.query('delete_room_alias', `DELETE FROM room_aliases WHERE alias = $1 RETURNING 1`, [alias])).length > 0
}

/** Lets all aliases of one room name another one, as an upgrade wants. Returns them. */
export async function moveRoomAliases(tx: Queryable, move: { readonly from: RoomId; readonly to: RoomId }): Promise<RoomAlias[]> {
  const rows = await tx.query<{ alias: RoomAlias }>(
    'move_room_aliases',
    `UPDATE room_aliases SET room_id = $2 WHERE room_id = $1 RETURNING alias`,
    [move.from, move.to],
  )
  return rows.map((row) => row.alias)
}
