import type { UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables key_backups and key_backup_sessions. Schema: migrations/0011-encryption.sql. */

export interface KeyBackupRow {
  readonly version: number
  readonly algorithm: string
  /** JSON text. */
  readonly authData: string
  readonly etag: number
  readonly sessionCount: number
  readonly isDeleted: boolean
}

export interface BackupSessionRow {
  readonly roomId: string
  readonly sessionId: string
  readonly isVerified: boolean
  readonly firstMessageIndex: number
  readonly forwardedCount: number
  /** JSON text. */
  readonly sessionData: string
}

/** Which sessions are meant: all of a backup, those of a room, or one. */
export interface SessionScope {
  readonly userId: UserId
  readonly version: number
  readonly roomId: string | undefined
  readonly sessionId: string | undefined
}

const COLUMNS = 'version, algorithm, auth_data AS "authData", etag, session_count AS "sessionCount", is_deleted AS "isDeleted"'

/**
 * Keeps other transactions from changing the user's backups until this one ends: versions, their counts and etags go together.
 */
export async function lockKeyBackups(tx: Queryable, userId: UserId): Promise<void> {
  await tx.query('lock_key_backups', `SELECT pg_advisory_xact_lock(hashtextextended('key_backups ' || $1, 0))`, [userId])
}

/** Adds a backup with the user's next number, which is returned. Needs the lock. */
export async function insertKeyBackup(
  tx: Queryable,
  backup: { userId: UserId; algorithm: string; authData: string },
): Promise<number> {
  const rows = await tx.query<{ version: number }>(
    'insert_key_backup',
    `INSERT INTO key_backups (user_id, version, algorithm, auth_data)
     SELECT $1, coalesce(max(version), 0) + 1, $2, $3 FROM key_backups WHERE user_id = $1 RETURNING version`,
    [backup.userId, backup.algorithm, backup.authData],
  )
  const version = rows[0]?.version
  if (version === undefined) throw new Error('The new key backup has no version')
  return version
}

/** Reads the user's newest backup that is not deleted. */
export async function getCurrentKeyBackup(tx: Queryable, userId: UserId): Promise<KeyBackupRow | undefined> {
  const rows = await tx.query<KeyBackupRow>(
    'get_current_key_backup',
    `SELECT ${COLUMNS} FROM key_backups WHERE user_id = $1 AND NOT is_deleted ORDER BY version DESC LIMIT 1`,
    [userId],
  )
  return rows[0]
}

/** Reads one backup, a deleted one too. */
export async function getKeyBackup(tx: Queryable, userId: UserId, version: number): Promise<KeyBackupRow | undefined> {
  const rows = await tx.query<KeyBackupRow>(
    'get_key_backup',
    `SELECT ${COLUMNS} FROM key_backups WHERE user_id = $1 AND version = $2`,
    [userId, version],
  )
  return rows[0]
}

/** Replaces what a backup is signed with. */
export async function updateKeyBackupAuthData(
  tx: Queryable,
  backup: { userId: UserId; version: number; authData: string },
): Promise<void> {
  await tx.query('update_key_backup_auth_data', 'UPDATE key_backups SET auth_data = $3 WHERE user_id = $1 AND version = $2', [
    backup.userId,
    backup.version,
    backup.authData,
  ])
}

/** Deletes a backup and its sessions; the number stays taken. */
export async function markKeyBackupDeleted(tx: Queryable, userId: UserId, version: number): Promise<void> {
  await tx.query(
    'mark_key_backup_deleted',
    `WITH sessions AS (DELETE FROM key_backup_sessions WHERE user_id = $1 AND version = $2)
     UPDATE key_backups SET is_deleted = true, auth_data = '{}', session_count = 0 WHERE user_id = $1 AND version = $2`,
    [userId, version],
  )
}

/** Moves a backup's etag and count of sessions on; returns the new ones. Needs the lock. */
export async function bumpKeyBackup(
  tx: Queryable,
  backup: { readonly userId: UserId; readonly version: number; readonly countChange: number },
): Promise<{ etag: number; sessionCount: number }> {
  const rows = await tx.query<{ etag: number; sessionCount: number }>(
    'bump_key_backup',
    `UPDATE key_backups SET etag = etag + 1, session_count = session_count + $3 WHERE user_id = $1 AND version = $2
     RETURNING etag, session_count AS "sessionCount"`,
    [backup.userId, backup.version, backup.countChange],
  )
  const row = rows[0]
  if (!row) throw new Error('The key backup is gone although it was locked')
  return row
}

/**
 * Stores sessions. One that is there gives way to a better one only: verified before unverified, then the lower first message
 * index, then the lower forwarded count. Returns how many changed, and how many of these are new. Spec: § Server-side key
 * backups.
 */
export async function upsertBackupSessions(
  tx: Queryable,
  backup: { readonly userId: UserId; readonly version: number },
  sessions: readonly BackupSessionRow[],
): Promise<{ changed: number; added: number }> {
  const rows = await tx.query<{ isNew: boolean }>(
    'upsert_backup_sessions',
    `INSERT INTO key_backup_sessions AS s
       (user_id, version, room_id, session_id, is_verified, first_message_index, forwarded_count, session_data)
     SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::boolean[], $6::bigint[], $7::bigint[], $8::text[])
     ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE
       SET is_verified = EXCLUDED.is_verified, first_message_index = EXCLUDED.first_message_index,
           forwarded_count = EXCLUDED.forwarded_count, session_data = EXCLUDED.session_data
       WHERE (NOT EXCLUDED.is_verified, EXCLUDED.first_message_index, EXCLUDED.forwarded_count)
           < (NOT s.is_verified, s.first_message_index, s.forwarded_count)
     RETURNING (xmax = 0) AS "isNew"`,
    [
      backup.userId,
      backup.version,
      sessions.map((row) => row.roomId),
      sessions.map((row) => row.sessionId),
      sessions.map((row) => row.isVerified),
      sessions.map((row) => row.firstMessageIndex),
      sessions.map((row) => row.forwardedCount),
      sessions.map((row) => row.sessionData),
    ],
  )
  return { changed: rows.length, added: rows.filter((row) => row.isNew).length }
}

/** Reads sessions by room and id, at most `limit` of them, behind the one named. */
export async function getBackupSessions(
  tx: Queryable,
  scope: SessionScope,
  page: { readonly after: { readonly roomId: string; readonly sessionId: string } | undefined; readonly limit: number },
): Promise<BackupSessionRow[]> {
  return tx.query<BackupSessionRow>(
    'get_backup_sessions',
    `SELECT room_id AS "roomId", session_id AS "sessionId", is_verified AS "isVerified", first_message_index AS "firstMessageIndex",
            forwarded_count AS "forwardedCount", session_data AS "sessionData"
       FROM key_backup_sessions
      WHERE user_id = $1 AND version = $2 AND ($3::text IS NULL OR room_id = $3) AND ($4::text IS NULL OR session_id = $4)
        AND (room_id, session_id) > ($5, $6)
      ORDER BY room_id, session_id LIMIT $7`,
    [
      scope.userId,
      scope.version,
      scope.roomId ?? null,
      scope.sessionId ?? null,
      page.after?.roomId ?? '',
      page.after?.sessionId ?? '',
      page.limit,
    ],
  )
}

/** Deletes sessions; returns how many there were. */
export async function deleteBackupSessions(tx: Queryable, scope: SessionScope): Promise<number> {
  const rows = await tx.query<{ count: number }>(
    'delete_backup_sessions',
    `WITH deleted AS (
       DELETE FROM key_backup_sessions
        WHERE user_id = $1 AND version = $2 AND ($3::text IS NULL OR room_id = $3) AND ($4::text IS NULL OR session_id = $4) RETURNING 1
     )
     SELECT count(*) AS count FROM deleted`,
    [scope.userId, scope.version, scope.roomId ?? null, scope.sessionId ?? null],
  )
  return rows[0]?.count ?? 0
}
