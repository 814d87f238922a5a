import { OwnResponse } from '../../http/endpoint.ts'
import { Readable } from 'node:stream'
import { Type } from '../../util/schema.ts'
import type { FoundMedia } from '../../services/media/media-repository.ts'
import type { OpenMedia } from '../../services/media/media-store.ts'
import { contentDisposition } from '../media/media-headers.ts'
import type { FederationContext } from './context.ts'
import { federationEndpoint } from './federation-endpoint.ts'

const BOUNDARY_LETTERS = 32
const MEDIA = { resource: 'media', group: 'media' } as const
const params = Type.Object({ mediaId: Type.String() })
const timeout = { timeout_ms: Type.Optional(Type.Integer()) }

/** Gives media of ours. Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED. Spec: content_repository.yaml. */
export const getContent = federationEndpoint({
  operationId: 'getContent',
  method: 'GET',
  path: '/_matrix/federation/v1/media/download/:mediaId',
  otherPaths: ['/_matrix/federation/unstable/org.matrix.msc3916.v2/media/download/:mediaId'],
  ...MEDIA,
  auth: 'signed',
  params,
  query: Type.Object(timeout),
  async handler({ params: { mediaId }, query, request }, ctx) {
    const media = await find(ctx, { mediaId, timeoutMs: query.timeout_ms, signal: request.signal })
    return multipart(ctx, {
      contentType: media.contentType,
      fileName: media.uploadName,
      sizeBytes: media.sizeBytes,
      body: await ctx.mediaRepository.open(media),
    })
  },
})

/** Gives a thumbnail of media of ours. Errors: M_NOT_FOUND, M_UNKNOWN 400, M_TOO_LARGE, M_NOT_YET_UPLOADED. Spec: content_repository.yaml. */
export const getContentThumbnail = federationEndpoint({
  operationId: 'getContentThumbnail',
  method: 'GET',
  path: '/_matrix/federation/v1/media/thumbnail/:mediaId',
  otherPaths: ['/_matrix/federation/unstable/org.matrix.msc3916.v2/media/thumbnail/:mediaId'],
  ...MEDIA,
  auth: 'signed',
  params,
  query: Type.Object({
    width: Type.Integer(),
    height: Type.Integer(),
    method: Type.Optional(Type.Union([Type.Literal('crop'), Type.Literal('scale')])),
    animated: Type.Optional(Type.Boolean()),
    ...timeout,
  }),
  async handler({ params: { mediaId }, query, request }, ctx) {
    const media = await find(ctx, { mediaId, timeoutMs: query.timeout_ms, signal: request.signal })
    const { width, height, method = 'scale', animated: isAnimated = false } = query
    const thumbnail = await ctx.thumbnails.get(media, { width, height, method, isAnimated })
    const fileName = `thumbnail.${thumbnail.contentType.split('/')[1] ?? 'png'}`
    return multipart(ctx, { ...thumbnail, fileName })
  },
})

function find(
  ctx: FederationContext,
  lookup: { readonly mediaId: string; readonly timeoutMs: number | undefined; readonly signal: AbortSignal },
): Promise<FoundMedia> {
  return ctx.mediaRepository.find({ ...lookup, serverName: ctx.serverName, isAuthenticated: true })
}

/** Two parts: the media's metadata, of which there is none, and its bytes. Nothing of it is held in memory. */
async function multipart(
  ctx: FederationContext,
  media: {
    readonly contentType: string
    readonly fileName: string | undefined
    readonly sizeBytes: number
    readonly body: Buffer | OpenMedia
  },
): Promise<OwnResponse> {
  const boundary = ctx.random.letters(BOUNDARY_LETTERS)
  const head =
    `--${boundary}\r\nContent-Type: application/json\r\n\r\n{}\r\n--${boundary}\r\nContent-Type: ${media.contentType}\r\n` +
    `Content-Disposition: ${contentDisposition(media.contentType, media.fileName)}\r\n\r\n`
  const tail = `\r\n--${boundary}--\r\n`
  const content = parts(head, media.body, tail)
  // Started here, so that its end closes the file even where nobody reads any of it.
  await content.next()
  return new OwnResponse({
    status: 200,
    contentType: `multipart/mixed; boundary=${boundary}`,
    headers: { 'content-length': String(Buffer.byteLength(head) + media.sizeBytes + Buffer.byteLength(tail)) },
    body: Readable.from(content, { objectMode: false }),
  })
}

async function* parts(head: string, body: Buffer | OpenMedia, tail: string): AsyncGenerator<Buffer> {
  try {
    yield Buffer.alloc(0)
    yield Buffer.from(head)
    if (Buffer.isBuffer(body)) yield body
    else if (body.sizeBytes > 0) yield* body.handle.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>
    yield Buffer.from(tail)
  } finally {
    if (!Buffer.isBuffer(body)) await body.handle.close()
  }
}
