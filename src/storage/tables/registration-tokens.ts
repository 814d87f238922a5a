import type { Queryable } from '../database.ts'

/** Table registration_tokens. Schema: migrations/0010-accounts.sql. */

/** Tells whether the token may be used for one more account. */
export async function isRegistrationTokenValid(tx: Queryable, token: string, nowMs: number): Promise<boolean> {
  const rows = await tx.query(
    'is_registration_token_valid',
    `SELECT 1 FROM registration_tokens
      WHERE token = $1 AND (uses_allowed IS NULL OR pending + completed < uses_allowed)
        AND (expires_ts_ms IS NULL OR expires_ts_ms > $2)`,
    [token, nowMs],
  )
  return rows.length > 0
}

/** Uses the token once. Returns false where it may not be used any more: of two who take the last use, one gets it. */
export async function useRegistrationToken(tx: Queryable, token: string, nowMs: number): Promise<boolean> {
  const rows = await tx.query(
    'use_registration_token',
    `UPDATE registration_tokens SET completed = completed + 1
      WHERE token = $1 AND (uses_allowed IS NULL OR pending + completed < uses_allowed)
        AND (expires_ts_ms IS NULL OR expires_ts_ms > $2)
      RETURNING 1`,
    [token, nowMs],
  )
  return rows.length > 0
}

/** Gives a use back: no account was made. */
export async function returnRegistrationToken(tx: Queryable, token: string): Promise<void> {
  await tx.query(
    'return_registration_token',
    'UPDATE registration_tokens SET completed = completed - 1 WHERE token = $1 AND completed > 0',
    [token],
  )
}

/** Adds a registration token. Returns false where it exists. */
export async function insertRegistrationToken(
  tx: Queryable,
  token: { readonly token: string; readonly usesAllowed: number | undefined; readonly expiresTsMs: number | undefined },
): Promise<boolean> {
  const rows = await tx.query(
    'insert_registration_token',
    `INSERT INTO registration_tokens (token, uses_allowed, expires_ts_ms) VALUES ($1, $2, $3)
     ON CONFLICT (token) DO NOTHING RETURNING 1`,
    [token.token, token.usesAllowed ?? null, token.expiresTsMs ?? null],
  )
  return rows.length > 0
}
