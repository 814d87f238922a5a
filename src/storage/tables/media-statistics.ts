import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table local_media, counted by user. Schema: migrations/0013-media.sql. */

/** How the list may be ordered, and by which column. */
export const MEDIA_USER_ORDERS = {
  user_id: '"userId"',
  displayname: '"displayName"',
  media_length: '"totalBytes"',
  media_count: '"mediaCount"',
} as const
export type MediaUserOrder = keyof typeof MEDIA_USER_ORDERS

/** What one user has uploaded. */
export interface MediaUserRow {
  readonly userId: UserId
  readonly displayName: string | null
  readonly mediaCount: number
  readonly totalBytes: number
}

/** Which uploads count, and of whom. */
export interface MediaUserFilter {
  readonly fromMs: number
  readonly untilMs: number | undefined
  /** A part of the local part or of the display name. */
  readonly term: string | undefined
}

// Names are stored as JSON texts. strpos, not LIKE: what administrators look for has no wildcards.
const COUNTED = `
  SELECT m.user_id AS "userId", p.name AS "displayName", count(*)::int AS "mediaCount", sum(m.size_bytes)::float8 AS "totalBytes"
    FROM local_media m
    LEFT JOIN LATERAL (SELECT value::jsonb #>> '{}' AS name FROM profile_fields f
                        WHERE f.user_id = m.user_id AND f.name = 'displayname' AND f.value IS NOT NULL) p ON true
   WHERE m.user_id IS NOT NULL AND m.size_bytes IS NOT NULL
     AND m.created_ts_ms >= $1 AND ($2::bigint IS NULL OR m.created_ts_ms <= $2)
     AND ($3::text IS NULL OR strpos(lower(split_part(m.user_id, ':', 1)), lower($3)) > 0 OR strpos(lower(p.name), lower($3)) > 0)
   GROUP BY m.user_id, p.name`

/** Reads a page of the users with uploads, and how many there are. */
export async function getMediaUsers(
  tx: Queryable,
  filter: MediaUserFilter,
  page: { readonly orderBy: MediaUserOrder; readonly isReversed: boolean; readonly offset: number; readonly limit: number },
): Promise<{ readonly users: MediaUserRow[]; readonly total: number }> {
  const values = [filter.fromMs, filter.untilMs ?? null, filter.term ?? null]
  const direction = page.isReversed ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'
  const [users, counted] = await Promise.all([
    tx.query<MediaUserRow>(
      `get_media_users_${page.orderBy}_${page.isReversed ? 'b' : 'f'}`,
      `${COUNTED} ORDER BY ${MEDIA_USER_ORDERS[page.orderBy]} ${direction}, "userId" LIMIT $5 OFFSET $4`,
      [...values, page.offset, page.limit],
    ),
    tx.query<{ total: number }>('count_media_users', `SELECT count(*)::int AS total FROM (${COUNTED}) u`, values),
  ])
  return { users, total: counted[0]?.total ?? 0 }
}
