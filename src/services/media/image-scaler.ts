import type sharpFunction from 'sharp'
import type { Metadata } from 'sharp'
import { MatrixError } from '../../protocol/errors.ts'
import type { ThumbnailSize } from './thumbnail-sizes.ts'

/** Pictures that are worked on at once; each takes a thread and tens of megabytes. */
const CONCURRENT_MAX = 2
/** Further ones that may wait. Beyond, requests are refused. */
const QUEUE_MAX = 200
const WORK_SECONDS_MAX = 20
const FORMATS: readonly string[] = ['jpeg', 'png', 'webp', 'gif']
/** Loaders for formats that browsers make and that libvips reads by itself; all others (SVG, PDF, …) stay blocked. */
const LOADERS = ['Jpeg', 'Png', 'Webp', 'Nsgif'].flatMap((format) => [
  `VipsForeignLoad${format}File`,
  `VipsForeignLoad${format}Buffer`,
])
const JPEG_QUALITY = 80

type Sharp = typeof sharpFunction

export interface ScaledImage {
  readonly bytes: Buffer
  readonly contentType: 'image/jpeg' | 'image/png' | 'image/webp'
}

/** Makes small pictures from large ones, a few at a time. */
export class ImageScaler {
  readonly #pixelsMax: number
  #library: Promise<Sharp> | undefined
  #running = 0
  readonly #waiting: (() => void)[] = []

  /** `pixelsMax` is the option `max_image_pixels`. */
  constructor(deps: { pixelsMax: number }) {
    this.#pixelsMax = deps.pixelsMax
  }

  /** Makes a thumbnail of a file. Throws 400 M_UNKNOWN for what is no picture, 413 M_TOO_LARGE for too many pixels. */
  async scale(path: string, size: ThumbnailSize, options: { isAnimated: boolean }): Promise<ScaledImage> {
    await this.#enter()
    try {
      return await this.#scaleNow(path, size, options)
    } finally {
      this.#leave()
    }
  }

  /** Tells how large a picture is, upright; undefined for what is none. */
  async measure(path: string): Promise<{ width: number; height: number } | undefined> {
    await this.#enter()
    try {
      this.#library ??= loadLibrary()
      const { autoOrient, width, height, pageHeight } = await readMetadata(await this.#library, path)
      return { width: autoOrient.width ?? width, height: pageHeight ?? autoOrient.height ?? height }
    } catch (error) {
      if (error instanceof MatrixError) return undefined
      throw error
    } finally {
      this.#leave()
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < CONCURRENT_MAX) {
      this.#running++
      return
    }
    if (this.#waiting.length >= QUEUE_MAX)
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many thumbnails at once', { extra: { retry_after_ms: 2000 } })
    // The one that leaves hands its place over, so the count stays.
    await new Promise<void>((resolve) => void this.#waiting.push(resolve))
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#running--
  }

  async #scaleNow(path: string, size: ThumbnailSize, options: { isAnimated: boolean }): Promise<ScaledImage> {
    this.#library ??= loadLibrary()
    const sharp = await this.#library
    const metadata = await readMetadata(sharp, path)
    const { width, height, pages = 1, pageHeight = height } = metadata
    if (width * pageHeight > this.#pixelsMax) throw new MatrixError('M_TOO_LARGE', 'Content is too large to thumbnail')
    // A moving picture with too many pixels in all of its frames together is shown still.
    const isAnimated = options.isAnimated && pages > 1 && width * pageHeight * pages <= this.#pixelsMax
    const fit = size.method === 'crop' ? 'cover' : 'inside'
    const image = sharp(path, { limitInputPixels: this.#pixelsMax, animated: isAnimated, failOn: 'error' })
      .timeout({ seconds: WORK_SECONDS_MAX })
      .autoOrient()
      // Metadata (place, camera) is not copied by default.
      .resize({ width: size.width, height: size.height, fit, withoutEnlargement: true })
    try {
      if (isAnimated) return { bytes: await image.webp().toBuffer(), contentType: 'image/webp' }
      if (metadata.format === 'jpeg' || (metadata.format === 'webp' && !metadata.hasAlpha)) {
        return { bytes: await image.jpeg({ quality: JPEG_QUALITY }).toBuffer(), contentType: 'image/jpeg' }
      }
      return { bytes: await image.png().toBuffer(), contentType: 'image/png' }
    } catch (error) {
      throw notAPicture(error)
    }
  }
}

/** Loads the image library when the first picture comes, 15 MB, and narrows what it opens, for the whole process. */
async function loadLibrary(): Promise<Sharp> {
  const { default: sharp } = await import('sharp')
  sharp.block({ operation: ['VipsForeignLoad'] })
  sharp.unblock({ operation: LOADERS })
  sharp.cache(false)
  sharp.concurrency(1)
  return sharp
}

async function readMetadata(sharp: Sharp, path: string): Promise<Metadata> {
  const metadata = await sharp(path, { limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      throw notAPicture(error)
    })
  // The loader goes by magic bytes, not by what the uploader says.
  if (!FORMATS.includes(metadata.format)) throw notAPicture(undefined)
  return metadata
}

function notAPicture(cause: unknown): MatrixError {
  return new MatrixError('M_UNKNOWN', 'Cannot generate thumbnails for the requested content', { status: 400, cause })
}
