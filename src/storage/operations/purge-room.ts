import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import { deleteEvents } from './purge-history.ts'

/**
 * Operation: takes a whole room out of the database. First what its users have of it goes, then the room itself in one transaction, then
 * what nobody finds any more, a batch at a time. Schema: migrations/0002, 0012, 0014, 0016, 0022, 0023, 0035-purging.sql.
 */

/** Deletes what some users have of a room: counts, receipts, account data, tags. */
export async function deleteRoomDataOfUsers(tx: Queryable, roomId: RoomId, userIds: readonly string[]): Promise<void> {
  await Promise.all([
    tx.query('delete_room_push_actions', `DELETE FROM event_push_actions WHERE user_id = ANY($2) AND room_id = $1`, [
      roomId,
      userIds,
    ]),
    tx.query('delete_room_receipts', `DELETE FROM receipts WHERE room_id = $1 AND user_id = ANY($2)`, [roomId, userIds]),
    tx.query('delete_room_account_data', `DELETE FROM account_data WHERE user_id = ANY($2) AND room_id = $1`, [roomId, userIds]),
  ])
}

/** Reads a room's number. */
export async function getRoomNid(tx: Queryable, roomId: RoomId): Promise<number | undefined> {
  const [room] = await tx.query<{ roomNid: number }>(
    'get_room_nid',
    `SELECT room_nid AS "roomNid" FROM rooms WHERE room_id = $1`,
    [roomId],
  )
  return room?.roomNid
}

/** Lets a room vanish: from here on nobody finds it. Idempotent. */
export async function deleteRoom(tx: Queryable, room: { readonly roomId: RoomId; readonly roomNid: number }): Promise<void> {
  const { roomId } = room
  const byNid = [room.roomNid]
  const known = await tx.query('lock_deleted_room', `SELECT 1 FROM rooms WHERE room_nid = $1 FOR UPDATE`, byNid)
  if (known.length === 0) return
  await tx.query('delete_room_head', `DELETE FROM room_head WHERE room_nid = $1`, byNid)
  await Promise.all([
    tx.query('delete_room_memberships', `DELETE FROM memberships WHERE room_nid = $1`, byNid),
    tx.query('delete_room_outside_state', `DELETE FROM outside_room_state WHERE room_nid = $1`, byNid),
    tx.query('delete_room_public', `DELETE FROM user_directory_public_rooms WHERE room_nid = $1`, byNid),
    tx.query('delete_room_aliases', `DELETE FROM room_aliases WHERE room_id = $1`, [roomId]),
    tx.query('delete_room_published', `DELETE FROM published_rooms WHERE room_id = $1`, [roomId]),
    tx.query('delete_room_appservice_published', `DELETE FROM appservice_published_rooms WHERE room_id = $1`, [roomId]),
    tx.query('delete_room_staging', `DELETE FROM federation_staging WHERE room_id = $1`, [roomId]),
    tx.query('delete_room_rest_of_receipts', `DELETE FROM receipts WHERE room_id = $1`, [roomId]),
    tx.query('delete_room_class_actions', `DELETE FROM event_push_actions WHERE user_id = '' AND room_id = $1`, [roomId]),
  ])
  await tx.query('delete_room_row', `DELETE FROM rooms WHERE room_nid = $1`, byNid)
}

/** Deletes some events of a room that has vanished. Returns whether any were left. */
export async function deleteRoomEvents(tx: Queryable, roomNid: number, limit: number): Promise<boolean> {
  const rows = await tx.query<{ eventNid: number }>(
    'find_events_of_deleted_room',
    `SELECT event_nid AS "eventNid" FROM events WHERE room_nid = $1 LIMIT $2`,
    [roomNid, limit],
  )
  if (rows.length === 0) return false
  await deleteEvents(
    tx,
    rows.map((row) => row.eventNid),
  )
  return true
}

/** Deletes some of the state history of a room that has vanished. Returns whether any was left. */
export async function deleteRoomState(tx: Queryable, roomNid: number, limit: number): Promise<boolean> {
  const rows = await tx.query(
    'delete_state_of_deleted_room',
    `DELETE FROM state_intervals WHERE ctid = ANY(ARRAY(SELECT ctid FROM state_intervals WHERE room_nid = $1 LIMIT $2)) RETURNING 1`,
    [roomNid, limit],
  )
  if (rows.length > 0) return true
  await Promise.all([
    tx.query('delete_overlays_of_deleted_room', `DELETE FROM state_overlays WHERE room_nid = $1`, [roomNid]),
    tx.query('delete_missing_of_deleted_room', `DELETE FROM missing_prev_events WHERE room_nid = $1`, [roomNid]),
    tx.query('delete_search_of_deleted_room', `DELETE FROM event_search WHERE room_nid = $1`, [roomNid]),
    tx.query('delete_queue_of_deleted_room', `DELETE FROM destination_queue WHERE room_nid = $1`, [roomNid]),
  ])
  return false
}

/** Counts events of a room that wait for other servers. */
export async function countUnsentOfRoom(tx: Queryable, roomId: RoomId): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'count_unsent_of_room',
    `SELECT count(*)::int AS count FROM destination_queue q JOIN rooms r USING (room_nid) WHERE r.room_id = $1`,
    [roomId],
  )
  return row?.count ?? 0
}

/** Finds the room that a deletion made for those who were in the deleted one, by what its first event says; undefined where it has not. */
export async function findReplacementRoom(
  tx: Queryable,
  key: { readonly creator: string; readonly sinceMs: number; readonly mark: string },
): Promise<RoomId | undefined> {
  const [row] = await tx.query<{ roomId: RoomId }>(
    'find_replacement_room',
    `SELECT r.room_id AS "roomId" FROM rooms r JOIN events e USING (room_nid)
      WHERE r.creator = $1 AND r.created_ts_ms >= $2 AND e.type = 'm.room.create' AND strpos(e.json, $3) > 0 LIMIT 1`,
    [key.creator, key.sinceMs, key.mark],
  )
  return row?.roomId
}
