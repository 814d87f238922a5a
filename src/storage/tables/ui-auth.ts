import type { UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Queryable } from '../database.ts'

/** Tables ui_auth_sessions and registration_nonces. Schema: migrations/0010-accounts.sql. */

export interface UiAuthSessionRow {
  readonly sessionId: string
  readonly method: string
  readonly path: string
  readonly userId: UserId | null
  /** Stage -> what it proved. */
  readonly completed: JsonObject
  /** What the server remembers of the session. */
  readonly notes: JsonObject
}

/** Adds a session, and forgets some expired ones. */
export async function insertUiAuthSession(
  tx: Queryable,
  session: {
    readonly sessionId: string
    readonly createdTsMs: number
    readonly expiresTsMs: number
    readonly method: string
    readonly path: string
    readonly userId: UserId | undefined
    readonly completed: JsonObject
  },
): Promise<void> {
  await tx.query(
    'insert_ui_auth_session',
    `WITH expired AS (
       DELETE FROM ui_auth_sessions WHERE session_id IN
         (SELECT session_id FROM ui_auth_sessions WHERE expires_ts_ms < $2
           ORDER BY expires_ts_ms LIMIT 10 FOR UPDATE SKIP LOCKED))
     INSERT INTO ui_auth_sessions (session_id, created_ts_ms, expires_ts_ms, method, path, user_id, completed)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      session.sessionId,
      session.createdTsMs,
      session.expiresTsMs,
      session.method,
      session.path,
      session.userId ?? null,
      JSON.stringify(session.completed),
    ],
  )
}

/** Reads a session that has not expired. */
export async function getUiAuthSession(tx: Queryable, sessionId: string, nowMs: number): Promise<UiAuthSessionRow | undefined> {
  const rows = await tx.query<UiAuthSessionRow>(
    'get_ui_auth_session',
    `SELECT session_id AS "sessionId", method, path, user_id AS "userId", completed, notes
       FROM ui_auth_sessions WHERE session_id = $1 AND expires_ts_ms > $2`,
    [sessionId, nowMs],
  )
  return rows[0]
}

/** Adds stages to what a session has completed. */
export async function completeUiAuthStages(tx: Queryable, sessionId: string, completed: JsonObject): Promise<void> {
  await tx.query('complete_ui_auth_stages', 'UPDATE ui_auth_sessions SET completed = completed || $2 WHERE session_id = $1', [
    sessionId,
    JSON.stringify(completed),
  ])
}

/** Stores that a session is complete, and what came of it: a client that never got the answer may ask again. */
export async function finishUiAuthSession(
  tx: Queryable,
  sessionId: string,
  outcome: { readonly completed: JsonObject; readonly notes: JsonObject },
): Promise<void> {
  await tx.query(
    'finish_ui_auth_session',
    'UPDATE ui_auth_sessions SET completed = $2, notes = notes || $3 WHERE session_id = $1',
    [sessionId, JSON.stringify(outcome.completed), JSON.stringify(outcome.notes)],
  )
}

/** Ends a session. */
export async function deleteUiAuthSession(tx: Queryable, sessionId: string): Promise<void> {
  await tx.query('delete_ui_auth_session', 'DELETE FROM ui_auth_sessions WHERE session_id = $1', [sessionId])
}

/** Adds a nonce for registration with the shared secret, and forgets expired ones. */
export async function insertRegistrationNonce(
  tx: Queryable,
  nonce: string,
  times: { nowMs: number; expiresTsMs: number },
): Promise<void> {
  await tx.query(
    'insert_registration_nonce',
    `WITH expired AS (DELETE FROM registration_nonces WHERE expires_ts_ms < $2)
     INSERT INTO registration_nonces (nonce, expires_ts_ms) VALUES ($1, $3)`,
    [nonce, times.nowMs, times.expiresTsMs],
  )
}

/** Uses a nonce up. Returns whether it was valid. */
export async function takeRegistrationNonce(tx: Queryable, nonce: string, nowMs: number): Promise<boolean> {
  const rows = await tx.query<{ expiresTsMs: number }>(
    'take_registration_nonce',
    'DELETE FROM registration_nonces WHERE nonce = $1 RETURNING expires_ts_ms AS "expiresTsMs"',
    [nonce],
  )
  return rows[0] !== undefined && rows[0].expiresTsMs > nowMs
}
