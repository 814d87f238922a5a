import { MatrixError } from '../../protocol/errors.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import {
  deleteLocalMedia,
  deleteOldRemoteMedia,
  getLocalMediaFacts,
  getMediaIdsOfUser,
  getMediaOfRoom,
  getMediaOfUser,
  getOldLocalMedia,
  getOldPreviewImages,
  getQuarantineChanges,
  getRemoteMediaFacts,
  setQuarantine,
  setSafeFromQuarantine,
} from '../../storage/tables/media-care.ts'
import type { LocalMediaFacts, MediaPage, OldMedia, RemoteMediaFacts } from '../../storage/tables/media-care.ts'
import { deleteExpiredPreviews } from '../../storage/tables/url-previews.ts'
import type { MediaStore } from './media-store.ts'

/** Rows that go in one statement. Their files follow; after a crash some are left that nobody knows. */
const BATCH = 200
const CHANGES_PER_PAGE = 100

interface MediaName {
  readonly origin: string
  readonly mediaId: string
}

/** What administrators do to media, and what time does. As Synapse: docs/admin_api/media_admin_api.md. */
export class MediaCare {
  readonly #database: Database
  readonly #store: MediaStore
  readonly #serverName: ServerName

  constructor(deps: { database: Database; store: MediaStore; serverName: ServerName }) {
    this.#database = deps.database
    this.#store = deps.store
    this.#serverName = deps.serverName
  }

  /** Returns what is known of a medium. Throws M_NOT_FOUND. */
  async get({ origin, mediaId }: MediaName): Promise<LocalMediaFacts | RemoteMediaFacts> {
    const facts = this.#isOurs(origin)
      ? await getLocalMediaFacts(this.#database, mediaId)
      : await getRemoteMediaFacts(this.#database, { origin, mediaId })
    if (!facts) throw new MatrixError('M_NOT_FOUND', 'Unknown media')
    return facts
  }

  #isOurs(origin: string): boolean {
    return origin === this.#serverName
  }

  /** Lists the media that a room's readable events name, as URIs. */
  async listOfRoom(roomId: string): Promise<{ local: string[]; remote: string[] }> {
    const media = await getMediaOfRoom(this.#database, roomId)
    const uris = (isLocal: boolean): string[] =>
      media.filter(({ origin }) => this.#isOurs(origin) === isLocal).map(({ origin, mediaId }) => `mxc://${origin}/${mediaId}`)
    return { local: uris(true), remote: uris(false) }
  }

  /** Reads a page of a user's uploads. */
  listOfUser(userId: UserId, page: MediaPage): Promise<{ media: readonly LocalMediaFacts[]; total: number }> {
    return getMediaOfUser(this.#database, userId, page)
  }

  /** Hides media and all with the same bytes, or with `by` null shows them again. Returns how many changed. */
  quarantine(media: readonly MediaName[], by: UserId | null): Promise<number> {
    const remote = media.filter(({ origin }) => !this.#isOurs(origin))
    return setQuarantine(
      this.#database,
      {
        localIds: media.filter(({ origin }) => this.#isOurs(origin)).map(({ mediaId }) => mediaId),
        origins: remote.map(({ origin }) => origin),
        remoteIds: remote.map(({ mediaId }) => mediaId),
      },
      by,
    )
  }

  /** Hides all that a room's readable events name. */
  async quarantineRoom(roomId: string, by: UserId): Promise<number> {
    return this.quarantine(await getMediaOfRoom(this.#database, roomId), by)
  }

  /** Hides all that a user uploaded. */
  async quarantineUser(userId: UserId, by: UserId): Promise<number> {
    const localIds = await getMediaIdsOfUser(this.#database, userId)
    return setQuarantine(this.#database, { localIds, origins: [], remoteIds: [] }, by)
  }

  /** Protects a medium of ours from quarantine, or no longer. */
  protect(mediaId: string, isSafe: boolean): Promise<void> {
    return setSafeFromQuarantine(this.#database, mediaId, isSafe)
  }

  /** Reads what was hidden and shown again, in order. */
  async quarantineChanges(after: number): Promise<{ changes: (MediaName & { isQuarantined: boolean })[]; next: number }> {
    const rows = await getQuarantineChanges(this.#database, { after, limit: CHANGES_PER_PAGE })
    const changes = rows.map(({ origin, mediaId, isQuarantined }) => ({
      origin: origin ?? this.#serverName,
      mediaId,
      isQuarantined,
    }))
    return { changes, next: rows.at(-1)?.changeId ?? after }
  }

  /** Deletes a medium of ours. Throws M_NOT_FOUND, 400 M_UNKNOWN. */
  async delete({ origin, mediaId }: MediaName): Promise<string[]> {
    if (!this.#isOurs(origin)) throw new MatrixError('M_UNKNOWN', 'Can only delete local media', { status: 400 })
    await this.get({ origin, mediaId })
    return this.deleteLocal([mediaId])
  }

  /** Deletes media of ours, and returns which of them were there. */
  async deleteLocal(mediaIds: readonly string[]): Promise<string[]> {
    const gone = await deleteLocalMedia(this.#database, mediaIds)
    for (const fileId of gone) await this.#store.remove({ origin: undefined, fileId })
    return gone
  }

  /** Deletes uploads that nobody has fetched since a time. */
  async deleteOldLocal(old: Omit<OldMedia, 'serverName' | 'limit'>, signal: AbortSignal): Promise<string[]> {
    const all: string[] = []
    const find = (): Promise<string[]> => getOldLocalMedia(this.#database, { ...old, serverName: this.#serverName, limit: BATCH })
    for (let batch = await find(); batch.length > 0 && !signal.aborted; batch = await find()) {
      all.push(...(await this.deleteLocal(batch)))
    }
    return all
  }

  /** Deletes copies that nobody has fetched since a time; they can be fetched anew. Returns how many. */
  async deleteOldRemote(beforeMs: number, signal: AbortSignal): Promise<number> {
    let count = 0
    for (;;) {
      const batch = await deleteOldRemoteMedia(this.#database, beforeMs, BATCH)
      for (const file of batch) await this.#store.remove(file)
      count += batch.length
      if (batch.length < BATCH || signal.aborted) return count
    }
  }

  /** Deletes previews that have expired, and pictures of old ones. */
  async deleteOldPreviews(
    { nowMs, imagesBeforeMs }: { nowMs: number; imagesBeforeMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    await deleteExpiredPreviews(this.#database, nowMs)
    while (!signal.aborted) {
      const batch = await getOldPreviewImages(this.#database, imagesBeforeMs, BATCH)
      if (batch.length === 0) return
      await this.deleteLocal(batch)
    }
  }
}
