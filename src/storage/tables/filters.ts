import type { Queryable } from '../database.ts'

/** Table filters. Schema: migrations/0012-user-data.sql. */

/**
 * Stores a filter, or finds the same one of the user, and returns its id; undefined where the user has `countMax` already.
 */
export async function upsertFilter(
  tx: Queryable,
  row: { userId: string; digest: Buffer; json: string; countMax: number },
): Promise<number | undefined> {
  // The update changes nothing; it is there so that RETURNING gives the row that was there before.
  const rows = await tx.query<{ filterId: number }>(
    'upsert_filter',
    `INSERT INTO filters (user_id, digest, json)
     SELECT $1::text, $2::bytea, $3::text
      WHERE (SELECT count(*) FROM filters WHERE user_id = $1) < $4 OR EXISTS (SELECT 1 FROM filters WHERE user_id = $1 AND digest = $2)
     ON CONFLICT (user_id, digest) DO UPDATE SET digest = EXCLUDED.digest
     RETURNING filter_id AS "filterId"`,
    [row.userId, row.digest, row.json, row.countMax],
  )
  return rows[0]?.filterId
}

/** Finds the same filter of the user without writing. */
export async function findFilter(tx: Queryable, key: { userId: string; digest: Buffer }): Promise<number | undefined> {
  const rows = await tx.query<{ filterId: number }>(
    'find_filter',
    'SELECT filter_id AS "filterId" FROM filters WHERE user_id = $1 AND digest = $2',
    [key.userId, key.digest],
  )
  return rows[0]?.filterId
}

/** Reads a user's filter as JSON text. */
export async function getFilterJson(tx: Queryable, key: { userId: string; filterId: number }): Promise<string | undefined> {
  const rows = await tx.query<{ json: string }>(
    'get_filter_json',
    'SELECT json FROM filters WHERE user_id = $1 AND filter_id = $2',
    [key.userId, key.filterId],
  )
  return rows[0]?.json
}
