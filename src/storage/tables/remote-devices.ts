import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables remote_device_lists, remote_devices, remote_cross_signing_keys. Schema: migrations/0023-federation-inbound.sql. */

/** How far a user's device list is known. */
export interface RemoteDeviceListRow {
  readonly userId: UserId
  /** The stream id of the last update of the user's server that is in it. */
  readonly streamId: number
  /** An update was missed: what is stored is not to be relied on. */
  readonly isStale: boolean
}

/** A device of another server's user. */
export interface RemoteDeviceRow {
  readonly userId: UserId
  readonly deviceId: DeviceId
  /** Identity keys as JSON text; null for a device without. */
  readonly keysJson: string | null
  /** The name as JSON text. */
  readonly displayNameJson: string | null
}

/** A cross-signing key of another server's user. */
export interface RemoteCrossSigningKeyRow {
  readonly userId: UserId
  readonly usage: 'master' | 'self_signing'
  /** Unpadded base64. */
  readonly publicKey: string
  readonly keyJson: string
}

/** Everything that is known of a user's devices. */
export interface RemoteDeviceList {
  readonly userId: UserId
  readonly streamId: number
  readonly devices: readonly Omit<RemoteDeviceRow, 'userId'>[]
  readonly crossSigningKeys: readonly Omit<RemoteCrossSigningKeyRow, 'userId'>[]
}

/** Reads which of the users' device lists are known, stale ones included. */
export async function getRemoteDeviceLists(tx: Queryable, userIds: readonly string[]): Promise<RemoteDeviceListRow[]> {
  return tx.query(
    'get_remote_device_lists',
    `SELECT user_id AS "userId", stream_id AS "streamId", is_stale AS "isStale" FROM remote_device_lists WHERE user_id = ANY($1)`,
    [userIds],
  )
}

/** Reads the devices of the users. */
export async function getRemoteDevices(tx: Queryable, userIds: readonly string[]): Promise<RemoteDeviceRow[]> {
  return tx.query(
    'get_remote_devices',
    `SELECT user_id AS "userId", device_id AS "deviceId", keys_json AS "keysJson", display_name_json AS "displayNameJson"
       FROM remote_devices WHERE user_id = ANY($1)`,
    [userIds],
  )
}

/** Reads the cross-signing keys of the users. */
export async function getRemoteCrossSigningKeys(tx: Queryable, userIds: readonly string[]): Promise<RemoteCrossSigningKeyRow[]> {
  return tx.query(
    'get_remote_cross_signing_keys',
    `SELECT user_id AS "userId", usage, public_key AS "publicKey", key_json AS "keyJson"
       FROM remote_cross_signing_keys WHERE user_id = ANY($1)`,
    [userIds],
  )
}

/** Stores a whole list over what was known, unless that is newer; it is not stale any more. */
export async function replaceRemoteDeviceList(tx: Queryable, list: RemoteDeviceList): Promise<void> {
  const { userId, streamId, devices, crossSigningKeys } = list
  await Promise.all([
    tx.query('delete_remote_devices', 'DELETE FROM remote_devices WHERE user_id = $1 AND NOT device_id = ANY($2)', [
      userId,
      devices.map((device) => device.deviceId),
    ]),
    tx.query('delete_remote_keys', 'DELETE FROM remote_cross_signing_keys WHERE user_id = $1 AND NOT usage = ANY($2)', [
      userId,
      crossSigningKeys.map((key) => key.usage),
    ]),
    upsertRemoteDevices(tx, userId, devices),
    upsertRemoteCrossSigningKeys(tx, userId, crossSigningKeys),
    upsertList(tx, { userId, streamId, isStale: false }),
  ])
}

/** Applies an update of one device to a list that is known up to just before it; without `keysJson` and name it may be gone. */
export async function applyRemoteDeviceUpdate(
  tx: Queryable,
  update: {
    readonly userId: UserId
    readonly streamId: number
    readonly device: Omit<RemoteDeviceRow, 'userId'> | { deleted: DeviceId }
  },
): Promise<void> {
  const { userId, streamId, device } = update
  await Promise.all([
    'deleted' in device
      ? tx.query('delete_remote_device', 'DELETE FROM remote_devices WHERE user_id = $1 AND device_id = $2', [
          userId,
          device.deleted,
        ])
      : upsertRemoteDevices(tx, userId, [device]),
    upsertList(tx, { userId, streamId, isStale: false }),
  ])
}

async function upsertRemoteDevices(tx: Queryable, userId: UserId, devices: RemoteDeviceList['devices']): Promise<void> {
  await tx.query(
    'upsert_remote_devices',
    `INSERT INTO remote_devices (user_id, device_id, keys_json, display_name_json)
     SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])
     ON CONFLICT (user_id, device_id) DO UPDATE SET keys_json = EXCLUDED.keys_json, display_name_json = EXCLUDED.display_name_json`,
    [
      userId,
      devices.map((device) => device.deviceId),
      devices.map((device) => device.keysJson),
      devices.map((device) => device.displayNameJson),
    ],
  )
}

/** Stores cross-signing keys of a user over those of the same usage. */
export async function upsertRemoteCrossSigningKeys(
  tx: Queryable,
  userId: UserId,
  keys: RemoteDeviceList['crossSigningKeys'],
): Promise<void> {
  await tx.query(
    'upsert_remote_cross_signing_keys',
    `INSERT INTO remote_cross_signing_keys (user_id, usage, public_key, key_json)
     SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])
     ON CONFLICT (user_id, usage) DO UPDATE SET public_key = EXCLUDED.public_key, key_json = EXCLUDED.key_json`,
    [userId, keys.map((key) => key.usage), keys.map((key) => key.publicKey), keys.map((key) => key.keyJson)],
  )
}

async function upsertList(tx: Queryable, list: RemoteDeviceListRow): Promise<void> {
  await tx.query(
    'upsert_remote_device_list',
    `INSERT INTO remote_device_lists (user_id, stream_id, is_stale) VALUES ($1, $2, $3)
     ON CONFLICT (user_id) DO UPDATE SET stream_id = EXCLUDED.stream_id, is_stale = EXCLUDED.is_stale, attempts = 0, retry_ts_ms = 0`,
    [list.userId, list.streamId, list.isStale],
  )
}

/** Notes that the lists must be fetched anew, also of users of whom nothing was known. */
export async function markRemoteDeviceListsStale(tx: Queryable, userIds: readonly string[]): Promise<void> {
  await tx.query(
    'mark_remote_device_lists_stale',
    `INSERT INTO remote_device_lists (user_id, stream_id, is_stale) SELECT id, 0, true FROM unnest($1::text[]) AS id ORDER BY id
     ON CONFLICT (user_id) DO UPDATE SET is_stale = true, attempts = 0, retry_ts_ms = 0`,
    [userIds],
  )
}

/** Has the lists of users fetched of whom nothing is known yet. */
export async function followRemoteUsers(tx: Queryable, userIds: readonly string[]): Promise<void> {
  await tx.query(
    'follow_remote_users',
    `INSERT INTO remote_device_lists (user_id, stream_id, is_stale) SELECT id, 0, true FROM unnest($1::text[]) AS id ORDER BY id
     ON CONFLICT (user_id) DO NOTHING`,
    [userIds],
  )
}

/** Notes that a stale list could not be fetched. */
export async function postponeRemoteDeviceList(tx: Queryable, userId: UserId, retryTsMs: number): Promise<void> {
  await tx.query(
    'postpone_remote_device_list',
    'UPDATE remote_device_lists SET attempts = attempts + 1, retry_ts_ms = $2 WHERE user_id = $1 AND is_stale',
    [userId, retryTsMs],
  )
}

/** Finds stale lists that are to be fetched now, with the number of failed attempts. */
export async function getStaleRemoteDeviceLists(
  tx: Queryable,
  page: { readonly nowMs: number; readonly limit: number },
): Promise<{ readonly userId: UserId; readonly attempts: number }[]> {
  return tx.query(
    'get_stale_remote_device_lists',
    `SELECT user_id AS "userId", attempts FROM remote_device_lists WHERE is_stale AND retry_ts_ms <= $1 ORDER BY retry_ts_ms LIMIT $2`,
    [page.nowMs, page.limit],
  )
}

/** Forgets users that nobody here shares a room with: their servers tell us nothing any more. */
export async function deleteRemoteDeviceLists(tx: Queryable, userIds: readonly string[]): Promise<void> {
  await tx.query(
    'delete_remote_device_lists',
    `WITH devices AS (DELETE FROM remote_devices WHERE user_id = ANY($1)),
          keys AS (DELETE FROM remote_cross_signing_keys WHERE user_id = ANY($1))
     DELETE FROM remote_device_lists WHERE user_id = ANY($1)`,
    [userIds],
  )
}

/** Finds users with known lists who are in no room that one of our users is in. */
export async function findUnfollowedUsers(tx: Queryable, serverName: string): Promise<UserId[]> {
  const rows = await tx.query<{ userId: UserId }>(
    'find_unfollowed_users',
    `WITH ours AS (
       SELECT DISTINCT room_nid FROM memberships WHERE membership = 'join' AND substr(user_id, strpos(user_id, ':') + 1) = $1
     )
     SELECT d.user_id AS "userId" FROM remote_device_lists d
      WHERE NOT EXISTS (SELECT FROM memberships m JOIN ours USING (room_nid) WHERE m.user_id = d.user_id AND m.membership = 'join')`,
    [serverName],
  )
  return rows.map((row) => row.userId)
}
