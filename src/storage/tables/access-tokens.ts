import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables access_tokens, refresh_tokens and login_tokens. Schema: migrations/0010-accounts.sql. */

/** An access token with the account that it belongs to: all that a request needs to know. */
export interface TokenOwnerRow {
  readonly accessTokenId: number
  readonly userId: UserId
  readonly deviceId: DeviceId | null
  readonly expiresTsMs: number | null
  readonly refreshTokenId: number | null
  readonly isUsed: boolean
  readonly puppeteer: UserId | null
  readonly isGuest: boolean
  readonly isAdmin: boolean
  readonly isDeactivated: boolean
  readonly isLocked: boolean
  readonly isSuspended: boolean
  readonly isShadowBanned: boolean
  readonly isRateLimited: boolean
  readonly messagesPerSecond: number | null
  readonly burstCount: number | null
}

/** Reads who owns an access token. */
export async function getTokenOwner(tx: Queryable, tokenHash: Buffer): Promise<TokenOwnerRow | undefined> {
  const rows = await tx.query<TokenOwnerRow>(
    'get_token_owner',
    `SELECT t.access_token_id AS "accessTokenId", t.user_id AS "userId", t.device_id AS "deviceId",
            t.expires_ts_ms AS "expiresTsMs", t.refresh_token_id AS "refreshTokenId", t.is_used AS "isUsed", t.puppeteer,
            u.is_guest AS "isGuest", u.is_admin AS "isAdmin", u.is_deactivated AS "isDeactivated", u.is_locked AS "isLocked",
            u.is_suspended AS "isSuspended", u.is_shadow_banned AS "isShadowBanned", u.is_rate_limited AS "isRateLimited",
            u.messages_per_second AS "messagesPerSecond", u.burst_count AS "burstCount"
       FROM access_tokens t JOIN users u USING (user_id) WHERE t.token_hash = $1`,
    [tokenHash],
  )
  return rows[0]
}

export interface NewAccessToken {
  readonly tokenHash: Buffer
  readonly userId: UserId
  readonly deviceId: DeviceId | undefined
  readonly createdTsMs: number
  readonly expiresTsMs: number | undefined
  readonly puppeteer?: UserId
}

/** Adds an access token that can not be refreshed. */
export async function insertAccessToken(tx: Queryable, token: NewAccessToken): Promise<void> {
  await tx.query(
    'insert_access_token',
    `INSERT INTO access_tokens (token_hash, user_id, device_id, created_ts_ms, confirmed_ts_ms, expires_ts_ms, puppeteer)
     VALUES ($1, $2, $3, $4, $4, $5, $6)`,
    [
      token.tokenHash,
      token.userId,
      token.deviceId ?? null,
      token.createdTsMs,
      token.expiresTsMs ?? null,
      token.puppeteer ?? null,
    ],
  )
}

export interface NewRefreshToken {
  readonly tokenHash: Buffer
  readonly expiresTsMs: number | undefined
  readonly sessionExpiresTsMs: number | undefined
}

/** Adds an access token together with the refresh token that renews it, and returns the refresh token's row. */
export async function insertTokenPair(tx: Queryable, access: NewAccessToken, refresh: NewRefreshToken): Promise<number> {
  const rows = await tx.query<{ id: number }>(
    'insert_token_pair',
    `WITH refresh AS (
       INSERT INTO refresh_tokens (token_hash, user_id, device_id, expires_ts_ms, session_expires_ts_ms)
         VALUES ($6, $2, $3, $7, $8)
       RETURNING refresh_token_id)
     INSERT INTO access_tokens (token_hash, user_id, device_id, created_ts_ms, confirmed_ts_ms, expires_ts_ms, refresh_token_id)
     SELECT $1, $2, $3, $4, $4, $5, refresh_token_id FROM refresh RETURNING refresh_token_id AS id`,
    [
      access.tokenHash,
      access.userId,
      access.deviceId,
      access.createdTsMs,
      access.expiresTsMs ?? null,
      refresh.tokenHash,
      refresh.expiresTsMs ?? null,
      refresh.sessionExpiresTsMs ?? null,
    ],
  )
  const [row] = rows
  if (!row) throw new Error('The token pair was not inserted')
  return row.id
}

export interface RefreshTokenRow {
  readonly refreshTokenId: number
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly nextRefreshTokenId: number | null
  readonly expiresTsMs: number | null
  readonly sessionExpiresTsMs: number | null
}

/** Keeps the device of a refresh token from being deleted until the transaction ends. Returns whether it is there. */
export async function lockDeviceOfRefreshToken(tx: Queryable, tokenHash: Buffer): Promise<boolean> {
  const rows = await tx.query(
    'lock_device_of_refresh_token',
    `SELECT 1 FROM devices WHERE (user_id, device_id) = (SELECT user_id, device_id FROM refresh_tokens WHERE token_hash = $1)
      FOR SHARE`,
    [tokenHash],
  )
  return rows.length > 0
}

/** Reads a refresh token and locks it until the transaction ends: of two refreshes at once, one waits for the other. */
export async function lockRefreshToken(tx: Queryable, tokenHash: Buffer): Promise<RefreshTokenRow | undefined> {
  const rows = await tx.query<RefreshTokenRow>(
    'lock_refresh_token',
    `SELECT refresh_token_id AS "refreshTokenId", user_id AS "userId", device_id AS "deviceId",
            next_refresh_token_id AS "nextRefreshTokenId", expires_ts_ms AS "expiresTsMs",
            session_expires_ts_ms AS "sessionExpiresTsMs"
       FROM refresh_tokens WHERE token_hash = $1 FOR UPDATE`,
    [tokenHash],
  )
  return rows[0]
}

/**
 * Makes the new refresh token the successor, instead of an earlier one that was never used, which ends with its access
 * tokens.
 */
export async function replaceSuccessor(tx: Queryable, refreshTokenId: number, nextRefreshTokenId: number): Promise<void> {
  await tx.query(
    'replace_refresh_successor',
    `WITH replaced AS (
       DELETE FROM refresh_tokens
        WHERE refresh_token_id = (SELECT next_refresh_token_id FROM refresh_tokens WHERE refresh_token_id = $1))
     UPDATE refresh_tokens SET next_refresh_token_id = $2 WHERE refresh_token_id = $1`,
    [refreshTokenId, nextRefreshTokenId],
  )
}

/** Ends the refresh token that this one was exchanged for, with its access tokens: the new one has been used. */
export async function deletePredecessors(tx: Queryable, refreshTokenId: number): Promise<void> {
  await tx.query('delete_refresh_predecessors', 'DELETE FROM refresh_tokens WHERE next_refresh_token_id = $1', [refreshTokenId])
}

/** Notes the first use of an access token that can be refreshed. */
export async function markAccessTokenUsed(tx: Queryable, accessTokenId: number): Promise<void> {
  await tx.query('mark_access_token_used', 'UPDATE access_tokens SET is_used = true WHERE access_token_id = $1', [accessTokenId])
}

/** When the token's holder last proved to be the account's owner. */
export async function getConfirmedTsMs(tx: Queryable, accessTokenId: number): Promise<number | undefined> {
  const rows = await tx.query<{ confirmedTsMs: number }>(
    'get_token_confirmed',
    'SELECT confirmed_ts_ms AS "confirmedTsMs" FROM access_tokens WHERE access_token_id = $1',
    [accessTokenId],
  )
  return rows[0]?.confirmedTsMs
}

/** Notes that the token's holder has proved to be the account's owner. */
export async function updateConfirmedTsMs(tx: Queryable, accessTokenId: number, confirmedTsMs: number): Promise<void> {
  await tx.query('update_token_confirmed', 'UPDATE access_tokens SET confirmed_ts_ms = $2 WHERE access_token_id = $1', [
    accessTokenId,
    confirmedTsMs,
  ])
}

/** Ends all access and refresh tokens of the devices. */
export async function deleteTokensOfDevices(tx: Queryable, userId: UserId, deviceIds: readonly DeviceId[]): Promise<void> {
  await tx.query(
    'delete_tokens_of_devices',
    `WITH access AS (DELETE FROM access_tokens WHERE user_id = $1 AND device_id = ANY($2))
     DELETE FROM refresh_tokens WHERE user_id = $1 AND device_id = ANY($2)`,
    [userId, deviceIds],
  )
}

/** Ends the user's tokens that belong to no device, but for the one that is excepted. */
export async function deleteTokensWithoutDevice(
  tx: Queryable,
  userId: UserId,
  exceptAccessTokenId: number | undefined,
): Promise<void> {
  await tx.query(
    'delete_tokens_without_device',
    'DELETE FROM access_tokens WHERE user_id = $1 AND device_id IS NULL AND access_token_id IS DISTINCT FROM $2',
    [userId, exceptAccessTokenId ?? null],
  )
}

/** Ends one access token. */
export async function deleteAccessToken(tx: Queryable, accessTokenId: number): Promise<void> {
  await tx.query('delete_access_token', 'DELETE FROM access_tokens WHERE access_token_id = $1', [accessTokenId])
}

/** Adds a token that logs in once, and forgets expired ones. */
export async function insertLoginToken(
  tx: Queryable,
  token: { readonly tokenHash: Buffer; readonly userId: UserId; readonly expiresTsMs: number; readonly nowMs: number },
): Promise<void> {
  await tx.query(
    'insert_login_token',
    `WITH expired AS (DELETE FROM login_tokens WHERE expires_ts_ms < $4)
     INSERT INTO login_tokens (token_hash, user_id, expires_ts_ms) VALUES ($1, $2, $3)`,
    [token.tokenHash, token.userId, token.expiresTsMs, token.nowMs],
  )
}

/** Uses a login token up; returns whose it was, unless it is unknown, used or expired. */
export async function takeLoginToken(tx: Queryable, tokenHash: Buffer, nowMs: number): Promise<UserId | undefined> {
  const rows = await tx.query<{ userId: UserId; expiresTsMs: number }>(
    'take_login_token',
    'DELETE FROM login_tokens WHERE token_hash = $1 RETURNING user_id AS "userId", expires_ts_ms AS "expiresTsMs"',
    [tokenHash],
  )
  const [row] = rows
  return row && row.expiresTsMs > nowMs ? row.userId : undefined
}

/** Ends the user's login tokens. */
export async function deleteLoginTokens(tx: Queryable, userId: UserId): Promise<void> {
  await tx.query('delete_login_tokens', 'DELETE FROM login_tokens WHERE user_id = $1', [userId])
}
