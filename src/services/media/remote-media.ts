import type { Readable } from 'node:stream'
import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { parseServerName } from '../../protocol/ids.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getRemoteMedia, insertRemoteMedia, touchRemoteMedia } from '../../storage/tables/remote-media.ts'
import type { RemoteMediaRow } from '../../storage/tables/remote-media.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import { FederationRequestError } from '../federation/federation-errors.ts'
import type { FederationClient, FederationStream } from '../federation/federation-client.ts'
import { parseFileName } from './content-disposition.ts'
import type { FoundMedia, MediaLookup } from './media-repository.ts'
import { ACCESS_NOTE_MS, cleanContentType, cleanUploadName, mediaNotFound, WAIT_MS_MAX } from './media-repository.ts'
import type { MediaStore } from './media-store.ts'
import { MultipartError, readMediaPart } from './multipart-media.ts'

/** Ids of others' media are opaque; these are the letters that the specification knows. */
const MEDIA_ID = /^[A-Za-z0-9_-]{1,255}$/
const FILE_ID_LETTERS = 24
/** How long the other server may take beyond the time that it waits for an upload under way. */
const DOWNLOAD_MS_MAX = 60_000
/** What stands around the bytes in an answer. */
const HEAD_BYTES_MAX = 256 * 1024

/** Media as it comes from another server. */
interface IncomingMedia {
  readonly contentType: string | undefined
  readonly disposition: string | undefined
  readonly body: Readable
}

/** Fetches media of other servers when somebody first asks, and keeps a copy. Spec: server-server-api § Content Repository. */
export class RemoteMedia {
  readonly #database: Database
  readonly #store: MediaStore
  readonly #clock: Clock
  readonly #random: Random
  readonly #background: Background
  readonly #client: Pick<FederationClient, 'requestStream' | 'fetchUrl'>
  readonly #options: {
    readonly bytesMax: number
    readonly isAuthenticationRequired: boolean
    readonly refusedServers: ReadonlySet<string>
  }
  /** What is fetched now, so that many who ask at once cost one download. */
  readonly #underWay = new Map<string, Promise<RemoteMediaRow>>()

  constructor(deps: {
    database: Database
    store: MediaStore
    clock: Clock
    random: Random
    background: Background
    client: Pick<FederationClient, 'requestStream' | 'fetchUrl'>
    /** `max_upload_size`, `enable_authenticated_media`, `prevent_media_downloads_from`. */
    options: { bytesMax: number; isAuthenticationRequired: boolean; refusedServers: ReadonlySet<string> }
  }) {
    this.#database = deps.database
    this.#store = deps.store
    this.#clock = deps.clock
    this.#random = deps.random
    this.#background = deps.background
    this.#client = deps.client
    this.#options = deps.options
  }

  /** Finds a copy, or fetches one. Throws M_NOT_FOUND, M_NOT_YET_UPLOADED, 502 M_TOO_LARGE, 502 M_UNKNOWN. */
  async find(lookup: MediaLookup): Promise<FoundMedia> {
    const { mediaId } = lookup
    const origin = parseServerName(lookup.serverName)
    // The name is a folder's too: none that leads out of its place.
    if (!MEDIA_ID.test(mediaId) || origin.startsWith('.') || this.#options.refusedServers.has(origin)) throw mediaNotFound()
    const known = await getRemoteMedia(this.#database, { origin, mediaId })
    const needsToken = this.#options.isAuthenticationRequired && known?.isAuthenticated !== false
    if (known?.quarantinedBy != null || (needsToken && !lookup.isAuthenticated)) throw mediaNotFound()
    if (known && (await this.#isOnDisk(known))) {
      this.#noteAccess(known)
      return toFoundMedia(known)
    }
    if (lookup.isRemoteAllowed === false) throw mediaNotFound()
    const fetched = await this.#fetchOnce(origin, lookup, known?.fileId)
    // The same bytes may be under quarantine from elsewhere.
    if (fetched.quarantinedBy !== null) throw mediaNotFound()
    return toFoundMedia(fetched)
  }

  async #isOnDisk(row: RemoteMediaRow): Promise<boolean> {
    const file = await this.#store.open(this.#store.pathOf(row), row.sizeBytes)
    await file?.handle.close()
    return file !== undefined
  }

  #noteAccess({ origin, mediaId, lastAccessTsMs }: RemoteMediaRow): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs - lastAccessTsMs <= ACCESS_NOTE_MS) return
    this.#background.run('media: note an access', () => touchRemoteMedia(this.#database, { origin, mediaId, nowMs }))
  }

  #fetchOnce(origin: ServerName, lookup: MediaLookup, lostFileId: string | undefined): Promise<RemoteMediaRow> {
    const key = `${origin}/${lookup.mediaId}`
    const running = this.#underWay.get(key)
    if (running) return running
    // One who goes away does not end it for the others, nor for the next one.
    const fetching = this.#fetch(origin, lookup, lostFileId).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, fetching)
    return fetching
  }

  async #fetch(origin: ServerName, lookup: MediaLookup, lostFileId: string | undefined): Promise<RemoteMediaRow> {
    try {
      return await this.#keep(origin, lookup.mediaId, await this.#download(origin, lookup), lostFileId)
    } catch (error) {
      throw toMediaError(error)
    }
  }

  async #download(destination: ServerName, lookup: MediaLookup): Promise<IncomingMedia> {
    const mediaId = encodeURIComponent(lookup.mediaId)
    const waitMs = Math.max(0, Math.min(lookup.timeoutMs ?? 20_000, WAIT_MS_MAX))
    const limits = { destination, timeoutMs: waitMs + DOWNLOAD_MS_MAX, bytesMax: this.#options.bytesMax + HEAD_BYTES_MAX }
    try {
      const path = `/_matrix/federation/v1/media/download/${mediaId}?timeout_ms=${waitMs}`
      const answer = await this.#client.requestStream({ ...limits, method: 'GET', path })
      const part = await readMediaPart(answer.headers['content-type'], answer.body)
      return part.kind === 'content' ? part : plain(await this.#client.fetchUrl({ ...limits, url: part.url }))
    } catch (error) {
      // A server from before Matrix 1.11 has only the old path, which asks for no token.
      if (!(error instanceof FederationRequestError) || !isUnknownPath(error)) throw error
    }
    const path = `/_matrix/media/v3/download/${encodeURIComponent(destination)}/${mediaId}?allow_remote=false&timeout_ms=${waitMs}`
    return plain(await this.#client.requestStream({ ...limits, method: 'GET', path }))
  }

  /** Stores the bytes and their row. Who is second, of two processes that fetch the same, uses what the first one stored. */
  async #keep(
    origin: ServerName,
    mediaId: string,
    media: IncomingMedia,
    replacedFileId: string | undefined,
  ): Promise<RemoteMediaRow> {
    const file = await this.#store.write(media.body, this.#options.bytesMax)
    try {
      const nowMs = this.#clock.nowMs()
      const row = {
        origin,
        mediaId,
        fileId: this.#random.letters(FILE_ID_LETTERS),
        sizeBytes: file.sizeBytes,
        contentType: cleanContentType(media.contentType),
        uploadName: cleanUploadName(parseFileName(media.disposition)) ?? null,
        sha256: file.sha256,
        isAuthenticated: this.#options.isAuthenticationRequired,
      }
      let isPublished = false
      await this.#database.transaction('store_remote_media', async (tx) => {
        if (!(await insertRemoteMedia(tx, { ...row, nowMs, replacedFileId }))) return
        if (!isPublished) await this.#store.publish(file, this.#store.pathOf(row))
        isPublished = true
      })
      const stored = await getRemoteMedia(this.#database, { origin, mediaId })
      if (!stored) throw mediaNotFound()
      return stored
    } finally {
      media.body.destroy()
      await this.#store.discard(file)
    }
  }
}

/** Whether the server may not know the path: old ones, and what stands before them, say so in many ways. */
function isUnknownPath({ status, errcode }: FederationRequestError): boolean {
  if (status === 404) return errcode !== 'M_NOT_FOUND'
  return (status === 400 || status === 405) && (errcode === undefined || errcode === 'M_UNRECOGNIZED')
}

function plain({ headers, body }: FederationStream): IncomingMedia {
  return { contentType: headers['content-type'], disposition: headers['content-disposition'], body }
}

function toFoundMedia(row: RemoteMediaRow): FoundMedia {
  return {
    origin: row.origin,
    fileId: row.fileId,
    mediaId: row.mediaId,
    sizeBytes: row.sizeBytes,
    contentType: row.contentType,
    uploadName: row.uploadName ?? undefined,
    sha256: row.sha256,
  }
}

/** What a client is told of a download that failed. */
function toMediaError(error: unknown): unknown {
  const cause = error instanceof FederationRequestError ? (error.cause ?? error) : error
  const isTooLarge =
    (cause instanceof OutgoingRequestError && cause.failure === 'too_large') ||
    (error instanceof MatrixError && error.errcode === 'M_TOO_LARGE')
  if (isTooLarge)
    return new MatrixError('M_TOO_LARGE', 'The media is larger than this server keeps', { status: 502, cause: error })
  if (error instanceof FederationRequestError) {
    if (error.errcode === 'M_NOT_YET_UPLOADED') return new MatrixError('M_NOT_YET_UPLOADED', 'Media has not been uploaded yet')
    if (error.status === 404) return mediaNotFound()
  }
  const isTheirs =
    error instanceof FederationRequestError || error instanceof OutgoingRequestError || error instanceof MultipartError
  return isTheirs
    ? new MatrixError('M_UNKNOWN', 'The media could not be fetched from its server', { status: 502, cause: error })
    : error
}
