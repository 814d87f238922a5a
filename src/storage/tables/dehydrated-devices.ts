import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table dehydrated_devices. Schema: migrations/0011-encryption.sql. */

export interface DehydratedDeviceRow {
  readonly deviceId: DeviceId
  readonly deviceData: string
}

/** Reads the user's dehydrated device. */
export async function getDehydratedDevice(tx: Queryable, userId: UserId): Promise<DehydratedDeviceRow | undefined> {
  const rows = await tx.query<DehydratedDeviceRow>(
    'get_dehydrated_device',
    'SELECT device_id AS "deviceId", device_data AS "deviceData" FROM dehydrated_devices WHERE user_id = $1',
    [userId],
  )
  return rows[0]
}

/** Stores the user's dehydrated device over the one before. */
export async function upsertDehydratedDevice(
  tx: Queryable,
  device: DehydratedDeviceRow & { readonly userId: UserId },
): Promise<void> {
  await tx.query(
    'upsert_dehydrated_device',
    `INSERT INTO dehydrated_devices (user_id, device_id, device_data) VALUES ($1, $2, $3)
     ON CONFLICT (user_id) DO UPDATE SET device_id = EXCLUDED.device_id, device_data = EXCLUDED.device_data`,
    [device.userId, device.deviceId, device.deviceData],
  )
}
