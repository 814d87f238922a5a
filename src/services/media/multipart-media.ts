import { Readable } from 'node:stream'

/** A preamble, headers and metadata are a few hundred bytes. */
const HEAD_BYTES_MAX = 64 * 1024
const HEADERS_END = Buffer.from('\r\n\r\n')

/** An answer that is not built as it must be, or ended too early. */
export class MultipartError extends Error {
  override readonly name = 'MultipartError'
}

/** The second part of an answer: the media, or where it lies. */
export type MediaPart =
  | {
      readonly kind: 'content'
      readonly contentType: string | undefined
      readonly disposition: string | undefined
      readonly body: Readable
    }
  | { readonly kind: 'elsewhere'; readonly url: string }

/**
 * Takes apart what another server answers for media: metadata, then the bytes or a `Location`, without holding the bytes in memory.
 * The caller reads `body` to its end or destroys it. Throws MultipartError. Spec: server-server-api § Content Repository.
 */
export async function readMediaPart(contentType: string | undefined, source: Readable): Promise<MediaPart> {
  const boundary = boundaryOf(contentType)
  const reader = new MarkerReader(source)
  await reader.readTo(boundary)
  await reader.readTo(HEADERS_END)
  // The metadata: nothing that anybody needs.
  await reader.readTo(Buffer.concat([Buffer.from('\r\n'), boundary]))
  const headers = parseHeaders(await reader.readTo(HEADERS_END))
  const url = headers.get('location')
  if (url !== undefined) {
    source.destroy()
    return { kind: 'elsewhere', url }
  }
  const chunks = reader.chunksTo(Buffer.concat([Buffer.from('\r\n'), boundary]))
  return {
    kind: 'content',
    contentType: headers.get('content-type'),
    disposition: headers.get('content-disposition'),
    body: Readable.from(chunks, { objectMode: false }),
  }
}

function boundaryOf(contentType: string | undefined): Buffer {
  const [, quoted, bare] =
    /^multipart\/mixed\s*;.*?\bboundary\s*=\s*(?:"([^"]{1,200})"|([^;\s"]{1,200}))/i.exec(contentType ?? '') ?? []
  const boundary = quoted ?? bare
  if (boundary === undefined) throw new MultipartError(`the answer is no multipart/mixed but ${String(contentType)}`)
  return Buffer.from(`--${boundary}`)
}

function parseHeaders(bytes: Buffer): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const line of bytes.toString('utf8').split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim())
  }
  return headers
}

/** Reads a stream from marker to marker. */
class MarkerReader {
  readonly #source: Readable
  readonly #iterator: AsyncIterator<Buffer>
  #kept: Buffer = Buffer.alloc(0)

  constructor(source: Readable) {
    this.#source = source
    this.#iterator = (source as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  }

  /** Returns what stands before the marker, and goes on behind it. */
  async readTo(marker: Buffer): Promise<Buffer> {
    for (;;) {
      const at = this.#kept.indexOf(marker)
      if (at >= 0) return this.#take(at, marker.length)
      if (this.#kept.length > HEAD_BYTES_MAX) throw new MultipartError('the answer has no such parts as it should')
      await this.#more()
    }
  }

  /** Gives what stands before the marker, piece by piece. */
  async *chunksTo(marker: Buffer): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const at = this.#kept.indexOf(marker)
        if (at >= 0) {
          if (at > 0) yield this.#take(at, marker.length)
          return
        }
        // The marker may have begun in what came last.
        const sure = this.#kept.length - marker.length + 1
        if (sure > 0) yield this.#take(sure, 0)
        await this.#more()
      }
    } finally {
      this.#source.destroy()
    }
  }

  #take(length: number, skipped: number): Buffer {
    const taken = this.#kept.subarray(0, length)
    this.#kept = this.#kept.subarray(length + skipped)
    return taken
  }

  async #more(): Promise<void> {
    const next = await this.#iterator.next()
    if (next.done === true) throw new MultipartError('the answer ended too early')
    this.#kept = this.#kept.length === 0 ? next.value : Buffer.concat([this.#kept, next.value])
  }
}
