import { SerializedJson } from '../../http/endpoint.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const PREVIEW = {
  method: 'GET',
  resource: 'media',
  group: 'media',
  auth: 'user',
  query: Type.Object({ url: Type.String(), ts: Type.Optional(Type.Integer({ minimum: 0 })) }),
} as const

/** Describes a web page. Errors: M_UNRECOGNIZED, M_UNKNOWN 403 and 502, M_TOO_LARGE 502. Spec: content-repo.yaml. */
export const getUrlPreview = clientEndpoint({
  ...PREVIEW,
  operationId: 'getUrlPreview',
  path: '/_matrix/media/v3/preview_url',
  otherPaths: ['/_matrix/media/r0/preview_url', '/_matrix/media/v1/preview_url'],
  async handler({ query, requester }, ctx) {
    return new SerializedJson(await ctx.urlPreviews.get(query.url, requester.userId))
  },
})

/** Describes a web page. Errors: M_UNRECOGNIZED, M_UNKNOWN 403 and 502, M_TOO_LARGE 502. Spec: authed-content-repo.yaml. */
export const getUrlPreviewAuthed = clientEndpoint({
  ...PREVIEW,
  operationId: 'getUrlPreviewAuthed',
  path: '/_matrix/client/v1/media/preview_url',
  otherPaths: ['/_matrix/client/unstable/org.matrix.msc3916/media/preview_url'],
  async handler({ query, requester }, ctx) {
    return new SerializedJson(await ctx.urlPreviews.get(query.url, requester.userId))
  },
})
