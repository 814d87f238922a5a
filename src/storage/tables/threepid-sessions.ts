import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables threepid_sessions, threepid_tokens and threepid_bindings. Schema: migrations/0042-third-party-ids.sql. */

/** What a proven address is good for. */
export type ThreepidPurpose = 'registration' | 'password_reset' | 'add_threepid'

export interface ThreepidSessionKey {
  readonly medium: string
  readonly address: string
  readonly clientSecret: string
  readonly purpose: ThreepidPurpose
}

/** Finds the open session with this key, or begins one under the given id; forgets some expired ones. */
export async function openThreepidSession(
  tx: Queryable,
  session: ThreepidSessionKey & { readonly sessionId: string; readonly nowMs: number; readonly expiresTsMs: number },
): Promise<{ sessionId: string; lastSendAttempt: number }> {
  const rows = await tx.query<{ sessionId: string; lastSendAttempt: number }>(
    'open_threepid_session',
    `WITH expired AS (
       DELETE FROM threepid_sessions WHERE session_id IN
         (SELECT session_id FROM threepid_sessions
           WHERE expires_ts_ms < $6 AND NOT (medium = $2 AND address = $3 AND client_secret = $4 AND purpose = $5)
           ORDER BY expires_ts_ms LIMIT 10 FOR UPDATE SKIP LOCKED))
     INSERT INTO threepid_sessions (session_id, medium, address, client_secret, purpose, expires_ts_ms)
     VALUES ($1, $2, $3, $4, $5, $7)
     ON CONFLICT (medium, address, client_secret, purpose) WHERE validated_ts_ms IS NULL
       DO UPDATE SET expires_ts_ms = EXCLUDED.expires_ts_ms
     RETURNING session_id AS "sessionId", last_send_attempt AS "lastSendAttempt"`,
    [
      session.sessionId,
      session.medium,
      session.address,
      session.clientSecret,
      session.purpose,
      session.nowMs,
      session.expiresTsMs,
    ],
  )
  const [row] = rows
  if (!row) throw new Error('an upsert returns its row')
  return row
}

/** Adds the token of a mail to its session. */
export async function insertThreepidToken(
  tx: Queryable,
  token: { tokenHash: Buffer; sessionId: string; nextLink: string | undefined; expiresTsMs: number },
): Promise<void> {
  await tx.query(
    'insert_threepid_token',
    'INSERT INTO threepid_tokens (token_hash, session_id, next_link, expires_ts_ms) VALUES ($1, $2, $3, $4)',
    [token.tokenHash, token.sessionId, token.nextLink ?? null, token.expiresTsMs],
  )
}

/** Notes that the mail of an attempt was sent. */
export async function recordSendAttempt(tx: Queryable, sessionId: string, attempt: number): Promise<void> {
  await tx.query(
    'record_send_attempt',
    'UPDATE threepid_sessions SET last_send_attempt = greatest(last_send_attempt, $2) WHERE session_id = $1',
    [sessionId, attempt],
  )
}

/** Marks a session as proven by a token; the first time counts. Undefined where session, secret, purpose or token do not fit. */
export async function validateThreepidSession(
  tx: Queryable,
  proof: { sessionId: string; clientSecret: string; purpose: ThreepidPurpose; tokenHash: Buffer; nowMs: number },
): Promise<{ nextLink: string | null } | undefined> {
  const rows = await tx.query<{ nextLink: string | null }>(
    'validate_threepid_session',
    `UPDATE threepid_sessions s SET validated_ts_ms = coalesce(s.validated_ts_ms, $5) FROM threepid_tokens t
      WHERE s.session_id = $1 AND s.client_secret = $2 AND s.purpose = $3 AND t.session_id = s.session_id AND t.token_hash = $4
        AND s.expires_ts_ms > $5 AND t.expires_ts_ms > $5
     RETURNING t.next_link AS "nextLink"`,
    [proof.sessionId, proof.clientSecret, proof.purpose, proof.tokenHash, proof.nowMs],
  )
  return rows[0]
}

export interface ValidatedThreepidRow {
  readonly medium: string
  readonly address: string
  readonly validatedTsMs: number
}

/** Reads what a session has proven. */
export async function getValidatedThreepid(
  tx: Queryable,
  session: { sessionId: string; clientSecret: string; purpose: ThreepidPurpose; nowMs: number },
): Promise<ValidatedThreepidRow | undefined> {
  const rows = await tx.query<ValidatedThreepidRow>(
    'get_validated_threepid',
    `SELECT medium, address, validated_ts_ms AS "validatedTsMs" FROM threepid_sessions
      WHERE session_id = $1 AND client_secret = $2 AND purpose = $3 AND validated_ts_ms IS NOT NULL AND expires_ts_ms > $4`,
    [session.sessionId, session.clientSecret, session.purpose, session.nowMs],
  )
  return rows[0]
}

/** Ends sessions: they were used. */
export async function deleteThreepidSessions(tx: Queryable, sessionIds: readonly string[]): Promise<void> {
  if (sessionIds.length === 0) return
  await tx.query('delete_threepid_sessions', 'DELETE FROM threepid_sessions WHERE session_id = ANY($1)', [sessionIds])
}

/** Remembers that an identity server knows an address as the user's. Idempotent. */
export async function insertThreepidBinding(
  tx: Queryable,
  binding: { userId: UserId; medium: string; address: string; idServer: string },
): Promise<void> {
  await tx.query(
    'insert_threepid_binding',
    'INSERT INTO threepid_bindings (user_id, medium, address, id_server) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
    [binding.userId, binding.medium, binding.address, binding.idServer],
  )
}

/** Lists the identity servers that know addresses of the user: one address, or all. */
export async function getThreepidBindings(
  tx: Queryable,
  userId: UserId,
  threepid?: { medium: string; address: string },
): Promise<{ medium: string; address: string; idServer: string }[]> {
  return tx.query(
    'get_threepid_bindings',
    `SELECT medium, address, id_server AS "idServer" FROM threepid_bindings
      WHERE user_id = $1 AND ($2::text IS NULL OR (medium = $2 AND address = $3)) ORDER BY id_server LIMIT 100`,
    [userId, threepid?.medium ?? null, threepid?.address ?? null],
  )
}

/** Forgets that an identity server knows an address. Idempotent. */
export async function deleteThreepidBinding(
  tx: Queryable,
  binding: { userId: UserId; medium: string; address: string; idServer: string },
): Promise<void> {
  await tx.query(
    'delete_threepid_binding',
    'DELETE FROM threepid_bindings WHERE user_id = $1 AND medium = $2 AND address = $3 AND id_server = $4',
    [binding.userId, binding.medium, binding.address, binding.idServer],
  )
}
