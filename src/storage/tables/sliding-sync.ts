import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import type { StateRecord } from './room-state.ts'

/**
 * Tables sliding_sync_connections, sliding_sync_rooms, sliding_sync_required_states (migrations/0025-sliding-sync.sql), and what
 * sliding sync asks of rooms' state and timelines (migrations/0002-rooms-and-events.sql).
 */

export interface ConnectionKey {
  readonly userId: string
  /** Empty for tokens without a device. */
  readonly deviceId: string
  readonly connId: string
}

/** What is stored with an answer: rooms by id, and the `required_state` of those digests that are new. */
export interface ConnectionChange {
  readonly rooms: readonly (readonly [roomId: string, told: string])[]
  readonly requiredStates: readonly (readonly [digest: string, json: string])[]
}

type RoomStateRecord = StateRecord & { readonly roomId: RoomId; readonly roomVersion: string }

const STATE_COLUMNS = `r.room_id AS "roomId", r.room_version AS "roomVersion", e.event_nid AS "eventNid", e.event_id AS "eventId", e.type,
  e.state_key AS "stateKey", e.redacted_by AS "redactedBy", e.json`

/** Begins a connection anew and returns its first position. The device's other connections are dropped above `connectionsMax`. */
export async function beginConnection(
  tx: Queryable,
  key: ConnectionKey,
  change: ConnectionChange & { readonly nowMs: number; readonly connectionsMax: number },
): Promise<number> {
  const [row] = await tx.query<{ position: number }>(
    'begin_sliding_sync',
    'SELECT sliding_sync_begin($1, $2, $3, $4, $5, $6, $7, $8, $9) AS position',
    [key.userId, key.deviceId, key.connId, change.nowMs, change.connectionsMax, ...columnsOf(change)],
  )
  return row?.position ?? 0
}

/** Stores an answer to the one with position `parent`, and returns its position; undefined where `parent` is not known. */
export async function advanceConnection(
  tx: Queryable,
  key: ConnectionKey,
  change: ConnectionChange & { readonly nowMs: number; readonly parent: number },
): Promise<number | undefined> {
  const [row] = await tx.query<{ position: number | null }>(
    'advance_sliding_sync',
    'SELECT sliding_sync_advance($1, $2, $3, $4, $5, $6, $7, $8, $9) AS position',
    [key.userId, key.deviceId, key.connId, change.nowMs, change.parent, ...columnsOf(change)],
  )
  return row?.position ?? undefined
}

function columnsOf({ rooms, requiredStates }: ConnectionChange): string[][] {
  return [
    rooms.map(([roomId]) => roomId),
    rooms.map(([, told]) => told),
    requiredStates.map(([digest]) => digest),
    requiredStates.map(([, json]) => json),
  ]
}

/** Reads what a position of a connection says; undefined where there is no such position. */
export async function getConnectionPosition(
  tx: Queryable,
  key: ConnectionKey,
  position: number,
): Promise<ConnectionChange | undefined> {
  const rows = await tx.query<{ kind: 'room' | 'state'; name: string; value: string }>(
    'get_sliding_sync_position',
    `WITH c AS MATERIALIZED (
       SELECT connection_nid FROM sliding_sync_connections c
        WHERE user_id = $1 AND device_id = $2 AND conn_id = $3
          AND (base_position = $4 OR EXISTS (SELECT 1 FROM sliding_sync_rooms r WHERE r.connection_nid = c.connection_nid AND r.generation = $4)))
     SELECT 'room' AS kind, name, value FROM (
       SELECT DISTINCT ON (room_id) room_id AS name, told AS value FROM sliding_sync_rooms JOIN c USING (connection_nid)
        WHERE generation IN (0, $4) ORDER BY room_id, generation DESC) AS told
     UNION ALL
     SELECT 'state', digest, required_state FROM sliding_sync_required_states JOIN c USING (connection_nid)`,
    [key.userId, key.deviceId, key.connId, position],
  )
  if (rows.length === 0) return undefined
  const pairs = (kind: string): [string, string][] => rows.filter((row) => row.kind === kind).map((row) => [row.name, row.value])
  return { rooms: pairs('room'), requiredStates: pairs('state') }
}

/** Notes that a connection is in use. */
export async function touchConnection(tx: Queryable, key: ConnectionKey, nowMs: number): Promise<void> {
  await tx.query(
    'touch_sliding_sync',
    'UPDATE sliding_sync_connections SET last_used_ts_ms = $4 WHERE user_id = $1 AND device_id = $2 AND conn_id = $3 AND last_used_ts_ms < $4',
    [key.userId, key.deviceId, key.connId, nowMs],
  )
}

/** Drops connections that were last used before a time. */
export async function deleteConnectionsBefore(tx: Queryable, beforeMs: number): Promise<void> {
  await tx.query('delete_old_sliding_sync', 'DELETE FROM sliding_sync_connections WHERE last_used_ts_ms < $1', [beforeMs])
}

/** Drops the connections of devices. */
export async function deleteConnectionsOfDevices(tx: Queryable, userId: string, deviceIds: readonly string[]): Promise<void> {
  await tx.query(
    'delete_sliding_sync_of_devices',
    'DELETE FROM sliding_sync_connections WHERE user_id = $1 AND device_id = ANY($2)',
    [userId, deviceIds],
  )
}

/** Reads slots by type and state key of several rooms, each room as of a position of its own. */
export async function getSlotsAsOf(
  tx: Queryable,
  slots: readonly { readonly roomId: string; readonly position: number; readonly type: string; readonly stateKey: string }[],
): Promise<RoomStateRecord[]> {
  return tx.query(
    'get_slots_as_of',
    `SELECT ${STATE_COLUMNS} FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS n(room_id, position, type, state_key)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_slots s ON s.type = n.type AND s.state_key = n.state_key
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.slot_nid = s.slot_nid AND i.from_pos <= n.position AND i.to_pos > n.position
       JOIN events e USING (event_nid)`,
    [
      slots.map((slot) => slot.roomId),
      slots.map((slot) => slot.position),
      slots.map((slot) => slot.type),
      slots.map((slot) => slot.stateKey),
    ],
  )
}

/** Reads all slots of given types of several rooms, each room as of a position of its own. */
export async function getTypesWithKeysAsOf(
  tx: Queryable,
  query: { readonly rooms: readonly { readonly roomId: string; readonly position: number }[]; readonly types: readonly string[] },
): Promise<RoomStateRecord[]> {
  return tx.query(
    'get_types_with_keys_as_of',
    `SELECT ${STATE_COLUMNS} FROM unnest($1::text[], $2::bigint[]) AS n(room_id, position)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.from_pos <= n.position AND i.to_pos > n.position
       JOIN state_slots s ON s.slot_nid = i.slot_nid AND s.type = ANY($3)
       JOIN events e USING (event_nid)`,
    [query.rooms.map((room) => room.roomId), query.rooms.map((room) => room.position), query.types],
  )
}

/** Reads which slots were emptied in (after, upTo] and hold nothing at `upTo`. */
export async function getEmptiedSlots(
  tx: Queryable,
  ranges: readonly { readonly roomId: string; readonly after: number; readonly upTo: number }[],
): Promise<{ readonly roomId: RoomId; readonly type: string; readonly stateKey: string }[]> {
  return tx.query(
    'get_emptied_slots',
    `SELECT DISTINCT r.room_id AS "roomId", s.type, s.state_key AS "stateKey"
       FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n(room_id, after, up_to)
       JOIN rooms r ON r.room_id = n.room_id
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.from_pos > n.after AND i.from_pos <= n.up_to AND i.event_nid = 0
       JOIN state_slots s USING (slot_nid)
      WHERE NOT EXISTS (SELECT 1 FROM state_intervals h WHERE h.room_nid = r.room_nid AND h.slot_nid = i.slot_nid
                           AND h.from_pos <= n.up_to AND h.to_pos > n.up_to)`,
    [ranges.map((range) => range.roomId), ranges.map((range) => range.after), ranges.map((range) => range.upTo)],
  )
}

/** Reads the newest event of given types of each room. It looks at the newest `scanMax` events of a room, and takes the oldest of them instead. */
export async function getNewestOfTypes(
  tx: Queryable,
  query: { readonly roomIds: readonly string[]; readonly types: readonly string[]; readonly scanMax: number },
): Promise<{ readonly roomId: RoomId; readonly position: number }[]> {
  return tx.query(
    'get_newest_of_types',
    `SELECT r.room_id AS "roomId", coalesce(
         (SELECT position FROM (SELECT position, type FROM events WHERE room_nid = r.room_nid AND position > 0 AND ordinal = 0 AND flags = 0
                                 ORDER BY position DESC LIMIT $3) AS e WHERE type = ANY($2) LIMIT 1),
         (SELECT min(position) FROM (SELECT position FROM events WHERE room_nid = r.room_nid AND position > 0 AND ordinal = 0 AND flags = 0
                                      ORDER BY position DESC LIMIT $3) AS e), 0) AS position
       FROM rooms r WHERE r.room_id = ANY($1)`,
    [query.roomIds, query.types, query.scanMax],
  )
}

/** Finds the rooms whose unread counts a user's own receipts with after < position <= upTo may have changed. */
export async function getRoomsOfOwnReceipts(
  tx: Queryable,
  range: { readonly userId: string; readonly roomIds: readonly string[]; readonly after: number; readonly upTo: number },
): Promise<RoomId[]> {
  const rows = await tx.query<{ roomId: RoomId }>(
    'get_rooms_of_own_receipts',
    'SELECT DISTINCT room_id AS "roomId" FROM receipts WHERE user_id = $1 AND room_id = ANY($2) AND position > $3 AND position <= $4',
    [range.userId, range.roomIds, range.after, range.upTo],
  )
  return rows.map((row) => row.roomId)
}

/** Reads the receipts of rooms that belong to given events, or to one user. */
export async function getReceiptsOfEvents(
  tx: Queryable,
  query: { readonly roomIds: readonly string[]; readonly eventIds: readonly string[]; readonly userId: string },
): Promise<
  {
    readonly roomId: string
    readonly receiptType: string
    readonly userId: string
    readonly eventId: string
    readonly threadId: string
    readonly receivedTsMs: number
  }[]
> {
  return tx.query(
    'get_receipts_of_events',
    `SELECT room_id AS "roomId", receipt_type AS "receiptType", user_id AS "userId", event_id AS "eventId", thread_id AS "threadId",
            received_ts_ms AS "receivedTsMs"
       FROM receipts WHERE room_id = ANY($1) AND (user_id = $3 OR (event_id = ANY($2) AND receipt_type <> 'm.read.private')) ORDER BY position`,
    [query.roomIds, query.eventIds, query.userId],
  )
}
