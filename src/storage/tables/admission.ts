import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables account_validity and monthly_active_users, and consent in users. Schema: migrations/0044-admission.sql. */

/** What decides whether an account may be used. */
export interface StandingRow {
  readonly createdTsMs: number
  readonly userType: string | null
  readonly appserviceId: string | null
  readonly consentVersion: string | null
  /** Null where the account does not end. */
  readonly expiresTsMs: number | null
}

/** Reads what decides whether an account may be used. */
export async function getStanding(tx: Queryable, userId: UserId): Promise<StandingRow | undefined> {
  const rows = await tx.query<StandingRow>(
    'get_standing',
    `SELECT u.created_ts_ms AS "createdTsMs", u.user_type AS "userType", u.appservice_id AS "appserviceId",
            u.consent_version AS "consentVersion", v.expires_ts_ms AS "expiresTsMs"
       FROM users u LEFT JOIN account_validity v USING (user_id) WHERE u.user_id = $1`,
    [userId],
  )
  return rows[0]
}

/** Stores the version of the policy that a user has agreed to. Returns whether there is such a user. */
export async function updateConsent(tx: Queryable, userId: UserId, version: string, nowMs: number): Promise<boolean> {
  const rows = await tx.query(
    'update_consent',
    'UPDATE users SET consent_version = $2, consent_ts_ms = $3 WHERE user_id = $1 RETURNING 1',
    [userId, version, nowMs],
  )
  return rows.length > 0
}

/** Sets until when an account is valid; a token that was sent is used up. */
export async function upsertAccountValidity(
  tx: Queryable,
  validity: { userId: UserId; expiresTsMs: number; isMailSent: boolean; nowMs: number },
): Promise<void> {
  await tx.query(
    'upsert_account_validity',
    `INSERT INTO account_validity (user_id, expires_ts_ms, is_mail_sent) VALUES ($1, $2, $3)
     ON CONFLICT (user_id) DO UPDATE SET expires_ts_ms = EXCLUDED.expires_ts_ms, is_mail_sent = EXCLUDED.is_mail_sent,
       token_used_ts_ms = CASE WHEN account_validity.renewal_token IS NULL THEN NULL ELSE $4::bigint END`,
    [validity.userId, validity.expiresTsMs, validity.isMailSent, validity.nowMs],
  )
}

/** Gives every account without an end one between the two times, at random, so that they do not all end together. */
export async function insertMissingValidities(tx: Queryable, range: { fromTsMs: number; untilTsMs: number }): Promise<void> {
  await tx.query(
    'insert_missing_validities',
    `INSERT INTO account_validity (user_id, expires_ts_ms)
     SELECT user_id, $1::bigint + floor(random() * ($2::bigint - $1::bigint))::bigint FROM users
      WHERE NOT is_guest AND NOT is_deactivated AND appservice_id IS NULL
     ON CONFLICT (user_id) DO NOTHING`,
    [range.fromTsMs, range.untilTsMs],
  )
}

/** Lists accounts that end before the time and were not told yet. */
export async function getExpiringAccounts(
  tx: Queryable,
  beforeTsMs: number,
  limit: number,
): Promise<{ userId: UserId; expiresTsMs: number }[]> {
  return tx.query(
    'get_expiring_accounts',
    `SELECT user_id AS "userId", expires_ts_ms AS "expiresTsMs" FROM account_validity
      WHERE expires_ts_ms < $1 AND NOT is_mail_sent ORDER BY expires_ts_ms LIMIT $2`,
    [beforeTsMs, limit],
  )
}

/** Stores the token of a mail that asks for renewal. Returns until when the account is valid. */
export async function updateRenewalToken(tx: Queryable, userId: UserId, token: string): Promise<number | undefined> {
  const rows = await tx.query<{ expiresTsMs: number }>(
    'update_renewal_token',
    `UPDATE account_validity SET renewal_token = $2, token_used_ts_ms = NULL WHERE user_id = $1
     RETURNING expires_ts_ms AS "expiresTsMs"`,
    [userId, token],
  )
  return rows[0]?.expiresTsMs
}

/** Notes that an account was told of its end. */
export async function recordRenewalMail(tx: Queryable, userId: UserId): Promise<void> {
  await tx.query('record_renewal_mail', 'UPDATE account_validity SET is_mail_sent = true WHERE user_id = $1', [userId])
}

/** Finds the account that a token renews, and whether it has. */
export async function getRenewal(
  tx: Queryable,
  token: string,
): Promise<{ userId: UserId; expiresTsMs: number; isUsed: boolean } | undefined> {
  const rows = await tx.query<{ userId: UserId; expiresTsMs: number; isUsed: boolean }>(
    'get_renewal',
    `SELECT user_id AS "userId", expires_ts_ms AS "expiresTsMs", token_used_ts_ms IS NOT NULL AS "isUsed"
       FROM account_validity WHERE renewal_token = $1`,
    [token],
  )
  return rows[0]
}

/**
 * Counts a user as active now, unless as many others as `max` are (undefined: any number). Returns whether the user is counted. Who was
 * not active since `sinceTsMs` is forgotten.
 */
export async function touchMonthlyActiveUser(
  tx: Queryable,
  of: { userId: UserId; nowMs: number; sinceTsMs: number; max: number | undefined },
): Promise<boolean> {
  const rows = await tx.query<{ isCounted: boolean }>(
    'touch_monthly_active_user',
    `WITH gone AS (
       DELETE FROM monthly_active_users WHERE user_id IN
         (SELECT user_id FROM monthly_active_users WHERE last_active_ts_ms < $3 AND user_id <> $1 LIMIT 10 FOR UPDATE SKIP LOCKED)),
     counted AS (
       INSERT INTO monthly_active_users (user_id, last_active_ts_ms)
       SELECT $1, $2 WHERE $4::bigint IS NULL
           OR EXISTS (SELECT FROM monthly_active_users WHERE user_id = $1 AND last_active_ts_ms >= $3)
           OR (SELECT count(*) FROM monthly_active_users WHERE last_active_ts_ms >= $3) < $4
       ON CONFLICT (user_id) DO UPDATE SET last_active_ts_ms = EXCLUDED.last_active_ts_ms RETURNING 1)
     SELECT EXISTS (SELECT FROM counted) AS "isCounted"`,
    [of.userId, of.nowMs, of.sinceTsMs, of.max ?? null],
  )
  return rows[0]?.isCounted === true
}

/** Counts who was active since the time. */
export async function countMonthlyActiveUsers(tx: Queryable, sinceTsMs: number): Promise<number> {
  const rows = await tx.query<{ count: number }>(
    'count_monthly_active_users',
    'SELECT count(*)::integer AS count FROM monthly_active_users WHERE last_active_ts_ms >= $1',
    [sinceTsMs],
  )
  return rows[0]?.count ?? 0
}
