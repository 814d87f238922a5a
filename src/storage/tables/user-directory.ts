import type { Queryable } from '../database.ts'

/** Tables user_directory and user_directory_public_rooms. Schema: migrations/0012-user-data.sql. Written by the directory's consumer only. */

export interface DirectoryRow {
  readonly userId: string
  readonly displayName: string | null
  readonly avatarUrl: string | null
  readonly searchText: string
}

/** Events that change who can be found. */
export interface DirectoryEventRow {
  readonly position: number
  readonly roomNid: number
  readonly type: string
  readonly stateKey: string | null
  /** Null where a resolution emptied the slot. */
  readonly json: string | null
}

/**
 * Reads the changes of state that matter to the directory, with after < position <= upTo, in order; all of a position or none, so that
 * there may be more than `limit`.
 */
export async function getDirectoryEvents(
  tx: Queryable,
  range: { lane: number; after: number; upTo: number; limit: number },
): Promise<DirectoryEventRow[]> {
  return tx.query<DirectoryEventRow>(
    'get_directory_events',
    `SELECT e.position, e.room_nid AS "roomNid", s.type, s.state_key AS "stateKey", c.json
       FROM events e JOIN state_intervals i ON i.room_nid = e.room_nid AND i.from_pos = e.position JOIN state_slots s USING (slot_nid)
       LEFT JOIN events c ON c.event_nid = i.event_nid
      WHERE e.lane = $1 AND e.position > $2 AND e.position <= $3 AND e.ordinal = 0
        AND s.type IN ('m.room.member', 'm.room.join_rules', 'm.room.history_visibility')
      ORDER BY e.position FETCH FIRST $4 ROWS WITH TIES`,
    [range.lane, range.after, range.upTo, range.limit],
  )
}

/** Reads the current join rules and history visibility of rooms, as events. */
export async function getRoomPublicity(
  tx: Queryable,
  roomNids: readonly number[],
): Promise<{ roomNid: number; type: string; json: string }[]> {
  return tx.query(
    'get_room_publicity',
    `SELECT i.room_nid AS "roomNid", s.type, e.json
       FROM state_slots s JOIN state_intervals i USING (slot_nid) JOIN events e USING (event_nid)
      WHERE s.type IN ('m.room.join_rules', 'm.room.history_visibility') AND s.state_key = ''
        AND i.room_nid = ANY($1) AND i.to_pos = 9223372036854775807`,
    [roomNids],
  )
}

/** Notes which of the rooms let everyone find their members. */
export async function setPublicRooms(
  tx: Queryable,
  rooms: { publicNids: readonly number[]; otherNids: readonly number[] },
): Promise<void> {
  await tx.query(
    'set_public_rooms',
    `WITH gone AS (DELETE FROM user_directory_public_rooms WHERE room_nid = ANY($2))
     INSERT INTO user_directory_public_rooms (room_nid) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING`,
    [rooms.publicNids, rooms.otherNids],
  )
}

/** Tells which of the rooms let everyone find their members. */
export async function getPublicRooms(tx: Queryable, roomNids: readonly number[]): Promise<number[]> {
  const rows = await tx.query<{ roomNid: number }>(
    'get_directory_public_rooms',
    'SELECT room_nid AS "roomNid" FROM user_directory_public_rooms WHERE room_nid = ANY($1)',
    [roomNids],
  )
  return rows.map((row) => row.roomNid)
}

/** Puts users into the directory; each at most once. Rows without a name leave the name that is there. */
export async function upsertDirectoryUsers(
  tx: Queryable,
  rows: readonly DirectoryRow[],
  options: { keepNames: boolean },
): Promise<void> {
  if (rows.length === 0) return
  await tx.query(
    'upsert_directory_users',
    `INSERT INTO user_directory (user_id, display_name, avatar_url, search_text)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
     ON CONFLICT (user_id) DO UPDATE
       SET display_name = EXCLUDED.display_name, avatar_url = EXCLUDED.avatar_url, search_text = EXCLUDED.search_text
       WHERE NOT $5`,
    [
      rows.map((row) => row.userId),
      rows.map((row) => row.displayName),
      rows.map((row) => row.avatarUrl),
      rows.map((row) => row.searchText),
      options.keepNames,
    ],
  )
}

export interface DirectorySearch {
  readonly userId: string
  /** LIKE patterns that must all match; the first one should be the most selective. */
  readonly patterns: readonly [string, ...string[]]
  /** The whole term, for ranking. */
  readonly term: string
  readonly serverName: string
  readonly isEveryoneVisible: boolean
  readonly isLocalPreferred: boolean
  readonly isRemoteExcluded: boolean
  readonly areLockedShown: boolean
  readonly limit: number
}

/** Finds users: of shared rooms, of public ones, or all; the best matches first. */
export async function searchDirectory(
  tx: Queryable,
  search: DirectorySearch,
): Promise<{ userId: string; displayName: string | null; avatarUrl: string | null }[]> {
  return tx.query(
    'search_directory',
    `SELECT d.user_id AS "userId", d.display_name AS "displayName", d.avatar_url AS "avatarUrl"
       FROM user_directory d LEFT JOIN users u USING (user_id)
      WHERE d.user_id <> $1 AND d.search_text LIKE $2 AND d.search_text LIKE ALL ($3::text[])
        AND (u.user_id IS NULL OR (NOT u.is_deactivated AND (NOT u.is_locked OR $8)))
        AND (NOT $7 OR right(d.user_id, length($5::text) + 1) = ':' || $5)
        AND ($6
          OR EXISTS (SELECT 1 FROM memberships theirs JOIN memberships mine USING (room_nid)
                      WHERE theirs.user_id = d.user_id AND theirs.membership = 'join' AND mine.user_id = $1 AND mine.membership = 'join')
          OR EXISTS (SELECT 1 FROM memberships theirs JOIN user_directory_public_rooms USING (room_nid)
                      WHERE theirs.user_id = d.user_id AND theirs.membership = 'join'))
      ORDER BY ($9 AND right(d.user_id, length($5::text) + 1) = ':' || $5) DESC,
        CASE WHEN d.search_text LIKE '@' || $4 || ':%' OR d.search_text LIKE '%' || chr(10) || $4 THEN 0
             WHEN d.search_text LIKE '@' || $4 || '%' OR d.search_text LIKE '%' || chr(10) || $4 || '%' THEN 1
             WHEN d.search_text LIKE '%' || chr(10) || '% ' || $4 || '%' THEN 2 ELSE 3 END,
        d.display_name IS NULL, d.avatar_url IS NULL, d.user_id
      LIMIT $10`,
    [
      search.userId,
      search.patterns[0],
      search.patterns.slice(1),
      escapeLike(search.term),
      search.serverName,
      search.isEveryoneVisible,
      search.isRemoteExcluded,
      search.areLockedShown,
      search.isLocalPreferred,
      search.limit,
    ],
  )
}

/** A pattern for LIKE that finds the text anywhere. */
export function containsPattern(text: string): string {
  return `%${escapeLike(text)}%`
}

function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&')
}
