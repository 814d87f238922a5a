import { OwnResponse } from '../../http/endpoint.ts'
import type { Static } from 'typebox'
import type { HttpRequest, HttpResponse } from '../../http/endpoint.ts'
import type { FoundMedia, MediaRepository } from '../../services/media/media-repository.ts'
import type { OpenMedia } from '../../services/media/media-store.ts'
import type { Thumbnails } from '../../services/media/thumbnails.ts'
import type { ThumbnailSize } from '../../services/media/thumbnail-sizes.ts'
import { Type } from '../../util/schema.ts'
import { matchesEtag, mediaHeaders, parseRange } from './media-headers.ts'

interface MediaServices {
  readonly mediaRepository: MediaRepository
  readonly thumbnails: Thumbnails
}

const lookupQuery = { timeout_ms: Type.Optional(Type.Integer()), allow_remote: Type.Optional(Type.Boolean()) }

/** Path parameters of media. */
export const mediaParams = Type.Object({ serverName: Type.String(), mediaId: Type.String() })
/** Path parameters of media with another name for the file. */
export const namedMediaParams = Type.Object({ serverName: Type.String(), mediaId: Type.String(), fileName: Type.String() })
/** Query of downloads. `allow_remote` belongs to the endpoints without access token. */
export const downloadQuery = Type.Object(lookupQuery)
/** Query of thumbnails. */
export const thumbnailQuery = Type.Object({
  ...lookupQuery,
  width: Type.Integer(),
  height: Type.Integer(),
  method: Type.Optional(Type.Union([Type.Literal('crop'), Type.Literal('scale')])),
  animated: Type.Optional(Type.Boolean()),
})

interface Lookup<Query> {
  readonly params: { readonly serverName: string; readonly mediaId: string; readonly fileName?: string }
  readonly query: Query
  readonly request: HttpRequest
}

/** The two handlers that the endpoints with access token and the old ones share. */
export function mediaHandlers({ isAuthenticated }: { readonly isAuthenticated: boolean }): {
  readonly download: (lookup: Lookup<Static<typeof downloadQuery>>, services: MediaServices) => Promise<OwnResponse>
  readonly thumbnail: (lookup: Lookup<Static<typeof thumbnailQuery>>, services: MediaServices) => Promise<OwnResponse>
} {
  return {
    download: ({ params, query, request }, services) =>
      sendDownload(services, request, {
        ...params,
        timeoutMs: query.timeout_ms,
        isRemoteAllowed: query.allow_remote,
        isAuthenticated,
      }),
    thumbnail: ({ params, query, request }, services) =>
      sendThumbnail(services, request, {
        ...params,
        size: { width: query.width, height: query.height, method: query.method ?? 'scale' },
        isAnimated: query.animated ?? false,
        timeoutMs: query.timeout_ms,
        isRemoteAllowed: query.allow_remote,
        isAuthenticated,
      }),
  }
}

/** What a download names. */
interface MediaTarget {
  readonly serverName: string
  readonly mediaId: string
  readonly timeoutMs: number | undefined
  readonly isRemoteAllowed: boolean | undefined
  /** Whether this is one of the endpoints that ask for an access token. */
  readonly isAuthenticated: boolean
}

/** Answers a download: all of it, a range of it, or 304 where the client has it. */
async function sendDownload(
  services: MediaServices,
  request: HttpRequest,
  target: MediaTarget & { fileName?: string },
): Promise<OwnResponse> {
  const media = await services.mediaRepository.find({ ...target, signal: request.signal })
  const etag = `"${media.sha256?.toString('base64url') ?? media.mediaId}"`
  const fileName = target.fileName ?? media.uploadName
  const headers = mediaHeaders({ contentType: media.contentType, fileName, etag, isAuthenticated: target.isAuthenticated })
  if (matchesEtag(request.headers['if-none-match'], etag)) return new OwnResponse({ status: 304, headers })
  return new OwnResponse(await sendBytes(services, request, { media, headers, etag }))
}

async function sendBytes(
  services: MediaServices,
  request: HttpRequest,
  answer: { media: FoundMedia; headers: Record<string, string>; etag: string },
): Promise<HttpResponse> {
  const { media, headers, etag } = answer
  const ifRange = request.headers['if-range']
  const isRangeAsked = ifRange === undefined || ifRange === etag
  const range = isRangeAsked ? parseRange(request.headers.range, media.sizeBytes) : undefined
  if (range === 'unsatisfiable')
    return { status: 416, headers: { ...headers, 'content-range': `bytes */${media.sizeBytes}` }, body: '' }
  const file = await services.mediaRepository.open(media)
  const { start, end } = range ?? { start: 0, end: media.sizeBytes - 1 }
  return {
    status: range ? 206 : 200,
    contentType: media.contentType,
    headers: {
      ...headers,
      'content-length': String(end - start + 1),
      ...(range ? { 'content-range': `bytes ${start}-${end}/${media.sizeBytes}` } : {}),
    },
    body: await streamOf(file, start, end),
  }
}

/** Answers with a thumbnail, made now if need be. */
async function sendThumbnail(
  services: MediaServices,
  request: HttpRequest,
  target: MediaTarget & { size: ThumbnailSize; isAnimated: boolean },
): Promise<OwnResponse> {
  const media = await services.mediaRepository.find({ ...target, signal: request.signal })
  const thumbnail = await services.thumbnails.get(media, { ...target.size, isAnimated: target.isAnimated })
  const { width, height, method } = target.size
  const etag = `"${media.fileId}-${width}-${height}-${method}${target.isAnimated ? '-animated' : ''}"`
  const fileName = `thumbnail.${thumbnail.contentType.split('/')[1] ?? 'png'}`
  const headers = mediaHeaders({ contentType: thumbnail.contentType, fileName, etag, isAuthenticated: target.isAuthenticated })
  const { body } = thumbnail
  if (matchesEtag(request.headers['if-none-match'], etag)) {
    if (!Buffer.isBuffer(body)) await body.handle.close()
    return new OwnResponse({ status: 304, headers })
  }
  return new OwnResponse({
    status: 200,
    contentType: thumbnail.contentType,
    headers: { ...headers, 'content-length': String(thumbnail.sizeBytes) },
    body: Buffer.isBuffer(body) ? body : await streamOf(body, 0, thumbnail.sizeBytes - 1),
  })
}

async function streamOf(file: OpenMedia, start: number, end: number): Promise<NonNullable<HttpResponse['body']>> {
  if (end >= start) return file.handle.createReadStream({ start, end })
  await file.handle.close()
  return Buffer.alloc(0)
}
