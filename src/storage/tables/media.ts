import type { Queryable } from '../database.ts'

/** Tables local_media and local_media_thumbnails. Schema: migrations/0013-media.sql. */

export interface MediaRow {
  readonly mediaId: string
  readonly userId: string | null
  readonly createdTsMs: number
  /** Null while it is not uploaded. */
  readonly sizeBytes: number | null
  readonly unusedExpiresTsMs: number | null
  readonly contentType: string | null
  readonly uploadName: string | null
  readonly sha256: Buffer | null
  readonly lastAccessTsMs: number | null
  readonly isAuthenticated: boolean
  readonly quarantinedBy: string | null
}

/** Who put these bytes ($5) under quarantine; uploaded or fetched anew, they stay so. */
const QUARANTINED_BY = `COALESCE(
  (SELECT max(o.quarantined_by) FROM local_media o WHERE o.sha256 = $5 AND o.quarantined_by IS NOT NULL),
  (SELECT max(o.quarantined_by) FROM remote_media o WHERE o.sha256 = $5 AND o.quarantined_by IS NOT NULL))`

/** What an upload brings. */
export interface UploadedMedia {
  readonly mediaId: string
  readonly sizeBytes: number
  readonly contentType: string
  readonly uploadName: string | undefined
  readonly sha256: Buffer
  readonly nowMs: number
}

/** A thumbnail on disk, if there is one, and how many thumbnails its media has. */
export interface KnownThumbnail {
  readonly contentType: string | null
  readonly sizeBytes: number | null
  readonly thumbnailCount: number
}

export interface ThumbnailKey {
  readonly mediaId: string
  readonly width: number
  readonly height: number
  readonly method: 'crop' | 'scale'
  readonly isAnimated: boolean
}

/** Reads one media. */
export async function getMedia(tx: Queryable, mediaId: string): Promise<MediaRow | undefined> {
  const rows = await tx.query<MediaRow>(
    'get_media',
    `SELECT media_id AS "mediaId", user_id AS "userId", created_ts_ms AS "createdTsMs", size_bytes AS "sizeBytes",
            unused_expires_ts_ms AS "unusedExpiresTsMs", content_type AS "contentType", upload_name AS "uploadName", sha256,
            last_access_ts_ms AS "lastAccessTsMs", is_authenticated AS "isAuthenticated", quarantined_by AS "quarantinedBy"
       FROM local_media WHERE media_id = $1`,
    [mediaId],
  )
  return rows[0]
}

/** Adds media that is not uploaded yet. `unusedExpiresTsMs` undefined: its upload is under way. */
export async function insertMedia(
  tx: Queryable,
  row: {
    mediaId: string
    userId: string
    nowMs: number
    unusedExpiresTsMs: number | undefined
    isAuthenticated: boolean
    /** Of a preview's picture. */
    urlCache?: string | undefined
  },
): Promise<void> {
  await tx.query(
    'insert_media',
    `INSERT INTO local_media (media_id, user_id, created_ts_ms, unused_expires_ts_ms, is_authenticated, url_cache)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [row.mediaId, row.userId, row.nowMs, row.unusedExpiresTsMs ?? null, row.isAuthenticated, row.urlCache ?? null],
  )
}

/** Marks media as uploaded. Returns false where it is already, or does not exist; holds the row until the transaction ends. */
export async function completeMedia(tx: Queryable, media: UploadedMedia): Promise<boolean> {
  const rows = await tx.query(
    'complete_media',
    `UPDATE local_media SET size_bytes = $2, content_type = $3, upload_name = $4, sha256 = $5, uploaded_ts_ms = $6, last_access_ts_ms = $6,
            quarantined_by = ${QUARANTINED_BY}
      WHERE media_id = $1 AND size_bytes IS NULL RETURNING 1`,
    [media.mediaId, media.sizeBytes, media.contentType, media.uploadName ?? null, media.sha256, media.nowMs],
  )
  return rows.length > 0
}

/** Counts what a user created, did not upload, and still may; and tells when the first of them expires. */
export async function getPendingMedia(
  tx: Queryable,
  key: { userId: string; nowMs: number },
): Promise<{ count: number; firstExpiresTsMs: number | null }> {
  const rows = await tx.query<{ count: number; firstExpiresTsMs: number | null }>(
    'get_pending_media',
    `SELECT count(*) AS count, min(unused_expires_ts_ms) AS "firstExpiresTsMs" FROM local_media
      WHERE user_id = $1 AND size_bytes IS NULL AND unused_expires_ts_ms > $2`,
    [key.userId, key.nowMs],
  )
  return rows[0] ?? { count: 0, firstExpiresTsMs: null }
}

/** Adds up what a user uploaded since a time. */
export async function getUploadedBytes(tx: Queryable, key: { userId: string; sinceMs: number }): Promise<number> {
  const rows = await tx.query<{ bytes: number }>(
    'get_uploaded_bytes',
    `SELECT COALESCE(sum(size_bytes), 0)::bigint AS bytes FROM local_media
      WHERE user_id = $1 AND created_ts_ms > $2 AND url_cache IS NULL`,
    [key.userId, key.sinceMs],
  )
  return rows[0]?.bytes ?? 0
}

/** Notes that media were fetched. */
export async function touchMedia(tx: Queryable, mediaIds: readonly string[], nowMs: number): Promise<void> {
  await tx.query('touch_media', 'UPDATE local_media SET last_access_ts_ms = $2 WHERE media_id = ANY($1)', [mediaIds, nowMs])
}

/** Reads one thumbnail, and how many the media has. */
export async function getThumbnail(tx: Queryable, key: ThumbnailKey): Promise<KnownThumbnail> {
  const rows = await tx.query<KnownThumbnail>(
    'get_thumbnail',
    `SELECT max(content_type) FILTER (WHERE width = $2 AND height = $3 AND method = $4 AND is_animated = $5) AS "contentType",
            max(size_bytes) FILTER (WHERE width = $2 AND height = $3 AND method = $4 AND is_animated = $5) AS "sizeBytes",
            count(*) AS "thumbnailCount"
       FROM local_media_thumbnails WHERE media_id = $1`,
    [key.mediaId, key.width, key.height, key.method, key.isAnimated],
  )
  return rows[0] ?? { contentType: null, sizeBytes: null, thumbnailCount: 0 }
}

/** Notes a thumbnail that lies on disk. */
export async function upsertThumbnail(
  tx: Queryable,
  row: ThumbnailKey & { contentType: string; sizeBytes: number },
): Promise<void> {
  await tx.query(
    'upsert_thumbnail',
    `INSERT INTO local_media_thumbnails (media_id, width, height, method, is_animated, content_type, size_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (media_id, width, height, method, is_animated) DO UPDATE
       SET content_type = EXCLUDED.content_type, size_bytes = EXCLUDED.size_bytes`,
    [row.mediaId, row.width, row.height, row.method, row.isAnimated, row.contentType, row.sizeBytes],
  )
}
