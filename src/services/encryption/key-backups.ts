import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import { parseRoomId } from '../../protocol/ids.ts'
import type { UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  bumpKeyBackup,
  deleteBackupSessions,
  getBackupSessions,
  getCurrentKeyBackup,
  getKeyBackup,
  insertKeyBackup,
  lockKeyBackups,
  markKeyBackupDeleted,
  updateKeyBackupAuthData,
  upsertBackupSessions,
} from '../../storage/tables/key-backups.ts'
import type { BackupSessionRow, KeyBackupRow, SessionScope } from '../../storage/tables/key-backups.ts'

const ALGORITHM_BYTES_MAX = 255
const AUTH_DATA_BYTES_MAX = 65_536
const SESSION_ID_BYTES_MAX = 255
const SESSION_DATA_BYTES_MAX = 65_536
/** Sessions that are read at once. */
export const SESSIONS_PER_PAGE = 1000

/** Where a backup stands after a change. */
export interface BackupState {
  readonly etag: string
  readonly count: number
}

/** What is asked for: a backup as the client names it, a room of it, one session. */
export interface BackupScope {
  readonly userId: UserId
  readonly version: string
  readonly roomId?: string
  readonly sessionId?: string
}

/** Keeps users' encrypted room keys. Spec: client-server-api § Server-side key backups. */
export class KeyBackups {
  readonly #database: Database

  constructor(deps: { database: Database }) {
    this.#database = deps.database
  }

  /** Makes a new backup, which becomes the current one; returns its version. Throws M_INVALID_PARAM, M_TOO_LARGE. */
  async create(userId: UserId, info: { readonly algorithm: string; readonly authData: JsonObject }): Promise<string> {
    const { algorithm } = info
    if (algorithm.includes('\u0000') || Buffer.byteLength(algorithm) > ALGORITHM_BYTES_MAX)
      throw invalidParam('The algorithm is not allowed')
    const authData = serializeAuthData(info.authData)
    const version = await this.#database.transaction('create_key_backup', async (tx) => {
      const [, inserted] = await Promise.all([lockKeyBackups(tx, userId), insertKeyBackup(tx, { userId, algorithm, authData })])
      return inserted
    })
    return String(version)
  }

  /** The named backup, or the current one. Throws M_NOT_FOUND. */
  async get(userId: UserId, version: string | undefined): Promise<KeyBackupRow> {
    if (version === undefined) {
      const current = await getCurrentKeyBackup(this.#database, userId)
      if (!current) throw new MatrixError('M_NOT_FOUND', 'No current backup version')
      return current
    }
    return requireBackup(await getKeyBackup(this.#database, userId, parseVersion(version)))
  }

  /** Replaces the backup's auth data. Throws M_NOT_FOUND, M_INVALID_PARAM where the algorithm differs. */
  async update(
    userId: UserId,
    version: string,
    info: { readonly algorithm: string; readonly authData: JsonObject },
  ): Promise<void> {
    const number = parseVersion(version)
    const authData = serializeAuthData(info.authData)
    await this.#database.transaction('update_key_backup', async (tx) => {
      const [, row] = await Promise.all([lockKeyBackups(tx, userId), getKeyBackup(tx, userId, number)])
      if (requireBackup(row).algorithm !== info.algorithm) throw invalidParam('Algorithm does not match')
      await updateKeyBackupAuthData(tx, { userId, version: number, authData })
    })
  }

  /** Deletes a backup with its keys; one that was deleted before too. Throws M_NOT_FOUND where there never was one. */
  async delete(userId: UserId, version: string): Promise<void> {
    const number = parseVersion(version)
    await this.#database.transaction('delete_key_backup', async (tx) => {
      const [, row] = await Promise.all([lockKeyBackups(tx, userId), getKeyBackup(tx, userId, number)])
      if (!row) throw unknownBackup()
      if (!row.isDeleted) await markKeyBackupDeleted(tx, userId, number)
    })
  }

  /**
   * Stores keys (room -> session -> key data) in the current backup; a key gives way to a better one only. Throws M_NOT_FOUND;
   * M_WRONG_ROOM_KEYS_VERSION with `current_version` where the version is an older one.
   */
  async putSessions(scope: Pick<BackupScope, 'userId' | 'version'>, rooms: JsonObject): Promise<BackupState> {
    const { userId } = scope
    const version = parseVersion(scope.version)
    const sessions = parseRooms(rooms)
    return this.#database.transaction('put_backup_sessions', async (tx) => {
      const [, row, current] = await Promise.all([
        lockKeyBackups(tx, userId),
        getKeyBackup(tx, userId, version),
        getCurrentKeyBackup(tx, userId),
      ])
      const backup = requireBackup(row)
      if (current && current.version !== version) {
        throw new MatrixError('M_WRONG_ROOM_KEYS_VERSION', 'Wrong backup version.', {
          extra: { current_version: String(current.version) },
        })
      }
      const { changed, added } = await upsertBackupSessions(tx, { userId, version }, sessions)
      return toState(changed === 0 ? backup : await bumpKeyBackup(tx, { userId, version, countChange: added }))
    })
  }

  /** Reads the keys in scope, page by page, in order of room and session. Throws M_NOT_FOUND where there is no such backup. */
  async *getSessions(scope: BackupScope): AsyncGenerator<BackupSessionRow[], void> {
    const row = await this.get(scope.userId, scope.version)
    const wanted = toSessionScope(scope, row.version)
    let after: { roomId: string; sessionId: string } | undefined
    for (;;) {
      const page = await getBackupSessions(this.#database, wanted, { after, limit: SESSIONS_PER_PAGE })
      after = page.at(-1)
      yield page
      if (page.length < SESSIONS_PER_PAGE) return
    }
  }

  /** Deletes the keys in scope. Throws M_NOT_FOUND where there is no such backup. */
  async deleteSessions(scope: BackupScope): Promise<BackupState> {
    const { userId } = scope
    const version = parseVersion(scope.version)
    return this.#database.transaction('delete_backup_sessions', async (tx) => {
      const [, row] = await Promise.all([lockKeyBackups(tx, userId), getKeyBackup(tx, userId, version)])
      const backup = requireBackup(row)
      const deleted = await deleteBackupSessions(tx, toSessionScope(scope, version))
      return toState(deleted === 0 ? backup : await bumpKeyBackup(tx, { userId, version, countChange: -deleted }))
    })
  }
}

/** Versions are numbers, but clients take them for opaque strings: any other string names no backup. */
function parseVersion(version: string): number {
  const number = /^[1-9][0-9]{0,15}$/.test(version) ? Number(version) : Number.NaN
  if (!Number.isSafeInteger(number)) throw unknownBackup()
  return number
}

function requireBackup(row: KeyBackupRow | undefined): KeyBackupRow {
  if (!row || row.isDeleted) throw unknownBackup()
  return row
}

function unknownBackup(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'Unknown backup version')
}

function toState(row: { readonly etag: number; readonly sessionCount: number }): BackupState {
  return { etag: String(row.etag), count: row.sessionCount }
}

function toSessionScope(scope: BackupScope, version: number): SessionScope {
  const { userId, roomId, sessionId } = scope
  if (roomId !== undefined) parseRoomId(roomId)
  if (sessionId !== undefined) checkSessionId(sessionId)
  return { userId, version, roomId, sessionId }
}

function serializeAuthData(authData: JsonObject): string {
  const json = JSON.stringify(authData)
  if (Buffer.byteLength(json) > AUTH_DATA_BYTES_MAX) throw new MatrixError('M_TOO_LARGE', 'auth_data is too large')
  return json
}

function checkSessionId(sessionId: string): void {
  if (sessionId === '' || sessionId.includes('\u0000') || Buffer.byteLength(sessionId) > SESSION_ID_BYTES_MAX)
    throw invalidParam('The session ID is not allowed')
}

function parseRooms(rooms: JsonObject): BackupSessionRow[] {
  return Object.entries(rooms).flatMap(([roomId, room]) => {
    parseRoomId(roomId)
    const sessions = isJsonObject(room) ? room['sessions'] : undefined
    if (!isJsonObject(sessions)) throw new MatrixError('M_BAD_JSON', 'A room must have sessions')
    return Object.entries(sessions).map(([sessionId, data]) => parseSession(roomId, sessionId, data))
  })
}

function parseSession(roomId: string, sessionId: string, data: unknown): BackupSessionRow {
  checkSessionId(sessionId)
  if (!isJsonObject(data)) throw new MatrixError('M_BAD_JSON', 'The data of a key must be an object')
  const {
    is_verified: isVerified,
    first_message_index: firstMessageIndex,
    forwarded_count: forwardedCount,
    session_data: sessionData,
  } = data
  for (const name of ['is_verified', 'first_message_index', 'forwarded_count', 'session_data']) {
    if (data[name] === undefined) throw new MatrixError('M_MISSING_PARAM', `Missing parameter: ${name}`)
  }
  if (typeof isVerified !== 'boolean') throw invalidParam('is_verified must be a boolean')
  if (!isCount(firstMessageIndex) || !isCount(forwardedCount))
    throw invalidParam('first_message_index and forwarded_count must be integers from 0 on')
  if (!isJsonObject(sessionData)) throw new MatrixError('M_BAD_JSON', 'session_data must be an object')
  const json = JSON.stringify(sessionData)
  if (Buffer.byteLength(json) > SESSION_DATA_BYTES_MAX) throw new MatrixError('M_TOO_LARGE', 'session_data is too large')
  return { roomId, sessionId, isVerified, firstMessageIndex, forwardedCount, sessionData: json }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
