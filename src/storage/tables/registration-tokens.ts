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

/** A registration token; null is without limit. */
export interface RegistrationTokenRow {
  readonly token: string
  readonly usesAllowed: number | null
  readonly pending: number
  readonly completed: number
  readonly expiresTsMs: number | null
}

const COLUMNS = `token, uses_allowed AS "usesAllowed", pending, completed, expires_ts_ms AS "expiresTsMs"`

/** Reads all tokens, those that are still valid, or those that are not any more. */
export async function getRegistrationTokens(
  tx: Queryable,
  filter: { readonly isValid: boolean | undefined; readonly nowMs: number },
): Promise<RegistrationTokenRow[]> {
  return tx.query<RegistrationTokenRow>(
    'get_registration_tokens',
    `SELECT ${COLUMNS} FROM registration_tokens
      WHERE $1::boolean IS NULL
         OR ((uses_allowed IS NULL OR pending + completed < uses_allowed) AND (expires_ts_ms IS NULL OR expires_ts_ms > $2)) = $1 ORDER BY token`,
    [filter.isValid ?? null, filter.nowMs],
  )
}

/** Reads a token. */
export async function getRegistrationToken(tx: Queryable, token: string): Promise<RegistrationTokenRow | undefined> {
  const [row] = await tx.query<RegistrationTokenRow>(
    'get_registration_token',
    `SELECT ${COLUMNS} FROM registration_tokens WHERE token = $1`,
    [token],
  )
  return row
}

/** Changes how often and how long a token may be used; undefined leaves it as it is. Returns the token, or undefined where there is none. */
export async function updateRegistrationToken(
  tx: Queryable,
  token: string,
  change: { readonly usesAllowed: number | null | undefined; readonly expiresTsMs: number | null | undefined },
): Promise<RegistrationTokenRow | undefined> {
  const [row] = await tx.query<RegistrationTokenRow>(
    'update_registration_token',
    `UPDATE registration_tokens SET uses_allowed = CASE WHEN $2 THEN $3 ELSE uses_allowed END, expires_ts_ms = CASE WHEN $4 THEN $5 ELSE expires_ts_ms END
      WHERE token = $1 RETURNING ${COLUMNS}`,
    [
      token,
      change.usesAllowed !== undefined,
      change.usesAllowed ?? null,
      change.expiresTsMs !== undefined,
      change.expiresTsMs ?? null,
    ],
  )
  return row
}

/** Deletes a token. Returns whether it was there. */
export async function deleteRegistrationToken(tx: Queryable, token: string): Promise<boolean> {
  const rows = await tx.query('delete_registration_token', 'DELETE FROM registration_tokens WHERE token = $1 RETURNING 1', [
    token,
  ])
  return rows.length > 0
}
