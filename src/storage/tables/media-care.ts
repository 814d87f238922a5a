import type { Queryable } from '../database.ts'

/** What administrators see of media and do to them, and how old media go. Schema: migrations/0013, 0027, 0038-media-care.sql. */

const COLUMNS = `media_id AS "mediaId", content_type AS "contentType", size_bytes AS "sizeBytes", upload_name AS "uploadName",
  created_ts_ms AS "createdTsMs", last_access_ts_ms AS "lastAccessTsMs", quarantined_by AS "quarantinedBy",
  is_authenticated AS "isAuthenticated", encode(sha256, 'hex') AS sha256`
const OPEN_END = '9223372036854775807'

/** A medium of ours, or a copy of another server's. */
export interface MediaFacts {
  readonly mediaId: string
  readonly contentType: string | null
  readonly sizeBytes: number | null
  readonly uploadName: string | null
  readonly createdTsMs: number
  readonly lastAccessTsMs: number | null
  readonly quarantinedBy: string | null
  readonly isAuthenticated: boolean
  readonly sha256: string | null
}

export interface LocalMediaFacts extends MediaFacts {
  readonly userId: string | null
  readonly urlCache: string | null
  readonly isSafeFromQuarantine: boolean
}

export interface RemoteMediaFacts extends MediaFacts {
  readonly fileId: string
}

const LOCAL_COLUMNS = `${COLUMNS}, user_id AS "userId", url_cache AS "urlCache", is_safe_from_quarantine AS "isSafeFromQuarantine"`

/** Reads what is known of a medium of ours. */
export async function getLocalMediaFacts(tx: Queryable, mediaId: string): Promise<LocalMediaFacts | undefined> {
  const rows = await tx.query<LocalMediaFacts>(
    'get_local_media_facts',
    `SELECT ${LOCAL_COLUMNS} FROM local_media WHERE media_id = $1`,
    [mediaId],
  )
  return rows[0]
}

/** Reads what is known of a copy. */
export async function getRemoteMediaFacts(
  tx: Queryable,
  key: { readonly origin: string; readonly mediaId: string },
): Promise<RemoteMediaFacts | undefined> {
  const rows = await tx.query<RemoteMediaFacts>(
    'get_remote_media_facts',
    `SELECT ${COLUMNS}, file_id AS "fileId" FROM remote_media WHERE origin = $1 AND media_id = $2`,
    [key.origin, key.mediaId],
  )
  return rows[0]
}

/** What a list of media may be sorted by, as Synapse names it. */
export const MEDIA_ORDERS = {
  media_id: 'media_id',
  upload_name: 'upload_name',
  created_ts: 'created_ts_ms',
  last_access_ts: 'last_access_ts_ms',
  media_length: 'size_bytes',
  media_type: 'content_type',
  quarantined_by: 'quarantined_by',
  safe_from_quarantine: 'is_safe_from_quarantine',
} as const
export type MediaOrder = keyof typeof MEDIA_ORDERS

/** A part of a sorted list. */
export interface MediaPage {
  readonly orderBy: MediaOrder
  readonly isReversed: boolean
  readonly offset: number
  readonly limit: number
}

/** Reads a page of what a user uploaded, and counts all of it. */
export async function getMediaOfUser(
  tx: Queryable,
  userId: string,
  page: MediaPage,
): Promise<{ readonly media: readonly LocalMediaFacts[]; readonly total: number }> {
  const direction = page.isReversed ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'
  const [media, counted] = await Promise.all([
    tx.query<LocalMediaFacts>(
      `get_media_of_user_${page.orderBy}_${page.isReversed ? 'b' : 'f'}`,
      `SELECT ${LOCAL_COLUMNS} FROM local_media WHERE user_id = $1
        ORDER BY ${MEDIA_ORDERS[page.orderBy]} ${direction}, media_id LIMIT $3 OFFSET $2`,
      [userId, page.offset, page.limit],
    ),
    tx.query<{ total: number }>('count_media_of_user', 'SELECT count(*) AS total FROM local_media WHERE user_id = $1', [userId]),
  ])
  return { media, total: counted[0]?.total ?? 0 }
}

/** Finds the media that a room's readable events name, in the order of their addresses. Undefined where there is no such room. */
export async function getMediaOfRoom(
  tx: Queryable,
  roomId: string,
): Promise<readonly { readonly origin: string; readonly mediaId: string }[]> {
  return tx.query(
    'get_media_of_room',
    `SELECT DISTINCT found[1] AS origin, found[2] AS "mediaId"
       FROM rooms r JOIN events e USING (room_nid),
            regexp_matches(e.json, '"(?:thumbnail_)?url":"mxc://([^"/?#]{1,255})/([A-Za-z0-9_-]{1,255})', 'g') found
      WHERE r.room_id = $1 AND strpos(e.json, '"mxc://') > 0 AND e.redacted_by IS NULL ORDER BY 1, 2`,
    [roomId],
  )
}

/** Names media: of ours by id, of others by server and id. */
export interface NamedMedia {
  readonly localIds: readonly string[]
  readonly origins: readonly string[]
  readonly remoteIds: readonly string[]
}

/**
 * Puts media under quarantine (`by` says who), or takes them out of it (null), and with them all that have the same bytes. Protected
 * ones are left alone. Returns how many changed.
 */
export async function setQuarantine(tx: Queryable, media: NamedMedia, by: string | null): Promise<number> {
  const rows = await tx.query<{ count: number }>(
    'set_quarantine',
    `WITH named AS (SELECT * FROM unnest($2::text[], $3::text[]) AS n (origin, media_id)),
          hashes AS (SELECT sha256 FROM local_media WHERE media_id = ANY($1) AND sha256 IS NOT NULL
                     UNION SELECT sha256 FROM remote_media JOIN named USING (origin, media_id)),
          ours AS (UPDATE local_media SET quarantined_by = $4
                    WHERE (media_id = ANY($1) OR sha256 IN (SELECT sha256 FROM hashes))
                      AND ($4::text IS NULL OR NOT is_safe_from_quarantine) AND (quarantined_by IS NULL) <> ($4::text IS NULL)
                RETURNING media_id),
          theirs AS (UPDATE remote_media SET quarantined_by = $4
                      WHERE ((origin, media_id) IN (SELECT origin, media_id FROM named) OR sha256 IN (SELECT sha256 FROM hashes))
                        AND (quarantined_by IS NULL) <> ($4::text IS NULL)
                  RETURNING origin, media_id),
          noted AS (INSERT INTO quarantine_changes (origin, media_id, is_quarantined)
                    SELECT NULL, media_id, $4::text IS NOT NULL FROM ours
                    UNION ALL SELECT origin, media_id, $4::text IS NOT NULL FROM theirs)
     SELECT (SELECT count(*) FROM ours) + (SELECT count(*) FROM theirs) AS count`,
    [media.localIds, media.origins, media.remoteIds, by],
  )
  return rows[0]?.count ?? 0
}

/** Lists all media ids of a user. */
export async function getMediaIdsOfUser(tx: Queryable, userId: string): Promise<string[]> {
  const rows = await tx.query<{ mediaId: string }>(
    'get_media_ids_of_user',
    'SELECT media_id AS "mediaId" FROM local_media WHERE user_id = $1 AND size_bytes IS NOT NULL',
    [userId],
  )
  return rows.map(({ mediaId }) => mediaId)
}

/** Protects a medium of ours from quarantine, or no longer. */
export async function setSafeFromQuarantine(tx: Queryable, mediaId: string, isSafe: boolean): Promise<void> {
  await tx.query('set_safe_from_quarantine', 'UPDATE local_media SET is_safe_from_quarantine = $2 WHERE media_id = $1', [
    mediaId,
    isSafe,
  ])
}

/** Reads what was quarantined and freed after a place in that list. */
export async function getQuarantineChanges(
  tx: Queryable,
  page: { readonly after: number; readonly limit: number },
): Promise<readonly { changeId: number; origin: string | null; mediaId: string; isQuarantined: boolean }[]> {
  return tx.query(
    'get_quarantine_changes',
    `SELECT change_id AS "changeId", origin, media_id AS "mediaId", is_quarantined AS "isQuarantined"
       FROM quarantine_changes WHERE change_id > $1 ORDER BY change_id LIMIT $2`,
    [page.after, page.limit],
  )
}

/** Takes the rows of media of ours away; returns the ids of those that were there. */
export async function deleteLocalMedia(tx: Queryable, mediaIds: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ mediaId: string }>(
    'delete_local_media',
    'DELETE FROM local_media WHERE media_id = ANY($1) RETURNING media_id AS "mediaId"',
    [mediaIds],
  )
  return rows.map(({ mediaId }) => mediaId)
}

/** Which old media of ours go. */
export interface OldMedia {
  readonly beforeMs: number
  readonly largerThanBytes: number
  /** Pictures of users and rooms stay. */
  readonly keepsAvatars: boolean
  /** So do those that are under quarantine, or protected from it. */
  readonly keepsJudged: boolean
  readonly serverName: string
  readonly limit: number
}

/** Lists uploads that nobody has fetched since a time. */
export async function getOldLocalMedia(tx: Queryable, old: OldMedia): Promise<string[]> {
  const rows = await tx.query<{ mediaId: string }>(
    'get_old_local_media',
    `SELECT media_id AS "mediaId" FROM local_media m
      WHERE COALESCE(last_access_ts_ms, created_ts_ms) < $1 AND size_bytes > $2 AND url_cache IS NULL
        AND NOT ($4 AND (quarantined_by IS NOT NULL OR is_safe_from_quarantine))
        AND NOT ($3 AND (
          EXISTS (SELECT 1 FROM profile_fields p WHERE p.name = 'avatar_url' AND p.value = '"mxc://' || $5 || '/' || m.media_id || '"')
          OR 'mxc://' || $5 || '/' || m.media_id IN (
            SELECT state_text(e.json, 'url') FROM state_slots s
              JOIN state_intervals i ON i.slot_nid = s.slot_nid AND i.to_pos = ${OPEN_END} JOIN events e USING (event_nid)
             WHERE s.type = 'm.room.avatar' AND s.state_key = '' AND e.redacted_by IS NULL AND state_text(e.json, 'url') IS NOT NULL)))
      ORDER BY COALESCE(last_access_ts_ms, created_ts_ms) LIMIT $6`,
    [old.beforeMs, old.largerThanBytes, old.keepsAvatars, old.keepsJudged, old.serverName, old.limit],
  )
  return rows.map(({ mediaId }) => mediaId)
}

/** Lists pictures of previews that are older than a time. */
export async function getOldPreviewImages(tx: Queryable, beforeMs: number, limit: number): Promise<string[]> {
  const rows = await tx.query<{ mediaId: string }>(
    'get_old_preview_images',
    `SELECT media_id AS "mediaId" FROM local_media
      WHERE url_cache IS NOT NULL AND created_ts_ms < $1 AND quarantined_by IS NULL LIMIT $2`,
    [beforeMs, limit],
  )
  return rows.map(({ mediaId }) => mediaId)
}

/** Takes the rows of copies away that nobody has fetched since a time, but those under quarantine; returns which files they had. */
export async function deleteOldRemoteMedia(
  tx: Queryable,
  beforeMs: number,
  limit: number,
): Promise<readonly { readonly origin: string; readonly fileId: string }[]> {
  return tx.query(
    'delete_old_remote_media',
    `DELETE FROM remote_media WHERE (origin, media_id) IN (
       SELECT origin, media_id FROM remote_media WHERE last_access_ts_ms < $1 AND quarantined_by IS NULL
        ORDER BY last_access_ts_ms LIMIT $2 FOR UPDATE SKIP LOCKED)
     RETURNING origin, file_id AS "fileId"`,
    [beforeMs, limit],
  )
}
