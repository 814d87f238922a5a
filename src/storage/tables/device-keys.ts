import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table device_keys. Schema: migrations/0011-encryption.sql. */

export interface DeviceKeysRow {
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly keysJson: string
  readonly displayName: string | null
}

/**
 * Stores a device's identity keys, and forgets the signatures on other keys that it had before.
 * Returns whether the device is there: one that was deleted meanwhile gets no keys.
 */
export async function upsertDeviceKeys(
  tx: Queryable,
  keys: { readonly userId: UserId; readonly deviceId: DeviceId; readonly keysJson: string },
): Promise<boolean> {
  const rows = await tx.query(
    'upsert_device_keys',
    `WITH signatures AS (
       DELETE FROM key_signatures WHERE target_user_id = $1 AND target_key_id = $2
         AND NOT EXISTS (SELECT FROM device_keys WHERE user_id = $1 AND device_id = $2 AND keys_json = $3)
     )
     INSERT INTO device_keys (user_id, device_id, keys_json)
     SELECT user_id, device_id, $3 FROM devices WHERE user_id = $1 AND device_id = $2
     ON CONFLICT (user_id, device_id) DO UPDATE SET keys_json = EXCLUDED.keys_json
     RETURNING 1`,
    [keys.userId, keys.deviceId, keys.keysJson],
  )
  return rows.length > 0
}

/** Reads the identity keys of one device. */
export async function getDeviceKeysJson(tx: Queryable, userId: UserId, deviceId: DeviceId): Promise<string | undefined> {
  const rows = await tx.query<{ keysJson: string }>(
    'get_device_keys_json',
    'SELECT keys_json AS "keysJson" FROM device_keys WHERE user_id = $1 AND device_id = $2',
    [userId, deviceId],
  )
  return rows[0]?.keysJson
}

/** Reads the identity keys of all devices of the users, with the devices' names. */
export async function getDeviceKeysOfUsers(tx: Queryable, userIds: readonly UserId[]): Promise<DeviceKeysRow[]> {
  return tx.query<DeviceKeysRow>(
    'get_device_keys_of_users',
    `SELECT k.user_id AS "userId", k.device_id AS "deviceId", k.keys_json AS "keysJson", d.display_name AS "displayName"
       FROM device_keys k JOIN devices d USING (user_id, device_id) WHERE k.user_id = ANY($1)`,
    [userIds],
  )
}

/**
 * Deletes all that hangs on devices here: identity keys, one-time and fallback keys, signatures on them, waiting messages,
 * transaction ids, dehydrated data. Returns whether any of them had identity keys, which is when others must be told.
 */
export async function deleteDeviceKeys(tx: Queryable, userId: UserId, deviceIds: readonly DeviceId[]): Promise<boolean> {
  const rows = await tx.query(
    'delete_device_keys',
    `WITH one_time AS (DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = ANY($2)),
          fallback AS (DELETE FROM fallback_keys WHERE user_id = $1 AND device_id = ANY($2)),
          signatures AS (DELETE FROM key_signatures WHERE target_user_id = $1 AND target_key_id = ANY($2)),
          inbox AS (DELETE FROM device_inbox WHERE user_id = $1 AND device_id = ANY($2)),
          transactions AS (
            DELETE FROM to_device_transactions WHERE user_id = $1 AND sender_device IN (SELECT 'd' || id FROM unnest($2::text[]) AS id)
          ),
          dehydrated AS (DELETE FROM dehydrated_devices WHERE user_id = $1 AND device_id = ANY($2))
     DELETE FROM device_keys WHERE user_id = $1 AND device_id = ANY($2) RETURNING 1`,
    [userId, deviceIds],
  )
  return rows.length > 0
}
