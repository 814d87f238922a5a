import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table user_experimental_features. Schema: migrations/0034-server-notices.sql. */

/** Reads which features an administrator has switched for a user. */
export async function getExperimentalFeatures(
  tx: Queryable,
  userId: UserId,
): Promise<readonly { readonly feature: string; readonly isEnabled: boolean }[]> {
  return tx.query(
    'get_experimental_features',
    `SELECT feature, is_enabled AS "isEnabled" FROM user_experimental_features WHERE user_id = $1`,
    [userId],
  )
}

/** Switches features of a user. */
export async function upsertExperimentalFeatures(
  tx: Queryable,
  userId: UserId,
  features: Readonly<Record<string, boolean>>,
): Promise<void> {
  await tx.query(
    'upsert_experimental_features',
    `INSERT INTO user_experimental_features (user_id, feature, is_enabled)
     SELECT $1, feature, is_enabled FROM unnest($2::text[], $3::boolean[]) AS f (feature, is_enabled)
     ON CONFLICT (user_id, feature) DO UPDATE SET is_enabled = EXCLUDED.is_enabled`,
    [userId, Object.keys(features), Object.values(features)],
  )
}
