import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table openid_tokens. Schema: migrations/0010-accounts.sql. */

/** Adds a token, and forgets expired ones. */
export async function insertOpenIdToken(
  tx: Queryable,
  token: { readonly tokenHash: Buffer; readonly userId: UserId; readonly expiresTsMs: number; readonly nowMs: number },
): Promise<void> {
  await tx.query(
    'insert_openid_token',
    `WITH expired AS (DELETE FROM openid_tokens WHERE expires_ts_ms < $4)
     INSERT INTO openid_tokens (token_hash, user_id, expires_ts_ms) VALUES ($1, $2, $3)`,
    [token.tokenHash, token.userId, token.expiresTsMs, token.nowMs],
  )
}

/** Reads whose token it is, unless it has expired. */
export async function getOpenIdTokenOwner(tx: Queryable, tokenHash: Buffer, nowMs: number): Promise<UserId | undefined> {
  const rows = await tx.query<{ userId: UserId }>(
    'get_openid_token_owner',
    'SELECT user_id AS "userId" FROM openid_tokens WHERE token_hash = $1 AND expires_ts_ms > $2',
    [tokenHash, nowMs],
  )
  return rows[0]?.userId
}

/** Ends the user's tokens. */
export async function deleteOpenIdTokens(tx: Queryable, userId: UserId): Promise<void> {
  await tx.query('delete_openid_tokens', 'DELETE FROM openid_tokens WHERE user_id = $1', [userId])
}
