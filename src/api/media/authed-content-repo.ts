import { clientEndpoint } from '../client/client-endpoint.ts'
import { downloadQuery, mediaHandlers, mediaParams, namedMediaParams, thumbnailQuery } from './send-media.ts'

const MEDIA = { resource: 'media', group: 'media' } as const
const { download, thumbnail } = mediaHandlers({ isAuthenticated: true })

/** The path, and where MSC3916 stood while it was unstable. */
function authedPaths(path: string): { path: string; otherPaths: string[] } {
  return { path: `/_matrix/client/v1/media${path}`, otherPaths: [`/_matrix/client/unstable/org.matrix.msc3916/media${path}`] }
}

/** Downloads media. Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED. Spec: authed-content-repo.yaml. */
export const getContentAuthed = clientEndpoint({
  operationId: 'getContentAuthed',
  method: 'GET',
  ...authedPaths('/download/:serverName/:mediaId'),
  ...MEDIA,
  auth: 'guest',
  params: mediaParams,
  query: downloadQuery,
  handler: download,
})

/** Downloads media under another name. Errors: M_NOT_FOUND, M_NOT_YET_UPLOADED. Spec: authed-content-repo.yaml. */
export const getContentOverrideNameAuthed = clientEndpoint({
  operationId: 'getContentOverrideNameAuthed',
  method: 'GET',
  ...authedPaths('/download/:serverName/:mediaId/:fileName'),
  ...MEDIA,
  auth: 'guest',
  params: namedMediaParams,
  query: downloadQuery,
  handler: download,
})

/** A thumbnail of media. Errors: M_NOT_FOUND, M_UNKNOWN 400, M_TOO_LARGE, M_NOT_YET_UPLOADED. Spec: authed-content-repo.yaml. */
export const getContentThumbnailAuthed = clientEndpoint({
  operationId: 'getContentThumbnailAuthed',
  method: 'GET',
  ...authedPaths('/thumbnail/:serverName/:mediaId'),
  ...MEDIA,
  auth: 'guest',
  params: mediaParams,
  query: thumbnailQuery,
  handler: thumbnail,
})

/** Tells how large uploads may be. Spec: authed-content-repo.yaml. */
export const getConfigAuthed = clientEndpoint({
  operationId: 'getConfigAuthed',
  method: 'GET',
  ...authedPaths('/config'),
  ...MEDIA,
  auth: 'guest',
  async handler(_input, ctx) {
    return { 'm.upload.size': ctx.mediaRepository.uploadBytesMax }
  },
})
