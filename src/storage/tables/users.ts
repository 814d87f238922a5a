import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables users and user_threepids. Schema: migrations/0010-accounts.sql. */

export interface UserRow {
  readonly userId: UserId
  readonly passwordHash: string | null
  readonly createdTsMs: number
  readonly isAdmin: boolean
  readonly isGuest: boolean
  readonly isDeactivated: boolean
  readonly isErased: boolean
  readonly isLocked: boolean
  readonly isSuspended: boolean
  readonly isShadowBanned: boolean
  readonly isRateLimited: boolean
  readonly userType: string | null
  readonly appserviceId: string | null
}

const COLUMNS = `user_id AS "userId", password_hash AS "passwordHash", created_ts_ms AS "createdTsMs", is_admin AS "isAdmin",
  is_guest AS "isGuest", is_deactivated AS "isDeactivated", is_erased AS "isErased", is_locked AS "isLocked",
  is_suspended AS "isSuspended", is_shadow_banned AS "isShadowBanned", is_rate_limited AS "isRateLimited",
  user_type AS "userType", appservice_id AS "appserviceId"`

export interface NewUser {
  readonly userId: UserId
  readonly passwordHash: string | undefined
  readonly createdTsMs: number
  readonly isAdmin: boolean
  readonly isGuest: boolean
  readonly userType: string | undefined
  readonly appserviceId: string | undefined
}

/** Adds an account. Fails with a unique violation where the id is taken. */
export async function insertUser(tx: Queryable, user: NewUser): Promise<void> {
  await tx.query(
    'insert_user',
    `INSERT INTO users (user_id, password_hash, created_ts_ms, is_admin, is_guest, user_type, appservice_id)
      VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      user.userId,
      user.passwordHash ?? null,
      user.createdTsMs,
      user.isAdmin,
      user.isGuest,
      user.userType ?? null,
      user.appserviceId ?? null,
    ],
  )
}

/** Reads one account. */
export async function getUser(tx: Queryable, userId: UserId): Promise<UserRow | undefined> {
  return (await tx.query<UserRow>('get_user', `SELECT ${COLUMNS} FROM users WHERE user_id = $1`, [userId]))[0]
}

/** Reads the accounts whose ids are the same but for the case of letters: one, or several old ones. */
export async function getUsersIgnoringCase(tx: Queryable, userId: string): Promise<UserRow[]> {
  return tx.query<UserRow>('get_users_ignoring_case', `SELECT ${COLUMNS} FROM users WHERE lower(user_id) = lower($1) LIMIT 100`, [
    userId,
  ])
}

/** Tells which of the ids have accounts here that are in use. */
export async function getActiveUsers(tx: Queryable, userIds: readonly UserId[]): Promise<UserId[]> {
  const rows = await tx.query<{ userId: UserId }>(
    'get_active_users',
    'SELECT user_id AS "userId" FROM users WHERE user_id = ANY($1) AND NOT is_deactivated',
    [userIds],
  )
  return rows.map((row) => row.userId)
}

/** Replaces the hash of a password; undefined takes the password away. */
export async function updatePasswordHash(tx: Queryable, userId: UserId, passwordHash: string | undefined): Promise<void> {
  await tx.query('update_password_hash', 'UPDATE users SET password_hash = $2 WHERE user_id = $1', [userId, passwordHash ?? null])
}

/** Marks an account as closed for good, and takes its password and its third-party identifiers away. */
export async function deactivateUser(tx: Queryable, user: { userId: UserId; isErased: boolean }): Promise<void> {
  await tx.query(
    'deactivate_user',
    `WITH threepids AS (DELETE FROM user_threepids WHERE user_id = $1)
     UPDATE users SET is_deactivated = true, is_erased = is_erased OR $2, password_hash = NULL WHERE user_id = $1`,
    [user.userId, user.isErased],
  )
}

/** Sets what administrators decide on an account; fields that are undefined stay as they are. */
export async function updateUserFlags(
  tx: Queryable,
  userId: UserId,
  flags: {
    readonly isAdmin?: boolean
    readonly isLocked?: boolean
    readonly isSuspended?: boolean
    readonly isShadowBanned?: boolean
    readonly isRateLimited?: boolean
  },
): Promise<void> {
  await tx.query(
    'update_user_flags',
    `UPDATE users SET is_admin = coalesce($2, is_admin), is_locked = coalesce($3, is_locked),
       is_suspended = coalesce($4, is_suspended), is_shadow_banned = coalesce($5, is_shadow_banned),
       is_rate_limited = coalesce($6, is_rate_limited)
     WHERE user_id = $1`,
    [
      userId,
      flags.isAdmin ?? null,
      flags.isLocked ?? null,
      flags.isSuspended ?? null,
      flags.isShadowBanned ?? null,
      flags.isRateLimited ?? null,
    ],
  )
}

export interface ThreepidRow {
  readonly medium: string
  readonly address: string
  readonly validatedTsMs: number
  readonly addedTsMs: number
}

/** Reads the e-mail addresses and phone numbers of an account. */
export async function getThreepids(tx: Queryable, userId: UserId): Promise<ThreepidRow[]> {
  return tx.query<ThreepidRow>(
    'get_threepids',
    `SELECT medium, address, validated_ts_ms AS "validatedTsMs", added_ts_ms AS "addedTsMs"
       FROM user_threepids WHERE user_id = $1 ORDER BY added_ts_ms, address LIMIT 1000`,
    [userId],
  )
}

/** Finds whose account a third-party identifier belongs to. */
export async function getUserIdByThreepid(
  tx: Queryable,
  threepid: { medium: string; address: string },
): Promise<UserId | undefined> {
  const rows = await tx.query<{ userId: UserId }>(
    'get_user_id_by_threepid',
    'SELECT user_id AS "userId" FROM user_threepids WHERE medium = $1 AND address = $2',
    [threepid.medium, threepid.address],
  )
  return rows[0]?.userId
}

/** Adds addresses to an account, or tells its own once more. Fails with a unique violation where one belongs to another account. */
export async function insertThreepids(
  tx: Queryable,
  userId: UserId,
  threepids: readonly { readonly medium: string; readonly address: string; readonly validatedTsMs: number }[],
  nowMs: number,
): Promise<void> {
  if (threepids.length === 0) return
  await tx.query(
    'insert_threepids',
    `INSERT INTO user_threepids (user_id, medium, address, validated_ts_ms, added_ts_ms)
     SELECT $1, medium, address, validated_ts_ms, $5 FROM unnest($2::text[], $3::text[], $4::bigint[])
              AS n(medium, address, validated_ts_ms)
      WHERE NOT EXISTS (SELECT FROM user_threepids o WHERE o.medium = n.medium AND o.address = n.address AND o.user_id = $1)`,
    [
      userId,
      threepids.map(({ medium }) => medium),
      threepids.map(({ address }) => address),
      threepids.map(({ validatedTsMs }) => validatedTsMs),
      nowMs,
    ],
  )
}

/** Takes an address away from an account. Idempotent. */
export async function deleteThreepid(
  tx: Queryable,
  userId: UserId,
  threepid: { medium: string; address: string },
): Promise<void> {
  await tx.query('delete_threepid', 'DELETE FROM user_threepids WHERE user_id = $1 AND medium = $2 AND address = $3', [
    userId,
    threepid.medium,
    threepid.address,
  ])
}

/** Notes that an account's rooms and data are still to be dealt with. */
export async function insertPendingDeactivation(tx: Queryable, user: { userId: UserId; isErased: boolean }): Promise<void> {
  await tx.query(
    'insert_pending_deactivation',
    `INSERT INTO pending_deactivations (user_id, is_erased) VALUES ($1, $2)
     ON CONFLICT (user_id) DO UPDATE SET is_erased = pending_deactivations.is_erased OR EXCLUDED.is_erased`,
    [user.userId, user.isErased],
  )
}

/** Reads the accounts whose deactivation is not finished. */
export async function getPendingDeactivations(tx: Queryable): Promise<{ userId: UserId; isErased: boolean }[]> {
  return tx.query(
    'get_pending_deactivations',
    'SELECT user_id AS "userId", is_erased AS "isErased" FROM pending_deactivations LIMIT 1000',
  )
}

/** Notes that everything of a closed account has been dealt with. */
export async function deletePendingDeactivation(tx: Queryable, userId: UserId): Promise<void> {
  await tx.query('delete_pending_deactivation', 'DELETE FROM pending_deactivations WHERE user_id = $1', [userId])
}

/** Tells which of the users asked for their messages to be erased. */
export async function getErasedUsers(tx: Queryable, userIds: readonly UserId[]): Promise<UserId[]> {
  const rows = await tx.query<{ userId: UserId }>(
    'get_erased_users',
    'SELECT user_id AS "userId" FROM users WHERE user_id = ANY($1) AND is_erased',
    [userIds],
  )
  return rows.map((row) => row.userId)
}

/** Tells which of the users are guests. */
export async function getGuests(tx: Queryable, userIds: readonly UserId[]): Promise<UserId[]> {
  const rows = await tx.query<{ userId: UserId }>(
    'get_guests',
    `SELECT user_id AS "userId" FROM users WHERE user_id = ANY($1::text[]) AND is_guest`,
    [userIds],
  )
  return rows.map((row) => row.userId)
}
