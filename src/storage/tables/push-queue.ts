import type { Queryable } from '../database.ts'

/** Table push_queue and the back-off of pushers. Schema: migrations/0014-receipts-and-push.sql and 0026-push-and-appservices.sql. */

/** An event that notifies a user, who may have pushers. */
export interface RoutedPush {
  readonly userId: string
  readonly shard: number
  readonly position: number
  readonly eventId: string
  readonly roomId: string
  readonly threadId: string
  readonly isHighlight: boolean
  /** He is notified as a member of the room, not by a row of his own: then only of what came after his join. */
  readonly isAsMember: boolean
}

/** Lists the users that have pushers of these kinds. */
export async function getUsersWithPushers(tx: Queryable, kinds: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ userId: string }>(
    'get_users_with_pushers',
    'SELECT DISTINCT user_id AS "userId" FROM pushers WHERE kind = ANY($1)',
    [kinds],
  )
  return rows.map((row) => row.userId)
}

/** Queues events for the pushers of these kinds that their users have now. */
export async function insertPushes(
  tx: Queryable,
  pushes: readonly RoutedPush[],
  options: { readonly nowMs: number; readonly kinds: readonly string[] },
): Promise<void> {
  await tx.query(
    'insert_pushes',
    `INSERT INTO push_queue (pusher_id, shard, position, event_id, room_id, thread_id, is_highlight, queued_ts_ms)
     SELECT p.pusher_id, n.shard, n.position, n.event_id, n.room_id, n.thread_id, n.is_highlight, $9
       FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::boolean[])
              AS n(user_id, shard, position, event_id, room_id, thread_id, is_highlight, is_as_member)
       JOIN pushers p ON p.user_id = n.user_id AND p.kind = ANY($10) AND p.from_pos < n.position
      WHERE NOT n.is_as_member
         OR n.position > (SELECT max(a.position) FROM event_push_actions a
                           WHERE a.user_id = n.user_id AND a.room_id = n.room_id AND a.kind = 1)
      ORDER BY n.position`,
    [
      pushes.map((push) => push.userId),
      pushes.map((push) => push.shard),
      pushes.map((push) => push.position),
      pushes.map((push) => push.eventId),
      pushes.map((push) => push.roomId),
      pushes.map((push) => push.threadId),
      pushes.map((push) => push.isHighlight),
      pushes.map((push) => push.isAsMember),
      options.nowMs,
      options.kinds,
    ],
  )
}

/** Queues that the users' pushers tell the badge. */
export async function insertBadgePushes(
  tx: Queryable,
  users: readonly { readonly userId: string; readonly shard: number }[],
  nowMs: number,
): Promise<void> {
  await tx.query(
    'insert_badge_pushes',
    `INSERT INTO push_queue (pusher_id, shard, position, queued_ts_ms)
     SELECT p.pusher_id, n.shard, 0, $3 FROM unnest($1::text[], $2::smallint[]) AS n(user_id, shard)
       JOIN pushers p ON p.user_id = n.user_id AND p.kind = 'http'`,
    [users.map((user) => user.userId), users.map((user) => user.shard), nowMs],
  )
}

/** Names one pusher at work. */
export interface PusherName {
  readonly pusherId: number
  readonly userId: string
  readonly kind: string
}

/** Lists the pushers of these users. */
export async function getPusherNames(tx: Queryable, userIds: readonly string[]): Promise<PusherName[]> {
  return tx.query<PusherName>(
    'get_pusher_names',
    `SELECT pusher_id AS "pusherId", user_id AS "userId", kind FROM pushers WHERE user_id = ANY($1)`,
    [userIds],
  )
}

/** Lists the pushers that have something to send, of these shards. */
export async function getWaitingPushers(tx: Queryable, shards: readonly number[]): Promise<PusherName[]> {
  return tx.query<PusherName>(
    'get_waiting_pushers',
    `SELECT pusher_id AS "pusherId", user_id AS "userId", kind FROM pushers
      WHERE pusher_id IN (SELECT pusher_id FROM push_queue WHERE shard = ANY($1))`,
    [shards],
  )
}

/** A pusher as it is needed for sending. */
export interface SendingPusher {
  readonly appId: string
  readonly pushkey: string
  readonly dataJson: string
  /** When the key was set, in milliseconds. */
  readonly createdTsMs: number
  readonly failingSinceTsMs: number | null
  readonly retryMs: number
  readonly retryAtTsMs: number
  readonly lastBadge: number | null
}

/** Reads a pusher; undefined where it was deleted. */
export async function getSendingPusher(tx: Queryable, pusherId: number): Promise<SendingPusher | undefined> {
  const rows = await tx.query<SendingPusher>(
    'get_sending_pusher',
    `SELECT app_id AS "appId", pushkey, data AS "dataJson", created_ts_ms AS "createdTsMs", failing_since_ts_ms AS "failingSinceTsMs",
            retry_ms AS "retryMs", retry_at_ts_ms AS "retryAtTsMs", last_badge AS "lastBadge"
       FROM pushers WHERE pusher_id = $1`,
    [pusherId],
  )
  return rows[0]
}

export interface QueuedPush {
  readonly seq: number
  readonly position: number
  /** Null where only the badge is to be told. */
  readonly eventId: string | null
  readonly roomId: string | null
  readonly threadId: string
  readonly isHighlight: boolean
  readonly queuedTsMs: number
}

/** Reads what a pusher has to send next, oldest first. */
export async function getQueuedPushes(tx: Queryable, pusherId: number, limit: number): Promise<QueuedPush[]> {
  return tx.query<QueuedPush>(
    'get_queued_pushes',
    `SELECT seq, position, event_id AS "eventId", room_id AS "roomId", thread_id AS "threadId", is_highlight AS "isHighlight",
            queued_ts_ms AS "queuedTsMs"
       FROM push_queue WHERE pusher_id = $1 ORDER BY seq LIMIT $2`,
    [pusherId, limit],
  )
}

/** Takes away what needs not be sent any more. */
export async function deleteQueuedPushes(tx: Queryable, seqs: readonly number[]): Promise<void> {
  await tx.query('delete_queued_pushes', 'DELETE FROM push_queue WHERE seq = ANY($1)', [seqs])
}

/** Takes away what the gateway has taken, and ends the pusher's back-off. `badge` is what it was told; undefined where it was not. */
export async function acknowledgePushes(
  tx: Queryable,
  of: { readonly pusherId: number; readonly seqs: readonly number[]; readonly badge: number | undefined },
): Promise<void> {
  await tx.query(
    'acknowledge_pushes',
    `WITH taken AS (DELETE FROM push_queue WHERE seq = ANY($2))
     UPDATE pushers SET failing_since_ts_ms = NULL, retry_ms = 0, retry_at_ts_ms = 0, last_badge = coalesce($3, last_badge)
      WHERE pusher_id = $1`,
    [of.pusherId, of.seqs, of.badge ?? null],
  )
}

/** Remembers that a gateway failed, and drops what is too much to be sent when it is back: all but the newest. */
export async function recordPushFailure(
  tx: Queryable,
  of: {
    readonly pusherId: number
    readonly failingSinceTsMs: number
    readonly retryMs: number
    readonly retryAtTsMs: number
    readonly keptMax: number
  },
): Promise<void> {
  await tx.query(
    'record_push_failure',
    `WITH dropped AS (
       DELETE FROM push_queue WHERE pusher_id = $1
          AND seq <= (SELECT seq FROM push_queue WHERE pusher_id = $1 ORDER BY seq DESC OFFSET $5 LIMIT 1))
     UPDATE pushers SET failing_since_ts_ms = $2, retry_ms = $3, retry_at_ts_ms = $4 WHERE pusher_id = $1`,
    [of.pusherId, of.failingSinceTsMs, of.retryMs, of.retryAtTsMs, of.keptMax],
  )
}
