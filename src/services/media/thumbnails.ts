import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { Database } from '../../storage/database.ts'
import { getThumbnail, upsertThumbnail } from '../../storage/tables/media.ts'
import type { KnownThumbnail, ThumbnailKey } from '../../storage/tables/media.ts'
import { getRemoteThumbnail, upsertRemoteThumbnail } from '../../storage/tables/remote-media.ts'
import type { ImageScaler } from './image-scaler.ts'
import type { FoundMedia } from './media-repository.ts'
import type { MediaStore, OpenMedia } from './media-store.ts'
import { chooseThumbnailSize } from './thumbnail-sizes.ts'
import type { ThumbnailSize } from './thumbnail-sizes.ts'

/** Stored thumbnails of one media; further sizes (option `dynamic_thumbnails`) are made anew each time, so that nobody fills the disk. */
const STORED_MAX = 50
const SIDE_PIXELS_MAX = 10_000

export interface Thumbnail {
  readonly contentType: string
  readonly sizeBytes: number
  readonly body: Buffer | OpenMedia
}

/** Makes thumbnails when they are first asked for, and keeps them on disk. Spec: client-server-api § Thumbnails. */
export class Thumbnails {
  readonly #database: Database
  readonly #store: MediaStore
  readonly #scaler: ImageScaler
  readonly #sizes: readonly ThumbnailSize[]
  readonly #isDynamic: boolean
  /** What is made now, so that many who ask at once cost one picture. */
  readonly #underWay = new Map<string, Promise<Thumbnail>>()

  constructor(deps: {
    database: Database
    store: MediaStore
    scaler: ImageScaler
    options: { sizes: readonly ThumbnailSize[]; isDynamic: boolean }
  }) {
    this.#database = deps.database
    this.#store = deps.store
    this.#scaler = deps.scaler
    this.#sizes = deps.options.sizes
    this.#isDynamic = deps.options.isDynamic
  }

  /** Gets a thumbnail of at least that size, if it can be. Throws 400 M_UNKNOWN, M_INVALID_PARAM, M_TOO_LARGE. */
  async get(media: FoundMedia, wanted: ThumbnailSize & { isAnimated: boolean }): Promise<Thumbnail> {
    const { width, height, method, isAnimated } = wanted
    if (width < 1 || height < 1) throw invalidParam('Width and height must be positive')
    if (width > SIDE_PIXELS_MAX || height > SIDE_PIXELS_MAX)
      throw invalidParam(`Width and height may be at most ${SIDE_PIXELS_MAX}`)
    const size = this.#isDynamic ? { width, height, method } : chooseThumbnailSize({ width, height, method }, this.#sizes)
    if (!size) throw new MatrixError('M_UNKNOWN', 'This server makes no thumbnails', { status: 400 })
    const key: ThumbnailKey = { mediaId: media.mediaId, width: size.width, height: size.height, method: size.method, isAnimated }
    const known = await this.#find(media, key)
    if (known.contentType !== null && known.sizeBytes !== null) {
      const file = await this.#store.open(this.#store.thumbnailPath(media, key, known.contentType), known.sizeBytes)
      if (file) return { contentType: known.contentType, sizeBytes: known.sizeBytes, body: file }
    }
    return this.#makeOnce(media, key, known.thumbnailCount < STORED_MAX)
  }

  #makeOnce(media: FoundMedia, key: ThumbnailKey, isStored: boolean): Promise<Thumbnail> {
    const name = JSON.stringify([media.origin, key])
    const running = this.#underWay.get(name)
    if (running) return running
    const making = this.#make(media, key, isStored).finally(() => this.#underWay.delete(name))
    this.#underWay.set(name, making)
    return making
  }

  async #make(media: FoundMedia, key: ThumbnailKey, isStored: boolean): Promise<Thumbnail> {
    const path = this.#store.pathOf(media)
    const original = await this.#store.open(path, media.sizeBytes)
    if (!original) throw new MatrixError('M_NOT_FOUND', 'Media not found')
    await original.handle.close()
    const { bytes, contentType } = await this.#scaler.scale(path, key, { isAnimated: key.isAnimated })
    if (isStored) await this.#keep(media, key, { bytes, contentType })
    return { contentType, sizeBytes: bytes.length, body: bytes }
  }

  #find({ origin }: FoundMedia, key: ThumbnailKey): Promise<KnownThumbnail> {
    return origin === undefined ? getThumbnail(this.#database, key) : getRemoteThumbnail(this.#database, { ...key, origin })
  }

  async #keep(
    media: FoundMedia,
    key: ThumbnailKey,
    { bytes, contentType }: { bytes: Buffer; contentType: string },
  ): Promise<void> {
    const file = await this.#store.write(bytes, bytes.length)
    await this.#store.publish(file, this.#store.thumbnailPath(media, key, contentType))
    const { origin } = media
    const row = { ...key, contentType, sizeBytes: bytes.length }
    if (origin === undefined) await upsertThumbnail(this.#database, row)
    else await upsertRemoteThumbnail(this.#database, { ...row, origin })
  }
}
