import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables devices and user_ips. Schema: migrations/0010-accounts.sql. */

export interface DeviceRow {
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly displayName: string | null
  readonly createdTsMs: number
  readonly lastSeenTsMs: number | null
  readonly lastSeenIp: string | null
  readonly lastSeenUserAgent: string | null
}

const COLUMNS = `user_id AS "userId", device_id AS "deviceId", display_name AS "displayName", created_ts_ms AS "createdTsMs",
  last_seen_ts_ms AS "lastSeenTsMs", last_seen_ip AS "lastSeenIp", last_seen_user_agent AS "lastSeenUserAgent"`

/** Adds a device; one that is there keeps its name. */
export async function insertDevice(
  tx: Queryable,
  device: {
    readonly userId: UserId
    readonly deviceId: DeviceId
    readonly displayName: string | undefined
    readonly createdTsMs: number
  },
): Promise<void> {
  await tx.query(
    'insert_device',
    `INSERT INTO devices (user_id, device_id, display_name, created_ts_ms) VALUES ($1, $2, $3, $4)
     ON CONFLICT (user_id, device_id) DO NOTHING`,
    [device.userId, device.deviceId, device.displayName ?? null, device.createdTsMs],
  )
}

/** Reads one device. */
export async function getDevice(tx: Queryable, userId: UserId, deviceId: DeviceId): Promise<DeviceRow | undefined> {
  return (
    await tx.query<DeviceRow>('get_device', `SELECT ${COLUMNS} FROM devices WHERE user_id = $1 AND device_id = $2`, [
      userId,
      deviceId,
    ])
  )[0]
}

/** Reads all devices of a user, oldest first. */
export async function getDevicesOfUser(tx: Queryable, userId: UserId): Promise<DeviceRow[]> {
  return tx.query<DeviceRow>(
    'get_devices_of_user',
    `SELECT ${COLUMNS} FROM devices WHERE user_id = $1 ORDER BY created_ts_ms, device_id`,
    [userId],
  )
}

/** Reads the devices of several users. */
export async function getDevicesOfUsers(tx: Queryable, userIds: readonly UserId[]): Promise<DeviceRow[]> {
  return tx.query<DeviceRow>('get_devices_of_users', `SELECT ${COLUMNS} FROM devices WHERE user_id = ANY($1)`, [userIds])
}

/** Renames a device. */
export async function updateDeviceName(
  tx: Queryable,
  userId: UserId,
  deviceId: DeviceId,
  displayName: string | undefined,
): Promise<void> {
  await tx.query('update_device_name', 'UPDATE devices SET display_name = $3 WHERE user_id = $1 AND device_id = $2', [
    userId,
    deviceId,
    displayName ?? null,
  ])
}

/** Deletes devices, and what is known of where they were used. */
export async function deleteDeviceRows(tx: Queryable, userId: UserId, deviceIds: readonly DeviceId[]): Promise<void> {
  await tx.query(
    'delete_devices',
    `WITH ips AS (DELETE FROM user_ips WHERE user_id = $1 AND device_id = ANY($2))
     DELETE FROM devices WHERE user_id = $1 AND device_id = ANY($2)`,
    [userId, deviceIds],
  )
}

/** One sight of a device. */
export interface SightRow {
  readonly userId: UserId
  /** Empty for tokens without a device. */
  readonly deviceId: string
  readonly ip: string
  readonly userAgent: string
  readonly lastSeenTsMs: number
}

/** Stores when and from where devices were seen. At most one row per (user, device, ip, agent). */
export async function upsertSights(tx: Queryable, sights: readonly SightRow[]): Promise<void> {
  // Sorted, so that two processes that store the same devices lock them in the same order.
  const rows = sights.toSorted((a, b) => compare(sightKey(a), sightKey(b)))
  await tx.query(
    'upsert_sights',
    `WITH sights AS (
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
         AS s(user_id, device_id, ip, user_agent, seen)
     ), latest AS (
       SELECT DISTINCT ON (user_id, device_id) * FROM sights ORDER BY user_id, device_id, seen DESC
     ), touched AS (
       UPDATE devices d SET last_seen_ts_ms = l.seen, last_seen_ip = l.ip, last_seen_user_agent = l.user_agent
         FROM latest l WHERE d.user_id = l.user_id AND d.device_id = l.device_id AND coalesce(d.last_seen_ts_ms, 0) < l.seen
     )
     INSERT INTO user_ips (user_id, device_id, ip, user_agent, last_seen_ts_ms) SELECT * FROM sights
     ON CONFLICT (user_id, device_id, ip, user_agent)
       DO UPDATE SET last_seen_ts_ms = greatest(user_ips.last_seen_ts_ms, EXCLUDED.last_seen_ts_ms)`,
    [
      rows.map((row) => row.userId),
      rows.map((row) => row.deviceId),
      rows.map((row) => row.ip),
      rows.map((row) => row.userAgent),
      rows.map((row) => row.lastSeenTsMs),
    ],
  )
}

function sightKey(sight: SightRow): string {
  return `${sight.userId}\u0000${sight.deviceId}\u0000${sight.ip}\u0000${sight.userAgent}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Reads from where the user was seen, latest first. */
export async function getSightsOfUser(tx: Queryable, userId: UserId, limit: number): Promise<SightRow[]> {
  return tx.query<SightRow>(
    'get_sights_of_user',
    `SELECT user_id AS "userId", device_id AS "deviceId", ip, user_agent AS "userAgent", last_seen_ts_ms AS "lastSeenTsMs"
       FROM user_ips WHERE user_id = $1 ORDER BY last_seen_ts_ms DESC LIMIT $2`,
    [userId, limit],
  )
}

/** Forgets sights that are older. */
export async function deleteSightsBefore(tx: Queryable, tsMs: number): Promise<void> {
  await tx.query('delete_sights_before', 'DELETE FROM user_ips WHERE last_seen_ts_ms < $1', [tsMs])
}
