import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table device_lists_told: what other servers were told last of our users' devices. Schema: migrations/0024-federation-outbound.sql. */

export interface DeviceListTold {
  readonly userId: UserId
  /** Number of the last update. */
  readonly streamId: number
  /** By device id; '' stands for the user's own keys. */
  readonly digests: Readonly<Record<string, string>>
}

/** Reads what was told last of users; those of whom nothing was told are left out. */
export async function getDeviceListsTold(
  tx: Queryable,
  userIds: readonly UserId[],
): Promise<ReadonlyMap<UserId, DeviceListTold>> {
  const rows = await tx.query<{ userId: UserId; streamId: number; digests: string }>(
    'get_device_lists_told',
    'SELECT user_id AS "userId", stream_id AS "streamId", digests FROM device_lists_told WHERE user_id = ANY($1)',
    [userIds],
  )
  return new Map(rows.map((row) => [row.userId, { ...row, digests: JSON.parse(row.digests) as Record<string, string> }]))
}

/** Remembers what was told. */
export async function upsertDeviceListsTold(tx: Queryable, tellings: readonly DeviceListTold[]): Promise<void> {
  await tx.query(
    'upsert_device_lists_told',
    `INSERT INTO device_lists_told (user_id, stream_id, digests) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])
     ON CONFLICT (user_id) DO UPDATE SET stream_id = EXCLUDED.stream_id, digests = EXCLUDED.digests`,
    [
      tellings.map((telling) => telling.userId),
      tellings.map((telling) => telling.streamId),
      tellings.map((telling) => JSON.stringify(telling.digests)),
    ],
  )
}
