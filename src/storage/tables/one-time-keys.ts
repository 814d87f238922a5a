import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables one_time_keys and fallback_keys. Schema: migrations/0011-encryption.sql. */

export interface OneTimeKeyRow {
  readonly algorithm: string
  readonly keyId: string
  /** SHA-256 of the key without its signatures. */
  readonly fingerprint: Buffer
  readonly keyJson: string
}

export interface FallbackKeyRow {
  readonly algorithm: string
  readonly keyId: string
  readonly keyJson: string
}

/** Which key is wanted. */
export interface KeyClaim {
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly algorithm: string
}

export interface ClaimedKey extends KeyClaim {
  readonly keyId: string
  readonly keyJson: string
}

/**
 * Stores new keys behind those that are there, unless one of them is there already with another value: then none is stored
 * and the ids (`algorithm:keyId`) of those are returned. A key that was claimed before stays claimed. A device that is gone gets
 * none.
 */
export async function insertOneTimeKeys(
  tx: Queryable,
  upload: { readonly userId: UserId; readonly deviceId: DeviceId; readonly keys: readonly OneTimeKeyRow[] },
): Promise<string[]> {
  const { userId, deviceId, keys } = upload
  const rows = await tx.query<{ id: string }>(
    'insert_one_time_keys',
    `WITH new AS (
       SELECT * FROM unnest($3::text[], $4::text[], $5::bytea[], $6::text[]) AS n (algorithm, key_id, fingerprint, key_json)
     ), conflicts AS (
       SELECT n.algorithm || ':' || n.key_id AS id FROM new n
         JOIN one_time_keys k ON k.user_id = $1 AND k.device_id = $2 AND k.algorithm = n.algorithm AND k.key_id = n.key_id
        WHERE k.claimed_ts_ms IS NULL AND k.fingerprint <> n.fingerprint
     ), number AS MATERIALIZED (
       SELECT nextval('one_time_key_upload') AS upload
     ), stored AS (
       INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, upload, fingerprint, key_json)
       SELECT $1, $2, n.algorithm, n.key_id, number.upload, n.fingerprint, n.key_json FROM new n CROSS JOIN number
        WHERE NOT EXISTS (SELECT FROM conflicts) AND EXISTS (SELECT FROM devices WHERE user_id = $1 AND device_id = $2)
       ON CONFLICT (user_id, device_id, algorithm, key_id) DO UPDATE
         SET upload = EXCLUDED.upload, fingerprint = EXCLUDED.fingerprint, key_json = EXCLUDED.key_json, claimed_ts_ms = NULL
         WHERE one_time_keys.claimed_ts_ms IS NOT NULL AND one_time_keys.fingerprint <> EXCLUDED.fingerprint
     )
     SELECT id FROM conflicts`,
    [
      userId,
      deviceId,
      keys.map((key) => key.algorithm),
      keys.map((key) => key.keyId),
      keys.map((key) => key.fingerprint),
      keys.map((key) => key.keyJson),
    ],
  )
  return rows.map((row) => row.id)
}

/** Forgets the device's keys that were claimed before the time. */
export async function deleteClaimedKeysBefore(
  tx: Queryable,
  key: { userId: UserId; deviceId: DeviceId; tsMs: number },
): Promise<void> {
  await tx.query(
    'delete_claimed_keys_before',
    'DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND claimed_ts_ms < $3',
    [key.userId, key.deviceId, key.tsMs],
  )
}

/** Replaces the fallback keys of the algorithms named. A key that is there already stays used if it was. */
export async function upsertFallbackKeys(
  tx: Queryable,
  upload: { readonly userId: UserId; readonly deviceId: DeviceId; readonly keys: readonly FallbackKeyRow[] },
): Promise<void> {
  const { userId, deviceId, keys } = upload
  await tx.query(
    'upsert_fallback_keys',
    `INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key_json)
     SELECT $1, $2, n.algorithm, n.key_id, n.key_json FROM unnest($3::text[], $4::text[], $5::text[]) AS n (algorithm, key_id, key_json)
      WHERE EXISTS (SELECT FROM devices WHERE user_id = $1 AND device_id = $2)
     ON CONFLICT (user_id, device_id, algorithm) DO UPDATE
       SET key_id = EXCLUDED.key_id, key_json = EXCLUDED.key_json, is_used = false
       WHERE fallback_keys.key_id <> EXCLUDED.key_id OR fallback_keys.key_json <> EXCLUDED.key_json`,
    [userId, deviceId, keys.map((key) => key.algorithm), keys.map((key) => key.keyId), keys.map((key) => key.keyJson)],
  )
}

/**
 * Takes one key for each (user, device, algorithm): the oldest one-time key that nobody has, else the fallback key, which is
 * marked as used. Two transactions never get the same one-time key: rows that the other holds are passed over.
 */
export async function claimKeys(tx: Queryable, claims: readonly KeyClaim[], nowMs: number): Promise<ClaimedKey[]> {
  return tx.query<ClaimedKey>(
    'claim_keys',
    `WITH wanted AS MATERIALIZED (
       SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS w (user_id, device_id, algorithm)
     ), picked AS MATERIALIZED (
       SELECT k.* FROM wanted w CROSS JOIN LATERAL (
         SELECT user_id, device_id, algorithm, key_id, key_json FROM one_time_keys
          WHERE user_id = w.user_id AND device_id = w.device_id AND algorithm = w.algorithm AND claimed_ts_ms IS NULL
          ORDER BY upload, key_id LIMIT 1 FOR UPDATE SKIP LOCKED) k
     ), taken AS (
       UPDATE one_time_keys k SET claimed_ts_ms = $4, key_json = '' FROM picked p
        WHERE k.user_id = p.user_id AND k.device_id = p.device_id AND k.algorithm = p.algorithm AND k.key_id = p.key_id
       RETURNING k.user_id, k.device_id, k.algorithm, k.key_id, p.key_json
     ), fallback AS MATERIALIZED (
       SELECT f.user_id, f.device_id, f.algorithm, f.key_id, f.key_json, f.is_used FROM wanted w JOIN fallback_keys f USING (user_id, device_id, algorithm)
        WHERE NOT EXISTS (SELECT FROM taken t WHERE t.user_id = w.user_id AND t.device_id = w.device_id AND t.algorithm = w.algorithm)
     ), used AS (
       UPDATE fallback_keys k SET is_used = true FROM fallback f
        WHERE NOT f.is_used AND k.user_id = f.user_id AND k.device_id = f.device_id AND k.algorithm = f.algorithm AND k.key_id = f.key_id
     )
     SELECT user_id AS "userId", device_id AS "deviceId", algorithm, key_id AS "keyId", key_json AS "keyJson" FROM taken
     UNION ALL SELECT user_id, device_id, algorithm, key_id, key_json FROM fallback`,
    [claims.map((claim) => claim.userId), claims.map((claim) => claim.deviceId), claims.map((claim) => claim.algorithm), nowMs],
  )
}

/**
 * Counts a device's one-time keys that nobody has claimed, by algorithm; and lists the algorithms whose fallback key is unused.
 */
export async function countKeys(
  tx: Queryable,
  userId: UserId,
  deviceId: DeviceId,
): Promise<readonly { readonly algorithm: string; readonly count: number; readonly isFallback: boolean }[]> {
  return tx.query(
    'count_keys',
    `SELECT algorithm, count(*) AS count, false AS "isFallback" FROM one_time_keys
      WHERE user_id = $1 AND device_id = $2 AND claimed_ts_ms IS NULL GROUP BY algorithm
     UNION ALL SELECT algorithm, 1, true FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND NOT is_used`,
    [userId, deviceId],
  )
}
