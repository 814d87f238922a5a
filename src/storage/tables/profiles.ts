import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table profile_fields. Schema: migrations/0012-user-data.sql. Values are JSON text; null marks a field that was taken away. */

const STREAM = STREAMS.profiles.number

/**
 * Sets a field at the claimed position with this index. Returns false, and sets nothing, where the profile would get larger
 * than `bytesMax`. A size is that of the names and values with the four characters around them in JSON.
 */
export async function upsertProfileField(
  tx: Queryable,
  index: number,
  row: { userId: string; name: string; valueJson: string; bytesMax: number },
): Promise<boolean> {
  const rows = await tx.query(
    'upsert_profile_field',
    `INSERT INTO profile_fields (user_id, name, value, position)
     SELECT $1::text, $2::text, $3::text, claimed_pos(${STREAM}, 0, $4::int)
      WHERE octet_length($2::text) + octet_length($3::text) + 6 + COALESCE((SELECT sum(octet_length(name) + octet_length(value) + 4) FROM profile_fields
              WHERE user_id = $1 AND name <> $2 AND value IS NOT NULL), 0) <= $5
     ON CONFLICT (user_id, name) DO UPDATE SET value = EXCLUDED.value, position = EXCLUDED.position
     RETURNING 1`,
    [row.userId, row.name, row.valueJson, index, row.bytesMax],
  )
  return rows.length > 0
}

/** Takes fields away, at the claimed positions from this index on, in the order of `names`. */
export async function deleteProfileFields(
  tx: Queryable,
  firstIndex: number,
  key: { userId: string; names: readonly string[] },
): Promise<void> {
  await tx.query(
    'delete_profile_fields',
    `UPDATE profile_fields f SET value = NULL, position = claimed_pos(${STREAM}, 0, $3::int + n.ordinal::int - 1)
       FROM unnest($2::text[]) WITH ORDINALITY AS n(name, ordinal)
      WHERE f.user_id = $1 AND f.name = n.name`,
    [key.userId, key.names, firstIndex],
  )
}

/** Reads the profiles of users that have fields, in no order. */
export async function getProfileFields(
  tx: Queryable,
  userIds: readonly string[],
): Promise<{ userId: string; name: string; valueJson: string }[]> {
  return tx.query(
    'get_profile_fields',
    'SELECT user_id AS "userId", name, value AS "valueJson" FROM profile_fields WHERE user_id = ANY($1) AND value IS NOT NULL',
    [userIds],
  )
}

/** Reads the stream's rows with after < position <= upTo, in order. */
export async function getProfileRowsSince(
  tx: Queryable,
  range: { after: number; upTo: number },
): Promise<{ position: StreamPosition; userId: string; field: string }[]> {
  return tx.query(
    'get_profile_rows_since',
    'SELECT position, user_id AS "userId", name AS field FROM profile_fields WHERE position > $1 AND position <= $2 ORDER BY position',
    [range.after, range.upTo],
  )
}
