import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** What administrators see of accounts. Schema: migrations/0010-accounts.sql, 0012-user-data.sql, 0033-admin-accounts.sql. */

/** A text of a profile; values are JSON. Null where PostgreSQL cannot hold it as a text. */
function profileText(name: string): string {
  return `(SELECT CASE WHEN strpos(p.value, '\\u0000') = 0 THEN p.value::json #>> '{}' END FROM profile_fields p WHERE p.user_id = u.user_id AND p.name = '${name}')`
}

const DISPLAY_NAME = profileText('displayname')
const AVATAR = profileText('avatar_url')
const LAST_SEEN = `(SELECT max(d.last_seen_ts_ms) FROM devices d WHERE d.user_id = u.user_id)`

/** What a list of accounts may be sorted by, as Synapse names it. */
export const USER_ORDERS = {
  name: 'u.user_id',
  is_guest: 'u.is_guest',
  admin: 'u.is_admin',
  user_type: 'u.user_type',
  deactivated: 'u.is_deactivated',
  shadow_banned: 'u.is_shadow_banned',
  displayname: DISPLAY_NAME,
  avatar_url: AVATAR,
  creation_ts: 'u.created_ts_ms',
  last_seen_ts: LAST_SEEN,
  locked: 'u.is_locked',
} as const
export type UserOrder = keyof typeof USER_ORDERS

/** An account with its profile. */
export interface AdminUserRow {
  readonly userId: UserId
  readonly isGuest: boolean
  readonly isAdmin: boolean
  readonly userType: string | null
  readonly isDeactivated: boolean
  readonly isErased: boolean
  readonly isShadowBanned: boolean
  readonly isLocked: boolean
  readonly isSuspended: boolean
  readonly appserviceId: string | null
  readonly createdTsMs: number
  readonly displayName: string | null
  readonly avatarUrl: string | null
  readonly lastSeenTsMs: number | null
}

/** Which accounts; undefined does not ask. */
export interface AdminUserFilter {
  /** Part of the user id. */
  readonly userId: string | undefined
  /** Part of the local part or of the display name. */
  readonly name: string | undefined
  readonly isGuest: boolean | undefined
  readonly isAdmin: boolean | undefined
  readonly isDeactivated: boolean | undefined
  readonly isLocked: boolean | undefined
  /** Types to leave out; '' stands for none. */
  readonly notUserTypes: readonly string[]
}

const COLUMNS = `u.user_id AS "userId", u.is_guest AS "isGuest", u.is_admin AS "isAdmin", u.user_type AS "userType", u.is_deactivated AS "isDeactivated",
  u.is_erased AS "isErased", u.is_shadow_banned AS "isShadowBanned", u.is_locked AS "isLocked", u.is_suspended AS "isSuspended",
  u.appservice_id AS "appserviceId", u.created_ts_ms AS "createdTsMs", ${DISPLAY_NAME} AS "displayName", ${AVATAR} AS "avatarUrl", ${LAST_SEEN} AS "lastSeenTsMs"`
const FILTER = `($1::text IS NULL OR strpos(lower(u.user_id), lower($1)) > 0)
  AND ($2::text IS NULL OR strpos(lower(split_part(substr(u.user_id, 2), ':', 1)), lower($2)) > 0 OR strpos(lower(${DISPLAY_NAME}), lower($2)) > 0)
  AND ($3::boolean IS NULL OR u.is_guest = $3) AND ($4::boolean IS NULL OR u.is_admin = $4)
  AND ($5::boolean IS NULL OR u.is_deactivated = $5) AND ($6::boolean IS NULL OR u.is_locked = $6) AND NOT coalesce(u.user_type, '') = ANY($7)`

/** Reads a page of accounts in order, and counts all that fit. */
export async function getAdminUserPage(
  tx: Queryable,
  filter: AdminUserFilter,
  page: { readonly orderBy: UserOrder; readonly isReversed: boolean; readonly offset: number; readonly limit: number },
): Promise<{ readonly users: AdminUserRow[]; readonly total: number }> {
  const direction = page.isReversed ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'
  const values = [
    filter.userId ?? null,
    filter.name ?? null,
    filter.isGuest ?? null,
    filter.isAdmin ?? null,
    filter.isDeactivated ?? null,
    filter.isLocked ?? null,
    filter.notUserTypes,
  ]
  const [users, counted] = await Promise.all([
    tx.query<AdminUserRow>(
      `get_admin_users_${page.orderBy}_${page.isReversed ? 'b' : 'f'}`,
      `SELECT ${COLUMNS} FROM users u WHERE ${FILTER} ORDER BY ${USER_ORDERS[page.orderBy]} ${direction}, u.user_id LIMIT $9 OFFSET $8`,
      [...values, page.offset, page.limit],
    ),
    tx.query<{ total: number }>('count_admin_users', `SELECT count(*)::int AS total FROM users u WHERE ${FILTER}`, values),
  ])
  return { users, total: counted[0]?.total ?? 0 }
}

/** Reads one account with its profile. */
export async function getAdminUser(tx: Queryable, userId: UserId): Promise<AdminUserRow | undefined> {
  const [row] = await tx.query<AdminUserRow>('get_admin_user', `SELECT ${COLUMNS} FROM users u WHERE u.user_id = $1`, [userId])
  return row
}

/** A name of an account at an identity provider. */
export interface ExternalId {
  readonly authProvider: string
  readonly externalId: string
}

/** Reads the account's names at identity providers. */
export async function getExternalIds(tx: Queryable, userId: UserId): Promise<ExternalId[]> {
  return tx.query<ExternalId>(
    'get_external_ids',
    `SELECT auth_provider AS "authProvider", external_id AS "externalId" FROM user_external_ids WHERE user_id = $1 ORDER BY 1, 2 LIMIT 1000`,
    [userId],
  )
}

/** Finds whose name at an identity provider it is. */
export async function getUserIdByExternalId(tx: Queryable, key: ExternalId): Promise<UserId | undefined> {
  const [row] = await tx.query<{ userId: UserId }>(
    'get_user_id_by_external_id',
    `SELECT user_id AS "userId" FROM user_external_ids WHERE auth_provider = $1 AND external_id = $2`,
    [key.authProvider, key.externalId],
  )
  return row?.userId
}

/** Replaces the account's names at identity providers. Fails with a unique violation where one belongs to another account. */
export async function replaceExternalIds(tx: Queryable, userId: UserId, ids: readonly ExternalId[]): Promise<void> {
  const lists = [userId, ids.map((id) => id.authProvider), ids.map((id) => id.externalId)]
  await tx.query(
    'delete_external_ids',
    `DELETE FROM user_external_ids e WHERE e.user_id = $1
        AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS n(p, i) WHERE n.p = e.auth_provider AND n.i = e.external_id)`,
    lists,
  )
  await tx.query(
    'insert_external_ids',
    `INSERT INTO user_external_ids (auth_provider, external_id, user_id)
     SELECT DISTINCT n.p, n.i, $1::text FROM unnest($2::text[], $3::text[]) AS n(p, i)
      WHERE NOT EXISTS (SELECT FROM user_external_ids e WHERE e.user_id = $1 AND e.auth_provider = n.p AND e.external_id = n.i)`,
    lists,
  )
}

/** Opens a closed account again, with a password or none. */
export async function reactivateUser(tx: Queryable, userId: UserId): Promise<void> {
  await tx.query('reactivate_user', 'UPDATE users SET is_deactivated = false, is_erased = false WHERE user_id = $1', [userId])
}

/** Sets the type of an account. */
export async function updateUserType(tx: Queryable, userId: UserId, userType: string | null): Promise<void> {
  await tx.query('update_user_type', 'UPDATE users SET user_type = $2 WHERE user_id = $1', [userId, userType])
}

/** Limits of a user's messages; 0 a second stands for no limit. */
export interface RatelimitOverride {
  readonly messagesPerSecond: number
  readonly burstCount: number
}

/** Reads the limits that an account has instead of the usual ones. */
export async function getRatelimitOverride(tx: Queryable, userId: UserId): Promise<RatelimitOverride | undefined> {
  const [row] = await tx.query<RatelimitOverride>(
    'get_ratelimit_override',
    `SELECT messages_per_second AS "messagesPerSecond", coalesce(burst_count, 0) AS "burstCount" FROM users
      WHERE user_id = $1 AND messages_per_second IS NOT NULL`,
    [userId],
  )
  return row
}

/** Sets the limits of an account, or gives it back the usual ones. */
export async function setRatelimitOverride(
  tx: Queryable,
  userId: UserId,
  override: RatelimitOverride | undefined,
): Promise<void> {
  await tx.query(
    'set_ratelimit_override',
    `UPDATE users SET messages_per_second = $2, burst_count = $3, is_rate_limited = coalesce($2, 1) <> 0 WHERE user_id = $1`,
    [userId, override?.messagesPerSecond ?? null, override?.burstCount ?? null],
  )
}

/** Lets a user replace the cross-signing keys without proof until then. Returns whether there are any. */
export async function allowKeyReplacement(tx: Queryable, userId: UserId, untilMs: number): Promise<boolean> {
  const rows = await tx.query(
    'allow_key_replacement',
    `UPDATE users u SET keys_replaceable_until_ms = $2
      WHERE u.user_id = $1 AND EXISTS (SELECT FROM cross_signing_keys k WHERE k.user_id = u.user_id AND k.usage = 'master') RETURNING 1`,
    [userId, untilMs],
  )
  return rows.length > 0
}

/** Tells whether the user may replace the cross-signing keys without proof just now. */
export async function mayReplaceKeys(tx: Queryable, userId: UserId, nowMs: number): Promise<boolean> {
  const rows = await tx.query('may_replace_keys', 'SELECT 1 FROM users WHERE user_id = $1 AND keys_replaceable_until_ms > $2', [
    userId,
    nowMs,
  ])
  return rows.length > 0
}

/** Reads the rooms of which a user is or was a member, with the membership. */
export async function getMembershipsOfAccount(
  tx: Queryable,
  userId: UserId,
): Promise<{ readonly roomId: RoomId; readonly membership: string }[]> {
  return tx.query(
    'get_memberships_of_account',
    `SELECT r.room_id AS "roomId", m.membership FROM memberships m JOIN rooms r USING (room_nid) WHERE m.user_id = $1 ORDER BY r.room_id`,
    [userId],
  )
}

/** Counts the invites that a user has sent since a time. */
export async function countInvitesSent(tx: Queryable, userId: UserId, sinceTsMs: number): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'count_invites_sent',
    `SELECT count(*)::int AS count FROM events
      WHERE type = 'm.room.member' AND sender = $1 AND origin_server_ts >= $2 AND state_key <> sender AND flags = 0
        AND json::json -> 'content' ->> 'membership' = 'invite'`,
    [userId, sinceTsMs],
  )
  return row?.count ?? 0
}

/** Counts the rooms that a user is in, or has joined since a time, left or not. */
export async function countRoomsJoined(tx: Queryable, userId: UserId, sinceTsMs: number): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'count_rooms_joined',
    `SELECT count(DISTINCT i.room_nid)::int AS count FROM state_slots s JOIN state_intervals i USING (slot_nid) JOIN events e USING (event_nid)
      WHERE s.type = 'm.room.member' AND s.state_key = $1 AND e.origin_server_ts >= $2
        AND e.json::json -> 'content' ->> 'membership' = 'join'`,
    [userId, sinceTsMs],
  )
  return row?.count ?? 0
}

/** Reads a page of what a user has said in a room and is not redacted, newest first. */
export async function getEventsToRedact(
  tx: Queryable,
  key: { readonly userId: UserId; readonly roomId: RoomId; readonly before: number; readonly limit: number },
): Promise<{ readonly eventId: string; readonly position: number }[]> {
  return tx.query(
    'get_events_to_redact',
    `SELECT e.event_id AS "eventId", e.position FROM events e JOIN rooms r USING (room_nid)
      WHERE r.room_id = $1 AND e.sender = $2 AND e.position < $3 AND e.ordinal = 0 AND e.flags = 0 AND e.redacted_by IS NULL
        AND e.type <> 'm.room.redaction' AND (e.state_key IS NULL OR e.type = 'm.room.member') ORDER BY e.position DESC LIMIT $4`,
    [key.roomId, key.userId, key.before, key.limit],
  )
}

/** Reads the largest rooms in the database, by a guess that is cheap. Sizes in bytes. */
export async function getRoomSizes(tx: Queryable, limit: number): Promise<{ readonly roomId: RoomId; readonly bytes: number }[]> {
  return tx.query(
    'get_room_sizes',
    `SELECT r.room_id AS "roomId", s.bytes::float8 AS bytes FROM (
       SELECT room_nid, sum(octet_length(json)) AS bytes FROM events GROUP BY room_nid ORDER BY 2 DESC LIMIT $1) s
       JOIN rooms r USING (room_nid) ORDER BY s.bytes DESC, r.room_id`,
    [limit],
  )
}
