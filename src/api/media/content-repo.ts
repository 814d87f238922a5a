import type { HttpRequest } from '../../http/endpoint.ts'
import type { UploadRequest } from '../../services/media/media-repository.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'
import { downloadQuery, mediaHandlers, mediaParams, namedMediaParams, thumbnailQuery } from './send-media.ts'

const MEDIA = { resource: 'media', group: 'media' } as const
const { download, thumbnail } = mediaHandlers({ isAuthenticated: false })

/** The current path of the old media API, and its historical ones. */
function mediaPaths(path: string): { path: string; otherPaths: string[] } {
  return { path: `/_matrix/media/v3${path}`, otherPaths: [`/_matrix/media/r0${path}`, `/_matrix/media/v1${path}`] }
}

function uploadOf(request: HttpRequest): UploadRequest {
  const declared = request.headers['content-length']
  return {
    source: request.bodyStream,
    declaredBytes: declared === undefined ? undefined : Number(declared),
    contentType: request.headers['content-type'],
    uploadName: request.query.get('filename')?.[0],
  }
}

/** Uploads media. Errors: M_TOO_LARGE, M_FORBIDDEN, M_RESOURCE_LIMIT_EXCEEDED. Spec: content-repo.yaml. */
export const uploadContent = clientEndpoint({
  operationId: 'uploadContent',
  method: 'POST',
  ...mediaPaths('/upload'),
  ...MEDIA,
  auth: 'user',
  async handler({ requester, request }, ctx) {
    return { content_uri: await ctx.mediaRepository.upload(requester, uploadOf(request)) }
  },
})

/** Uploads media to an id made before. Errors: M_FORBIDDEN, M_NOT_FOUND, M_CANNOT_OVERWRITE_MEDIA, M_TOO_LARGE. Spec: content-repo.yaml. */
export const uploadContentToMXC = clientEndpoint({
  operationId: 'uploadContentToMXC',
  method: 'PUT',
  ...mediaPaths('/upload/:serverName/:mediaId'),
  ...MEDIA,
  auth: 'user',
  params: mediaParams,
  async handler({ params, requester, request }, ctx) {
    await ctx.mediaRepository.uploadTo(requester, params, uploadOf(request))
    return {}
  },
})

/** Makes an id to upload to later. Errors: M_LIMIT_EXCEEDED. Spec: content-repo.yaml. */
export const createContent = clientEndpoint({
  operationId: 'createContent',
  method: 'POST',
  path: '/_matrix/media/v1/create',
  ...MEDIA,
  auth: 'user',
  async handler({ requester }, ctx) {
    const { contentUri, unusedExpiresTsMs } = await ctx.mediaRepository.create(requester)
    return { content_uri: contentUri, unused_expires_at: unusedExpiresTsMs }
  },
})

/** Downloads media that may be had without an access token. Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED. Spec: content-repo.yaml. */
export const getContent = clientEndpoint({
  operationId: 'getContent',
  method: 'GET',
  ...mediaPaths('/download/:serverName/:mediaId'),
  ...MEDIA,
  auth: 'none',
  params: mediaParams,
  query: downloadQuery,
  handler: download,
})

/** Like `getContent`, under another name. Spec: content-repo.yaml. */
export const getContentOverrideName = clientEndpoint({
  operationId: 'getContentOverrideName',
  method: 'GET',
  ...mediaPaths('/download/:serverName/:mediaId/:fileName'),
  ...MEDIA,
  auth: 'none',
  params: namedMediaParams,
  query: downloadQuery,
  handler: download,
})

/** A thumbnail of media that may be had without an access token. Errors: M_NOT_FOUND, M_UNKNOWN, M_TOO_LARGE. Spec: content-repo.yaml. */
export const getContentThumbnail = clientEndpoint({
  operationId: 'getContentThumbnail',
  method: 'GET',
  ...mediaPaths('/thumbnail/:serverName/:mediaId'),
  ...MEDIA,
  auth: 'none',
  params: mediaParams,
  query: thumbnailQuery,
  handler: thumbnail,
})

/** Tells how large uploads may be. Spec: content-repo.yaml. */
export const getConfig = clientEndpoint({
  operationId: 'getConfig',
  method: 'GET',
  ...mediaPaths('/config'),
  ...MEDIA,
  auth: 'guest',
  async handler(_input, ctx) {
    return { 'm.upload.size': ctx.mediaRepository.uploadBytesMax }
  },
})
