import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables email_throttles and email_unsubscribe_tokens. Schema: migrations/0043-email-pushers.sql. */

export interface EmailThrottle {
  readonly roomId: string
  readonly lastSentTsMs: number
  readonly throttleMs: number
  readonly lastQueuedTsMs: number
}

/** Reads how often a pusher tells of rooms. */
export async function getEmailThrottles(tx: Queryable, pusherId: number): Promise<EmailThrottle[]> {
  return tx.query<EmailThrottle>(
    'get_email_throttles',
    `SELECT room_id AS "roomId", last_sent_ts_ms AS "lastSentTsMs", throttle_ms AS "throttleMs", last_queued_ts_ms AS "lastQueuedTsMs"
       FROM email_throttles WHERE pusher_id = $1`,
    [pusherId],
  )
}

/** Stores how often a pusher tells of rooms. Does nothing where the pusher was deleted. */
export async function upsertEmailThrottles(tx: Queryable, pusherId: number, throttles: readonly EmailThrottle[]): Promise<void> {
  await tx.query(
    'upsert_email_throttles',
    `INSERT INTO email_throttles (pusher_id, room_id, last_sent_ts_ms, throttle_ms, last_queued_ts_ms)
     SELECT p.pusher_id, n.* FROM pushers p, unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS n
      WHERE p.pusher_id = $1
     ON CONFLICT (pusher_id, room_id) DO UPDATE SET last_sent_ts_ms = EXCLUDED.last_sent_ts_ms,
       throttle_ms = EXCLUDED.throttle_ms, last_queued_ts_ms = EXCLUDED.last_queued_ts_ms`,
    [
      pusherId,
      throttles.map(({ roomId }) => roomId),
      throttles.map(({ lastSentTsMs }) => lastSentTsMs),
      throttles.map(({ throttleMs }) => throttleMs),
      throttles.map(({ lastQueuedTsMs }) => lastQueuedTsMs),
    ],
  )
}

/** Reads what stands in the links of a pusher's mails, or stores what is proposed. Undefined where the pusher was deleted. */
export async function getUnsubscribeToken(tx: Queryable, pusherId: number, proposed: string): Promise<string | undefined> {
  const rows = await tx.query<{ token: string }>(
    'get_unsubscribe_token',
    `INSERT INTO email_unsubscribe_tokens (pusher_id, token) SELECT pusher_id, $2 FROM pushers WHERE pusher_id = $1
     ON CONFLICT (pusher_id) DO UPDATE SET token = email_unsubscribe_tokens.token
     RETURNING token`,
    [pusherId, proposed],
  )
  return rows[0]?.token
}

/** Finds the pusher whose mails a link stops. */
export async function getPusherByUnsubscribeToken(
  tx: Queryable,
  token: string,
): Promise<{ userId: UserId; appId: string; pushkey: string } | undefined> {
  const rows = await tx.query<{ userId: UserId; appId: string; pushkey: string }>(
    'get_pusher_by_unsubscribe_token',
    `SELECT p.user_id AS "userId", p.app_id AS "appId", p.pushkey FROM email_unsubscribe_tokens t JOIN pushers p USING (pusher_id)
      WHERE t.token = $1`,
    [token],
  )
  return rows[0]
}
