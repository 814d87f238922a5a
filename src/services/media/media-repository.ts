import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import type { Database } from '../../storage/database.ts'
import {
  completeMedia,
  getMedia,
  getPendingMedia,
  getUploadedBytes,
  insertMedia,
  touchMedia,
} from '../../storage/tables/media.ts'
import type { MediaRow } from '../../storage/tables/media.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { Requester } from '../accounts/requester.ts'
import type { ImageScaler } from './image-scaler.ts'
import type { MediaFile, MediaStore, OpenMedia, WrittenFile } from './media-store.ts'

const MEDIA_ID_LETTERS = 24
const PREVIEW_ID_LETTERS = 16
/** Ids of media that were taken over may have dashes. Nothing of it can leave the folder. */
const MEDIA_ID = /^[A-Za-z0-9_-]{5,255}$/
const UPLOAD_NAME_CHARS_MAX = 1024
const CONTENT_TYPE = /^[A-Za-z0-9!#$&^_.+-]{1,100}\/[A-Za-z0-9!#$&^_.+-]{1,100}(?:\s*;[\x20-\x7e]{0,200})?$/
const CONTENT_TYPE_UNKNOWN = 'application/octet-stream'
/** Longest that a download waits for an upload under way. */
export const WAIT_MS_MAX = 60_000
const WAIT_STEP_MS = 250
/** An access is noted when the one noted before is this old. */
export const ACCESS_NOTE_MS = 3600_000

export interface MediaOptions {
  readonly serverName: ServerName
  readonly uploadBytesMax: number
  readonly pendingUploadsMax: number
  readonly unusedExpirationMs: number
  readonly isAuthenticationRequired: boolean
  readonly uploadLimits: readonly { readonly timePeriodMs: number; readonly maxSizeBytes: number }[]
  readonly avatarBytesMax: number | undefined
  readonly avatarContentTypes: readonly string[] | undefined
  readonly createRateLimit: RateLimit
}

export interface UploadRequest {
  readonly source: Readable
  /** Of the header; undefined where the client does not say. */
  readonly declaredBytes: number | undefined
  readonly contentType: string | undefined
  readonly uploadName: string | undefined
}

/** What is asked for. */
export interface MediaLookup {
  readonly serverName: string
  readonly mediaId: string
  /** The request carries an access token. */
  readonly isAuthenticated: boolean
  readonly timeoutMs: number | undefined
  /** False where another server is not to be asked. */
  readonly isRemoteAllowed?: boolean | undefined
  readonly signal: AbortSignal
}

/** Media that is there, whole. */
export interface FoundMedia extends MediaFile {
  readonly mediaId: string
  readonly sizeBytes: number
  readonly contentType: string
  readonly uploadName: string | undefined
  readonly sha256: Buffer | undefined
}

interface MediaRepositoryDeps {
  readonly database: Database
  readonly store: MediaStore
  readonly scaler: Pick<ImageScaler, 'measure'>
  /** Media of other servers. */
  readonly remoteMedia: { find(lookup: MediaLookup): Promise<FoundMedia> }
  readonly clock: Clock
  readonly random: Random
  readonly background: Background
  readonly rateLimiter: RateLimiter
  readonly options: MediaOptions
}

/** Takes uploads and finds media again. Spec: client-server-api § Content Repository. */
export class MediaRepository {
  readonly #deps: MediaRepositoryDeps

  constructor(deps: MediaRepositoryDeps) {
    this.#deps = deps
  }

  /** What clients are told by /config. */
  get uploadBytesMax(): number {
    return this.#deps.options.uploadBytesMax
  }

  /** Stores an upload and returns its `mxc://` URI. Throws M_TOO_LARGE, M_RESOURCE_LIMIT_EXCEEDED, M_UNKNOWN 507. */
  async upload(requester: Requester, request: UploadRequest): Promise<string> {
    const mediaId = this.#deps.random.letters(MEDIA_ID_LETTERS)
    await this.#receive(requester, request, { mediaId, isNew: true })
    return this.#uriOf(mediaId)
  }

  /** Makes an id to upload to later. Throws M_LIMIT_EXCEEDED where too many wait. */
  async create(requester: Requester): Promise<{ contentUri: string; unusedExpiresTsMs: number }> {
    const { database, clock, random, rateLimiter, options } = this.#deps
    const { userId } = requester
    if (requester.isRateLimited) await rateLimiter.consume(`media_create ${userId}`, options.createRateLimit)
    const nowMs = clock.nowMs()
    const pending = await getPendingMedia(database, { userId, nowMs })
    if (pending.count >= options.pendingUploadsMax) {
      const retryAfterMs = Math.max(1, (pending.firstExpiresTsMs ?? nowMs) - nowMs)
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many media wait for their upload', {
        extra: { retry_after_ms: retryAfterMs },
      })
    }
    const mediaId = random.letters(MEDIA_ID_LETTERS)
    const unusedExpiresTsMs = nowMs + options.unusedExpirationMs
    await insertMedia(database, { mediaId, userId, nowMs, unusedExpiresTsMs, isAuthenticated: options.isAuthenticationRequired })
    return { contentUri: this.#uriOf(mediaId), unusedExpiresTsMs }
  }

  /** Uploads to an id that `create` made. Throws M_FORBIDDEN, M_NOT_FOUND, M_CANNOT_OVERWRITE_MEDIA, and as `upload`. */
  async uploadTo(requester: Requester, target: { serverName: string; mediaId: string }, request: UploadRequest): Promise<void> {
    const media =
      target.serverName === this.#deps.options.serverName && MEDIA_ID.test(target.mediaId)
        ? await getMedia(this.#deps.database, target.mediaId)
        : undefined
    if (!media) throw new MatrixError('M_NOT_FOUND', 'Unknown media ID')
    if (media.userId !== requester.userId)
      throw new MatrixError('M_FORBIDDEN', 'Only the creator of the media ID can upload to it')
    if (media.sizeBytes !== null) throw new MatrixError('M_CANNOT_OVERWRITE_MEDIA', 'Media ID already has content')
    if ((media.unusedExpiresTsMs ?? 0) <= this.#deps.clock.nowMs()) throw new MatrixError('M_NOT_FOUND', 'Media ID has expired')
    await this.#receive(requester, request, { mediaId: media.mediaId, isNew: false })
  }

  /** Stores the picture of a web page, to be shown with its preview. Throws as the source does, and 507. */
  async keepPreviewImage(
    userId: UserId,
    image: { readonly source: Readable; readonly contentType: string; readonly url: string },
  ): Promise<{ uri: string; sizeBytes: number; size: { width: number; height: number } | undefined }> {
    const { store, clock, random, scaler } = this.#deps
    const day = new Date(clock.nowMs()).toISOString().slice(0, 10)
    const mediaId = `${day}_${random.letters(PREVIEW_ID_LETTERS)}`
    // The source has its own limit.
    const file = await store.write(image.source, Number.MAX_SAFE_INTEGER)
    try {
      const size = await scaler.measure(file.temporaryPath)
      const request = { contentType: image.contentType, uploadName: undefined, url: image.url }
      await this.#keep({ userId }, request, { mediaId, isNew: true, file })
      return { uri: this.#uriOf(mediaId), sizeBytes: file.sizeBytes, size }
    } finally {
      await store.discard(file)
    }
  }

  async #receive(requester: Requester, request: UploadRequest, target: { mediaId: string; isNew: boolean }): Promise<void> {
    const { store, options } = this.#deps
    if ((request.declaredBytes ?? 0) > options.uploadBytesMax)
      throw new MatrixError('M_TOO_LARGE', `Media may have at most ${options.uploadBytesMax} bytes`)
    if ((request.uploadName?.length ?? 0) > UPLOAD_NAME_CHARS_MAX) throw invalidParam('The file name is too long')
    await this.#checkUploadLimits(requester.userId, request.declaredBytes ?? 0)
    const file = await store.write(request.source, options.uploadBytesMax)
    try {
      if (request.declaredBytes === undefined) await this.#checkUploadLimits(requester.userId, file.sizeBytes)
      await this.#keep(requester, request, { ...target, file })
    } finally {
      // Published files are no longer at their temporary place, so this only removes what was refused.
      await store.discard(file)
    }
  }

  /** Stores the row and puts the file in its place. A crash between leaves a file that no row knows, never the reverse. */
  async #keep(
    requester: Pick<Requester, 'userId'>,
    request: Pick<UploadRequest, 'contentType' | 'uploadName'> & { readonly url?: string },
    target: { mediaId: string; isNew: boolean; file: WrittenFile },
  ): Promise<void> {
    const { database, store, clock, options } = this.#deps
    const { mediaId, file } = target
    const nowMs = clock.nowMs()
    let isPublished = false
    await database.transaction('store_media', async (tx) => {
      if (target.isNew) {
        const isAuthenticated = options.isAuthenticationRequired
        const { userId } = requester
        await insertMedia(tx, { mediaId, userId, nowMs, unusedExpiresTsMs: undefined, isAuthenticated, urlCache: request.url })
      }
      const isMine = await completeMedia(tx, {
        mediaId,
        sizeBytes: file.sizeBytes,
        contentType: cleanContentType(request.contentType),
        uploadName: cleanUploadName(request.uploadName),
        sha256: file.sha256,
        nowMs,
      })
      if (!isMine) throw new MatrixError('M_CANNOT_OVERWRITE_MEDIA', 'Media ID already has content')
      // The row is locked: a rival for the same id waits, and finds it taken. A repeated attempt finds the file in place.
      if (!isPublished) await store.publish(file, store.pathOf({ origin: undefined, fileId: mediaId }))
      isPublished = true
    })
  }

  async #checkUploadLimits(userId: UserId, moreBytes: number): Promise<void> {
    const { database, clock, options } = this.#deps
    for (const limit of options.uploadLimits) {
      const bytes = await getUploadedBytes(database, { userId, sinceMs: clock.nowMs() - limit.timePeriodMs })
      if (bytes + moreBytes > limit.maxSizeBytes)
        throw new MatrixError('M_RESOURCE_LIMIT_EXCEEDED', 'You have uploaded too much lately')
    }
  }

  /** Finds media, and waits a while for an upload under way. Throws M_NOT_FOUND, M_NOT_YET_UPLOADED; 502 for media of other servers. */
  async find(lookup: MediaLookup): Promise<FoundMedia> {
    if (lookup.serverName !== this.#deps.options.serverName) return this.#deps.remoteMedia.find(lookup)
    const media = await this.#waitForUpload(lookup)
    const { clock, database, background } = this.#deps
    const needsToken = this.#deps.options.isAuthenticationRequired && media.isAuthenticated
    const isHidden = media.quarantinedBy !== null || (needsToken && !lookup.isAuthenticated)
    if (isHidden || media.sizeBytes === null) throw mediaNotFound()
    const nowMs = clock.nowMs()
    if (nowMs - (media.lastAccessTsMs ?? 0) > ACCESS_NOTE_MS)
      background.run('media: note an access', () => touchMedia(database, [media.mediaId], nowMs))
    return {
      origin: undefined,
      fileId: media.mediaId,
      mediaId: media.mediaId,
      sizeBytes: media.sizeBytes,
      contentType: cleanContentType(media.contentType ?? undefined),
      uploadName: media.uploadName ?? undefined,
      sha256: media.sha256 ?? undefined,
    }
  }

  async #waitForUpload(lookup: MediaLookup): Promise<MediaRow> {
    const { clock, database } = this.#deps
    if (!MEDIA_ID.test(lookup.mediaId)) throw mediaNotFound()
    const deadline = clock.monotonicMs() + Math.max(0, Math.min(lookup.timeoutMs ?? 20_000, WAIT_MS_MAX))
    for (;;) {
      const media = await getMedia(database, lookup.mediaId)
      if (!media) throw mediaNotFound()
      if (media.sizeBytes !== null) return media
      if ((media.unusedExpiresTsMs ?? 0) <= clock.nowMs()) throw mediaNotFound()
      const leftMs = deadline - clock.monotonicMs()
      if (leftMs <= 0) throw new MatrixError('M_NOT_YET_UPLOADED', 'Media has not been uploaded yet')
      await sleep(Math.min(leftMs, WAIT_STEP_MS), undefined, { signal: lookup.signal })
    }
  }

  /** Opens the bytes. Throws M_NOT_FOUND where they are missing or not whole. */
  async open(media: FoundMedia): Promise<OpenMedia> {
    const { store } = this.#deps
    const file = await store.open(store.pathOf(media), media.sizeBytes)
    if (!file) throw mediaNotFound()
    return file
  }

  /** Tells whether a URI may be an avatar: with limits set, only media that we have, small enough and of an allowed type. */
  async isAllowedAvatar(mxcUri: string): Promise<boolean> {
    const { avatarBytesMax, avatarContentTypes, serverName } = this.#deps.options
    if (avatarBytesMax === undefined && avatarContentTypes === undefined) return true
    const [, host, mediaId] = /^mxc:\/\/([^/]+)\/([^/]+)$/.exec(mxcUri) ?? []
    if (host !== serverName || mediaId === undefined || !MEDIA_ID.test(mediaId)) return false
    const media = await getMedia(this.#deps.database, mediaId)
    if (!media || media.sizeBytes === null || media.sizeBytes > (avatarBytesMax ?? Number.MAX_SAFE_INTEGER)) return false
    return avatarContentTypes === undefined || avatarContentTypes.includes(media.contentType ?? '')
  }

  #uriOf(mediaId: string): string {
    return `mxc://${this.#deps.options.serverName}/${mediaId}`
  }
}

/** What everybody is told of media that is not there, or not for them. */
export function mediaNotFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'Media not found')
}

/** The content type to serve media with: what it was said to be, if that is one. */
export function cleanContentType(contentType: string | undefined): string {
  return contentType !== undefined && CONTENT_TYPE.test(contentType) ? contentType : CONTENT_TYPE_UNKNOWN
}

/** A file name that can be stored. */
export function cleanUploadName(name: string | undefined): string | undefined {
  return name === undefined || name === '' ? undefined : name.replaceAll('\u0000', '').toWellFormed()
}
