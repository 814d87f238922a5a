import { createHash } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { MatrixError } from '../../protocol/errors.ts'
import type { ThumbnailKey } from '../../storage/tables/media.ts'
import type { Random } from '../../util/random.ts'
import { isSystemError } from '../../util/system-error.ts'

/*
 * The layout is Synapse's, so that its folder can be taken over:
 *
 *   local_content/aA/bB/restOfTheId
 *   local_thumbnails/aA/bB/restOfTheId/32-32-image-png-crop
 *   remote_content/other.example/aA/bB/restOfTheFileId
 *   remote_thumbnail/other.example/aA/bB/restOfTheFileId/32-32-image-png-crop
 *   url_cache/2026-11-24/restOfTheId            pictures of previews, by day
 *   url_cache_thumbnails/2026-11-24/restOfTheId/32-32-image-png-crop
 *   tmp/…                              uploads under way; what stands elsewhere is whole
 */

/** Uploads that began this long ago were cut off by a crash. */
const TEMPORARY_MS_MAX = 24 * 3600 * 1000
const TEMPORARY_NAME_LETTERS = 24
/** Ids of pictures of previews begin with their day. */
const PREVIEW_ID = /^\d{4}-\d{2}-\d{2}_/
const OUT_OF_SPACE = ['ENOSPC', 'EDQUOT', 'EFBIG']
const UNWRITABLE = ['EROFS', 'EACCES', 'EPERM', 'EIO', ...OUT_OF_SPACE]

/** Bytes on disk, synced, that no reader sees yet. Must be published or discarded. */
export interface WrittenFile {
  readonly temporaryPath: string
  readonly sizeBytes: number
  readonly sha256: Buffer
}

/** A file that is open for reading; whoever gets it must make its stream or close it. */
export interface OpenMedia {
  readonly handle: FileHandle
  readonly sizeBytes: number
}

/** Which file: of our own media, or of a copy of another server's. */
export interface MediaFile {
  /** The other server; undefined for ours. */
  readonly origin: string | undefined
  /** Of ours the media id. */
  readonly fileId: string
}

/** Keeps media as files: written aside, synced, then renamed, so that each is whole or absent. */
export class MediaStore {
  readonly #directory: string
  readonly #random: Random

  constructor(deps: { directory: string; random: Random }) {
    this.#directory = deps.directory
    this.#random = deps.random
  }

  /** Where media lies. */
  pathOf({ origin, fileId }: MediaFile): string {
    if (origin === undefined && PREVIEW_ID.test(fileId))
      return join(this.#directory, 'url_cache', fileId.slice(0, 10), fileId.slice(11))
    const folders = origin === undefined ? ['local_content'] : ['remote_content', origin]
    return join(this.#directory, ...folders, ...splitId(fileId))
  }

  /** Where a thumbnail lies. */
  thumbnailPath({ origin, fileId }: MediaFile, key: ThumbnailKey, contentType: string): string {
    return join(this.#thumbnailDirectory({ origin, fileId }), thumbnailName(key, contentType))
  }

  #thumbnailDirectory({ origin, fileId }: MediaFile): string {
    if (origin === undefined && PREVIEW_ID.test(fileId))
      return join(this.#directory, 'url_cache_thumbnails', fileId.slice(0, 10), fileId.slice(11))
    const folders = origin === undefined ? ['local_thumbnails'] : ['remote_thumbnail', origin]
    return join(this.#directory, ...folders, ...splitId(fileId))
  }

  /** Removes media and its thumbnails; nothing where they are gone already. */
  async remove(file: MediaFile): Promise<void> {
    await unlink(this.pathOf(file)).catch(undefinedWhereAbsent)
    await rm(this.#thumbnailDirectory(file), { recursive: true, force: true })
  }

  /** Removes what uploads left behind that a crash cut off. */
  async removeStaleFiles(nowMs: number): Promise<void> {
    const directory = this.#temporaryDirectory()
    for (const name of await readdir(directory).catch(emptyWhereAbsent)) {
      const path = join(directory, name)
      const found = await stat(path).catch(undefinedWhereAbsent)
      if (found?.isFile() && nowMs - found.mtimeMs > TEMPORARY_MS_MAX) await unlink(path).catch(undefinedWhereAbsent)
    }
  }

  #temporaryDirectory(): string {
    return join(this.#directory, 'tmp')
  }

  /** Writes a stream aside, at most `bytesMax`. Throws M_TOO_LARGE; M_UNKNOWN 507 where the disk is full. Leaves nothing behind then. */
  async write(source: Readable | Buffer, bytesMax: number): Promise<WrittenFile> {
    const temporaryPath = join(this.#temporaryDirectory(), this.#random.letters(TEMPORARY_NAME_LETTERS))
    try {
      await mkdir(dirname(temporaryPath), { recursive: true })
      const handle = await open(temporaryPath, 'wx', 0o640)
      try {
        return { temporaryPath, ...(await copyInto(handle, source, bytesMax)) }
      } finally {
        await handle.close()
      }
    } catch (error) {
      await unlink(temporaryPath).catch(undefinedWhereAbsent)
      throw toMatrixError(error)
    }
  }

  /** Moves a written file to its place; it survives a power cut from then on. */
  async publish(file: WrittenFile, path: string): Promise<void> {
    try {
      await mkdir(dirname(path), { recursive: true })
      await rename(file.temporaryPath, path)
      await syncDirectory(dirname(path))
    } catch (error) {
      throw toMatrixError(error)
    }
  }

  /** Removes a written file that is not wanted after all. */
  async discard(file: WrittenFile): Promise<void> {
    await unlink(file.temporaryPath).catch(undefinedWhereAbsent)
  }

  /** Opens a file; undefined where there is none, or where it has another size than it should. */
  async open(path: string, sizeBytes: number): Promise<OpenMedia | undefined> {
    const handle = await open(path, 'r').catch(undefinedWhereAbsent)
    if (!handle) return undefined
    const found = await handle.stat()
    if (found.isFile() && found.size === sizeBytes) return { handle, sizeBytes }
    await handle.close()
    return undefined
  }
}

async function copyInto(
  handle: FileHandle,
  source: Readable | Buffer,
  bytesMax: number,
): Promise<{ sizeBytes: number; sha256: Buffer }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  // Without destroyOnReturn the client would lose its connection before it reads that its upload is too large.
  const chunks = Buffer.isBuffer(source) ? [source] : (source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
  for await (const chunk of chunks) {
    sizeBytes += chunk.length
    if (sizeBytes > bytesMax) throw new MatrixError('M_TOO_LARGE', `Media may have at most ${bytesMax} bytes`)
    hash.update(chunk)
    await handle.writeFile(chunk)
  }
  await handle.sync()
  return { sizeBytes, sha256: hash.digest() }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function thumbnailName(key: ThumbnailKey, contentType: string): string {
  return `${key.width}-${key.height}-${contentType.replace('/', '-')}-${key.method}${key.isAnimated ? '-animated' : ''}`
}

function splitId(mediaId: string): [string, string, string] {
  return [mediaId.slice(0, 2), mediaId.slice(2, 4), mediaId.slice(4)]
}

function toMatrixError(error: unknown): unknown {
  const code = isSystemError(error) ? error.code : undefined
  if (code === undefined || !UNWRITABLE.includes(code)) return error
  const message = OUT_OF_SPACE.includes(code) ? 'The server has no space left for media' : 'The server can not store media'
  return new MatrixError('M_UNKNOWN', message, { status: 507, cause: error })
}

function undefinedWhereAbsent(error: unknown): undefined {
  if (isSystemError(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return undefined
  throw error
}

function emptyWhereAbsent(error: unknown): string[] {
  undefinedWhereAbsent(error)
  return []
}
