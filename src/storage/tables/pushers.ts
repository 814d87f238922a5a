import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table pushers. Schema: migrations/0014-receipts-and-push.sql and 0026-push-and-appservices.sql. */

const STREAM = STREAMS.pushers.number

/** What makes a pusher one and the same. */
export interface PusherKey {
  readonly userId: string
  readonly appId: string
  readonly pushkey: string
}

export interface PusherRow extends PusherKey {
  readonly kind: string
  readonly appDisplayName: string
  readonly deviceDisplayName: string
  readonly profileTag: string
  readonly lang: string
  readonly dataJson: string
  /** The device that set it; null for tokens without one. */
  readonly deviceId: string | null
}

/** Reads a user's pushers, oldest first. */
export async function getPushersOfUser(tx: Queryable, userId: string): Promise<PusherRow[]> {
  return tx.query<PusherRow>(
    'get_pushers_of_user',
    `SELECT user_id AS "userId", app_id AS "appId", pushkey, kind, app_display_name AS "appDisplayName",
            device_display_name AS "deviceDisplayName", profile_tag AS "profileTag", lang, data AS "dataJson", device_id AS "deviceId"
       FROM pushers WHERE user_id = $1 ORDER BY pusher_id`,
    [userId],
  )
}

/** Lists the users that have a pusher for the app and key. */
export async function getUsersOfPushkey(tx: Queryable, key: { appId: string; pushkey: string }): Promise<string[]> {
  const rows = await tx.query<{ userId: string }>(
    'get_users_of_pushkey',
    'SELECT user_id AS "userId" FROM pushers WHERE app_id = $1 AND pushkey = $2 ORDER BY user_id',
    [key.appId, key.pushkey],
  )
  return rows.map((row) => row.userId)
}

/** Adds or changes a pusher at the claimed position with this index. A new one is told of what comes after now; a failing one may try anew. */
export async function upsertPusher(tx: Queryable, index: number, row: PusherRow & { createdTsMs: number }): Promise<void> {
  await tx.query(
    'upsert_pusher',
    `INSERT INTO pushers (user_id, app_id, pushkey, kind, app_display_name, device_display_name, profile_tag, lang, data, device_id,
                          created_ts_ms, position, from_pos)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, claimed_pos(${STREAM}, 0, $12), stream_last_value(${STREAMS.events.number}))
     ON CONFLICT (app_id, pushkey, user_id) DO UPDATE
       SET kind = EXCLUDED.kind, app_display_name = EXCLUDED.app_display_name, device_display_name = EXCLUDED.device_display_name,
           profile_tag = EXCLUDED.profile_tag, lang = EXCLUDED.lang, data = EXCLUDED.data, device_id = EXCLUDED.device_id,
           position = EXCLUDED.position, failing_since_ts_ms = NULL, retry_ms = 0, retry_at_ts_ms = 0`,
    [
      row.userId,
      row.appId,
      row.pushkey,
      row.kind,
      row.appDisplayName,
      row.deviceDisplayName,
      row.profileTag,
      row.lang,
      row.dataJson,
      row.deviceId,
      row.createdTsMs,
      index,
    ],
  )
}

/** Removes the pushers that these users have for the app and key. Idempotent. */
export async function deletePushers(
  tx: Queryable,
  of: { appId: string; pushkey: string; userIds: readonly string[] },
): Promise<void> {
  await tx.query('delete_pushers', 'DELETE FROM pushers WHERE app_id = $1 AND pushkey = $2 AND user_id = ANY($3)', [
    of.appId,
    of.pushkey,
    of.userIds,
  ])
}

/** Removes what the user's devices set, within the transaction that deletes the devices. Idempotent. */
export async function deletePushersOfDevices(tx: Queryable, userId: string, deviceIds: readonly string[]): Promise<void> {
  await tx.query('delete_pushers_of_devices', 'DELETE FROM pushers WHERE user_id = $1 AND device_id = ANY($2)', [
    userId,
    deviceIds,
  ])
}

/** Removes the pushers of a user that send mails to the address. Idempotent. */
export async function deleteEmailPushers(tx: Queryable, userId: string, address: string): Promise<void> {
  await tx.query('delete_email_pushers', `DELETE FROM pushers WHERE user_id = $1 AND kind = 'email' AND pushkey = $2`, [
    userId,
    address,
  ])
}

/** Removes all pushers of a user. Idempotent. */
export async function deletePushersOfUser(tx: Queryable, userId: string): Promise<void> {
  await tx.query('delete_pushers_of_user', 'DELETE FROM pushers WHERE user_id = $1', [userId])
}

/** Reads whose pushers were set with after < position <= upTo, in order. */
export async function getPusherRowsSince(
  tx: Queryable,
  range: { after: StreamPosition; upTo: StreamPosition },
): Promise<{ position: StreamPosition; userId: string }[]> {
  return tx.query(
    'get_pusher_rows_since',
    'SELECT position, user_id AS "userId" FROM pushers WHERE position > $1 AND position <= $2 ORDER BY position',
    [range.after, range.upTo],
  )
}
