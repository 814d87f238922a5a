import { createHash } from 'node:crypto'
import type { TextDecoder } from 'node:util'
import { OutgoingRequestError } from '../../../http/outgoing-errors.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { UserId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getUrlPreview, upsertUrlPreview } from '../../../storage/tables/url-previews.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Logger } from '../../../util/logger.ts'
import type { MediaRepository } from '../media-repository.ts'
import { readEmbed } from './oembed.ts'
import type { EmbedAnswer, OembedProviders } from './oembed.ts'
import { makeDecoder } from './page-encoding.ts'
import { PageReader, summarise } from './page-metadata.ts'
import type { WebReader, WebResource } from './web-reader.ts'

/** Longest that a preview takes: page, oEmbed answer and picture together. */
const DEADLINE_MS = 30_000
/** How long a preview is given again. */
const KEPT_MS = 3600_000
const UNDER_WAY_MAX = 100
const URL_CHARS_MAX = 8192
const EMBED_BYTES_MAX = 256 * 1024

type Preview = Record<string, string | number>

/** Tells what stands behind a link. Spec: client-server-api § Content repository, `/preview_url`. */
export class UrlPreviews {
  readonly #database: Database
  readonly #web: WebReader
  readonly #repository: Pick<MediaRepository, 'keepPreviewImage'>
  readonly #oembed: OembedProviders
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #isEnabled: boolean
  /** What is fetched now, so that many who ask at once cost one visit. */
  readonly #underWay = new Map<string, Promise<string>>()

  constructor(deps: {
    database: Database
    web: WebReader
    repository: Pick<MediaRepository, 'keepPreviewImage'>
    oembed: OembedProviders
    clock: Clock
    logger: Logger
    isEnabled: boolean
  }) {
    this.#database = deps.database
    this.#web = deps.web
    this.#repository = deps.repository
    this.#oembed = deps.oembed
    this.#clock = deps.clock
    this.#logger = deps.logger
    this.#isEnabled = deps.isEnabled
  }

  /** Returns the preview as JSON. Throws M_UNRECOGNIZED, 403 and 502 M_UNKNOWN, M_LIMIT_EXCEEDED. */
  async get(url: string, userId: UserId): Promise<string> {
    if (!this.#isEnabled) throw new MatrixError('M_UNRECOGNIZED', 'This server makes no previews')
    if (url.length > URL_CHARS_MAX) throw new MatrixError('M_INVALID_PARAM', 'The URL is too long')
    const { href } = this.#web.check(url)
    const urlSha256 = createHash('sha256').update(href).digest()
    const known = await getUrlPreview(this.#database, { urlSha256, nowMs: this.#clock.nowMs() })
    if (known !== undefined) return known
    const running = this.#underWay.get(href)
    if (running) return running
    if (this.#underWay.size >= UNDER_WAY_MAX)
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many previews at once', { extra: { retry_after_ms: 2000 } })
    const making = this.#make(href, urlSha256, userId).finally(() => this.#underWay.delete(href))
    this.#underWay.set(href, making)
    return making
  }

  async #make(url: string, urlSha256: Buffer, userId: UserId): Promise<string> {
    const limits = { deadlineMs: this.#clock.monotonicMs() + DEADLINE_MS }
    try {
      const preview = JSON.stringify(await this.#look(url, userId, limits))
      const nowMs = this.#clock.nowMs()
      const row = { urlSha256, url, preview, fetchedTsMs: nowMs, expiresTsMs: nowMs + KEPT_MS }
      await upsertUrlPreview(this.#database, row)
      return preview
    } catch (error) {
      throw toPreviewError(error)
    }
  }

  async #look(url: string, userId: UserId, limits: Limits): Promise<Preview> {
    const endpoint = await this.#oembed.endpointOf(url)
    const embed = endpoint === undefined ? undefined : await this.#embed(endpoint, url, limits)
    if (embed) return this.#withImage(embed.properties, [embed.image], { base: url, userId, limits })
    const resource = await this.#web.open(url, limits)
    const type = mediaType(resource.contentType)
    if (type.startsWith('image/')) return (await this.#keepImage(resource, userId)) ?? {}
    if (type !== 'text/html' && type !== 'application/xhtml+xml') {
      resource.body.destroy()
      return {}
    }
    return this.#readPage(resource, userId, limits)
  }

  async #readPage(resource: WebResource, userId: UserId, limits: Limits): Promise<Preview> {
    const page = await readPage(resource)
    const base = resource.url
    if (page.oembedUrl !== undefined) {
      const href = URL.parse(page.oembedUrl, base)?.href
      const embed = href === undefined ? undefined : await this.#embed(href, base, limits)
      const properties = { ...embed?.properties, ...ofPage(page) }
      return this.#withImage(properties, [page.properties.get('og:image'), embed?.image, ...page.images], {
        base,
        userId,
        limits,
      })
    }
    return this.#withImage(ofPage(page), [page.properties.get('og:image'), ...page.images], { base, userId, limits })
  }

  async #embed(endpoint: string, pageUrl: string, limits: Limits): Promise<EmbedAnswer | undefined> {
    const text = await this.#try(endpoint, async () => {
      const { body } = await this.#web.open(endpoint, limits)
      return readText(body, EMBED_BYTES_MAX)
    })
    return text === undefined ? undefined : readEmbed(text, pageUrl)
  }

  /** Adds the first picture that there is; a page without its picture is still a preview. */
  async #withImage(
    properties: Readonly<Record<string, string>>,
    candidates: readonly (string | undefined)[],
    { base, userId, limits }: { base: string; userId: UserId; limits: Limits },
  ): Promise<Preview> {
    const plain = Object.fromEntries(Object.entries(properties).filter(([key]) => !/^og:image(?::|$)/.test(key)))
    const first = candidates.find((candidate) => candidate !== undefined)
    const href = first === undefined ? undefined : URL.parse(first, base)?.href
    if (href === undefined) return plain
    const image = await this.#try(href, async () => this.#keepImage(await this.#web.open(href, limits), userId))
    return { ...plain, ...image }
  }

  async #keepImage({ url, contentType, body }: WebResource, userId: UserId): Promise<Preview | undefined> {
    const type = mediaType(contentType)
    try {
      if (!type.startsWith('image/')) return undefined
      const kept = await this.#repository.keepPreviewImage(userId, { source: body, contentType: type, url })
      const { size } = kept
      return {
        'og:image': kept.uri,
        'og:image:type': type,
        'matrix:image:size': kept.sizeBytes,
        ...(size ? { 'og:image:width': size.width, 'og:image:height': size.height } : {}),
      }
    } finally {
      body.destroy()
    }
  }

  async #try<T>(url: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof OutgoingRequestError) && !(error instanceof MatrixError)) throw error
      this.#logger.debug('a part of a preview could not be fetched', { host: URL.parse(url)?.host ?? '', error })
      return undefined
    }
  }
}

interface Limits {
  readonly deadlineMs: number
}

function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function ofPage(page: ReturnType<PageReader['end']>): Record<string, string> {
  const properties = Object.fromEntries(page.properties)
  const title = properties['og:title'] ?? page.title
  const description = properties['og:description'] ?? page.description ?? (summarise(page.text) || undefined)
  const own = {
    ...properties,
    ...(title === undefined ? {} : { 'og:title': title }),
    ...(description === undefined ? {} : { 'og:description': description }),
  }
  return Object.fromEntries(Object.entries(own).map(([key, value]) => [key.toWellFormed(), value.toWellFormed()]))
}

async function readPage({ body, contentType }: WebResource): Promise<ReturnType<PageReader['end']>> {
  const reader = new PageReader()
  let decoder: TextDecoder | undefined
  for await (const chunk of body as AsyncIterable<Buffer>) {
    decoder ??= makeDecoder(chunk, contentType)
    reader.write(decoder.decode(chunk, { stream: true }))
    if (reader.isDone) break
  }
  return reader.end()
}

async function readText(body: WebResource['body'], bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bytesMax) throw new OutgoingRequestError('too_large', 'The answer is too large', { wasSent: true })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What the client is told, in the words and statuses of Synapse. */
function toPreviewError(error: unknown): unknown {
  if (!(error instanceof OutgoingRequestError)) return error
  const told = (message: string, status: number): MatrixError => new MatrixError('M_UNKNOWN', message, { status, cause: error })
  if (error.failure === 'blocked') return told('IP address blocked', 403)
  if (error.failure === 'too_large')
    return new MatrixError('M_TOO_LARGE', 'Requested file is too large', { status: 502, cause: error })
  return told('Failed to download remote content', 502)
}
