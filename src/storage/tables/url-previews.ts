import type { Queryable } from '../database.ts'

/** Table url_previews. Schema: migrations/0038-media-care.sql. */

/** Reads a preview that has not expired. */
export async function getUrlPreview(
  tx: Queryable,
  key: { readonly urlSha256: Buffer; readonly nowMs: number },
): Promise<string | undefined> {
  const rows = await tx.query<{ preview: string }>(
    'get_url_preview',
    'SELECT preview FROM url_previews WHERE url_sha256 = $1 AND expires_ts_ms > $2',
    [key.urlSha256, key.nowMs],
  )
  return rows[0]?.preview
}

/** Keeps a preview, in place of an older one. */
export async function upsertUrlPreview(
  tx: Queryable,
  row: {
    readonly urlSha256: Buffer
    readonly url: string
    readonly preview: string
    readonly fetchedTsMs: number
    readonly expiresTsMs: number
  },
): Promise<void> {
  await tx.query(
    'upsert_url_preview',
    `INSERT INTO url_previews (url_sha256, url, preview, fetched_ts_ms, expires_ts_ms) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (url_sha256) DO UPDATE
       SET preview = EXCLUDED.preview, fetched_ts_ms = EXCLUDED.fetched_ts_ms, expires_ts_ms = EXCLUDED.expires_ts_ms
       WHERE url_previews.fetched_ts_ms <= EXCLUDED.fetched_ts_ms`,
    [row.urlSha256, row.url, row.preview, row.fetchedTsMs, row.expiresTsMs],
  )
}

/** Forgets previews that have expired. */
export async function deleteExpiredPreviews(tx: Queryable, nowMs: number): Promise<void> {
  await tx.query('delete_expired_previews', 'DELETE FROM url_previews WHERE expires_ts_ms <= $1', [nowMs])
}
