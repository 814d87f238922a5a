import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** What administrators see of rooms. Schema: migrations/0002, 0016-room-directory.sql, 0035-purging.sql. */

const OPEN_END = '9223372036854775807'

function currentText(type: string, key: string): string {
  return `(SELECT state_text(e.json, '${key}') FROM state_slots s
             JOIN state_intervals i ON i.slot_nid = s.slot_nid AND i.room_nid = r.room_nid AND i.to_pos = ${OPEN_END} JOIN events e USING (event_nid)
            WHERE s.type = '${type}' AND s.state_key = '' AND e.redacted_by IS NULL)`
}

const NAME = currentText('m.room.name', 'name')
const ALIAS = currentText('m.room.canonical_alias', 'alias')
const IS_PUBLIC = `EXISTS (SELECT 1 FROM published_rooms p WHERE p.room_id = r.room_id)`
const JOINED_LOCALLY = `(SELECT count(*) FROM memberships m WHERE m.room_nid = r.room_nid AND m.membership = 'join' AND right(m.user_id, length($1)) = $1)`
const STATE_EVENTS = `(SELECT count(*) FROM state_intervals i WHERE i.room_nid = r.room_nid AND i.to_pos = ${OPEN_END})`
const IS_FEDERATABLE = `(SELECT strpos(e.json, '"m.federate":false') = 0 FROM state_slots s
             JOIN state_intervals i ON i.slot_nid = s.slot_nid AND i.room_nid = r.room_nid AND i.to_pos = ${OPEN_END} JOIN events e USING (event_nid)
            WHERE s.type = 'm.room.create' AND s.state_key = '')`

/** What a list of rooms may be sorted by, as Synapse names it, and whether it is descending by itself. */
export const ROOM_ORDERS = {
  alphabetical: { key: NAME, isDescending: false },
  name: { key: NAME, isDescending: false },
  canonical_alias: { key: ALIAS, isDescending: false },
  size: { key: 'h.joined_count', isDescending: true },
  joined_members: { key: 'h.joined_count', isDescending: true },
  joined_local_members: { key: JOINED_LOCALLY, isDescending: true },
  version: { key: 'r.room_version', isDescending: true },
  creator: { key: 'r.creator', isDescending: false },
  encryption: { key: currentText('m.room.encryption', 'algorithm'), isDescending: false },
  federatable: { key: IS_FEDERATABLE, isDescending: false },
  public: { key: IS_PUBLIC, isDescending: false },
  join_rules: { key: currentText('m.room.join_rules', 'join_rule'), isDescending: false },
  guest_access: { key: currentText('m.room.guest_access', 'guest_access'), isDescending: false },
  history_visibility: { key: currentText('m.room.history_visibility', 'history_visibility'), isDescending: false },
  state_events: { key: STATE_EVENTS, isDescending: true },
} as const
export type RoomOrder = keyof typeof ROOM_ORDERS

/** Which rooms; undefined does not ask. */
export interface AdminRoomFilter {
  /** Part of the name, of the local part of the main alias, or of the room id. */
  readonly searchTerm: string | undefined
  readonly isPublic: boolean | undefined
  readonly isEmpty: boolean | undefined
}

const FILTER = `($2::text IS NULL OR strpos(lower(${NAME}), lower($2)) > 0 OR strpos(split_part(lower(${ALIAS}), ':', 1), lower($2)) > 0 OR strpos(r.room_id, $2) > 0)
  AND ($3::boolean IS NULL OR ${IS_PUBLIC} = $3) AND ($4::boolean IS NULL OR (h.joined_count = 0) = $4)`

/** Reads a page of room ids in order, and counts all that fit. */
export async function getAdminRoomPage(
  tx: Queryable,
  filter: AdminRoomFilter,
  page: {
    readonly orderBy: RoomOrder
    readonly isReversed: boolean
    readonly offset: number
    readonly limit: number
    readonly serverName: string
  },
): Promise<{ readonly roomIds: RoomId[]; readonly total: number }> {
  const { key, isDescending } = ROOM_ORDERS[page.orderBy]
  const direction = isDescending === page.isReversed ? 'ASC' : 'DESC'
  const values = [`:${page.serverName}`, filter.searchTerm ?? null, filter.isPublic ?? null, filter.isEmpty ?? null]
  const [rows, counted] = await Promise.all([
    tx.query<{ roomId: RoomId }>(
      `get_admin_rooms_${page.orderBy}_${direction}`,
      `SELECT r.room_id AS "roomId" FROM rooms r JOIN room_head h USING (room_nid) WHERE $1::text IS NOT NULL AND ${FILTER}
        ORDER BY ${key} ${direction}, r.room_id ${direction} LIMIT $6 OFFSET $5`,
      [...values, page.offset, page.limit],
    ),
    tx.query<{ total: number }>(
      'count_admin_rooms',
      `SELECT count(*) AS total FROM rooms r JOIN room_head h USING (room_nid) WHERE $1::text IS NOT NULL AND ${FILTER}`,
      values,
    ),
  ])
  return { roomIds: rows.map((row) => row.roomId), total: Number(counted[0]?.total ?? 0) }
}

/** What is counted of a room. */
export interface AdminRoomRow {
  readonly roomId: RoomId
  readonly roomVersion: string
  readonly creator: string
  readonly joinedCount: number
  readonly joinedLocally: number
  readonly stateEvents: number
  readonly isPublic: boolean
}

/** Reads what is counted of rooms, in any order. */
export async function getAdminRooms(tx: Queryable, roomIds: readonly RoomId[], serverName: string): Promise<AdminRoomRow[]> {
  return tx.query<AdminRoomRow>(
    'get_admin_rooms',
    `SELECT r.room_id AS "roomId", r.room_version AS "roomVersion", r.creator, h.joined_count AS "joinedCount", ${JOINED_LOCALLY}::int AS "joinedLocally",
            ${STATE_EVENTS}::int AS "stateEvents", ${IS_PUBLIC} AS "isPublic"
       FROM rooms r JOIN room_head h USING (room_nid) WHERE r.room_id = ANY($2)`,
    [`:${serverName}`, roomIds],
  )
}

/** Counts the devices of our users in a room. */
export async function countDevicesInRoom(tx: Queryable, roomId: RoomId): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'count_devices_in_room',
    `SELECT count(*)::int AS count FROM memberships m JOIN rooms r USING (room_nid) JOIN devices d USING (user_id)
      WHERE r.room_id = $1 AND m.membership = 'join'`,
    [roomId],
  )
  return row?.count ?? 0
}

/** A head of a room's event graph. */
export interface ForwardExtremity {
  readonly eventId: EventId
  readonly basePos: number
  readonly depth: number
  readonly originServerTs: number
}

/** Reads the heads of a room's event graph. */
export async function getForwardExtremities(tx: Queryable, roomId: RoomId): Promise<ForwardExtremity[]> {
  return tx.query<ForwardExtremity>(
    'get_forward_extremities',
    `SELECT e.event_id AS "eventId", e.base_pos AS "basePos", e.depth, e.origin_server_ts AS "originServerTs"
       FROM rooms r JOIN room_head h USING (room_nid) JOIN events e ON e.event_nid = ANY(h.extremities)
      WHERE r.room_id = $1 ORDER BY e.depth DESC, e.event_id`,
    [roomId],
  )
}

/** Leaves a room only the newest of its heads; returns how many went. */
export async function trimForwardExtremities(tx: Queryable, roomId: RoomId): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'trim_forward_extremities',
    `UPDATE room_head h SET version = h.version + 1, extremities = ARRAY[n.event_nid]
       FROM (SELECT k.room_nid, cardinality(k.extremities) - 1 AS gone,
                    (SELECT e.event_nid FROM events e WHERE e.event_nid = ANY(k.extremities) ORDER BY e.position DESC NULLS LAST, e.depth DESC LIMIT 1) AS event_nid
               FROM room_head k JOIN rooms r USING (room_nid) WHERE r.room_id = $1 AND cardinality(k.extremities) > 1 FOR UPDATE OF k) AS n
      WHERE h.room_nid = n.room_nid AND n.event_nid IS NOT NULL RETURNING n.gone::int AS count`,
    [roomId],
  )
  return row?.count ?? 0
}
