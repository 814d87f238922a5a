import type { Queryable } from '../database.ts'
import type { KnownThumbnail, ThumbnailKey } from './media.ts'

/** Tables remote_media and remote_media_thumbnails. Schema: migrations/0027-remote-media.sql. */

/** A copy of another server's media. */
export interface RemoteMediaRow {
  readonly origin: string
  readonly mediaId: string
  /** What its file is called. */
  readonly fileId: string
  readonly sizeBytes: number
  readonly contentType: string
  readonly uploadName: string | null
  readonly sha256: Buffer
  readonly lastAccessTsMs: number
  readonly isAuthenticated: boolean
  readonly quarantinedBy: string | null
}

/** Reads what is known of a copy. */
export async function getRemoteMedia(
  tx: Queryable,
  key: { readonly origin: string; readonly mediaId: string },
): Promise<RemoteMediaRow | undefined> {
  const rows = await tx.query<RemoteMediaRow>(
    'get_remote_media',
    `SELECT origin, media_id AS "mediaId", file_id AS "fileId", size_bytes AS "sizeBytes", content_type AS "contentType",
            upload_name AS "uploadName", sha256, last_access_ts_ms AS "lastAccessTsMs", is_authenticated AS "isAuthenticated",
            quarantined_by AS "quarantinedBy"
       FROM remote_media WHERE origin = $1 AND media_id = $2`,
    [key.origin, key.mediaId],
  )
  return rows[0]
}

/**
 * Notes a copy that is about to lie on disk, in place of `replacedFileId` (a copy whose file got lost) if there is one. Returns
 * false where another process has one already; holds the row until the transaction ends.
 */
export async function insertRemoteMedia(
  tx: Queryable,
  row: Omit<RemoteMediaRow, 'lastAccessTsMs' | 'quarantinedBy'> & {
    readonly nowMs: number
    readonly replacedFileId: string | undefined
  },
): Promise<boolean> {
  const rows = await tx.query(
    'insert_remote_media',
    `INSERT INTO remote_media (origin, media_id, file_id, size_bytes, content_type, upload_name, sha256, created_ts_ms,
                               last_access_ts_ms, is_authenticated, quarantined_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, COALESCE(
       (SELECT max(o.quarantined_by) FROM local_media o WHERE o.sha256 = $7 AND o.quarantined_by IS NOT NULL),
       (SELECT max(o.quarantined_by) FROM remote_media o WHERE o.sha256 = $7 AND o.quarantined_by IS NOT NULL)))
     ON CONFLICT (origin, media_id) DO UPDATE
       SET file_id = EXCLUDED.file_id, size_bytes = EXCLUDED.size_bytes, content_type = EXCLUDED.content_type,
           upload_name = EXCLUDED.upload_name, sha256 = EXCLUDED.sha256, last_access_ts_ms = EXCLUDED.last_access_ts_ms,
           quarantined_by = COALESCE(remote_media.quarantined_by, EXCLUDED.quarantined_by)
       WHERE remote_media.file_id = $10
     RETURNING 1`,
    [
      row.origin,
      row.mediaId,
      row.fileId,
      row.sizeBytes,
      row.contentType,
      row.uploadName,
      row.sha256,
      row.nowMs,
      row.isAuthenticated,
      row.replacedFileId ?? null,
    ],
  )
  return rows.length > 0
}

/** Notes that a copy was fetched. */
export async function touchRemoteMedia(
  tx: Queryable,
  key: { readonly origin: string; readonly mediaId: string; readonly nowMs: number },
): Promise<void> {
  await tx.query('touch_remote_media', 'UPDATE remote_media SET last_access_ts_ms = $3 WHERE origin = $1 AND media_id = $2', [
    key.origin,
    key.mediaId,
    key.nowMs,
  ])
}

/** Reads one thumbnail of a copy, and how many it has. */
export async function getRemoteThumbnail(
  tx: Queryable,
  key: ThumbnailKey & { readonly origin: string },
): Promise<KnownThumbnail> {
  const rows = await tx.query<KnownThumbnail>(
    'get_remote_thumbnail',
    `SELECT max(content_type) FILTER (WHERE width = $3 AND height = $4 AND method = $5 AND is_animated = $6) AS "contentType",
            max(size_bytes) FILTER (WHERE width = $3 AND height = $4 AND method = $5 AND is_animated = $6) AS "sizeBytes",
            count(*) AS "thumbnailCount"
       FROM remote_media_thumbnails WHERE origin = $1 AND media_id = $2`,
    [key.origin, key.mediaId, key.width, key.height, key.method, key.isAnimated],
  )
  return rows[0] ?? { contentType: null, sizeBytes: null, thumbnailCount: 0 }
}

/** Notes a thumbnail of a copy that lies on disk; nothing if the copy is gone meanwhile. */
export async function upsertRemoteThumbnail(
  tx: Queryable,
  row: ThumbnailKey & { readonly origin: string; readonly contentType: string; readonly sizeBytes: number },
): Promise<void> {
  await tx.query(
    'upsert_remote_thumbnail',
    `INSERT INTO remote_media_thumbnails (origin, media_id, width, height, method, is_animated, content_type, size_bytes)
     SELECT origin, media_id, $3, $4, $5, $6, $7, $8 FROM remote_media WHERE origin = $1 AND media_id = $2
     ON CONFLICT (origin, media_id, width, height, method, is_animated) DO UPDATE
       SET content_type = EXCLUDED.content_type, size_bytes = EXCLUDED.size_bytes`,
    [row.origin, row.mediaId, row.width, row.height, row.method, row.isAnimated, row.contentType, row.sizeBytes],
  )
}
