import { parseRoomId, parseUserId } from '../../../protocol/ids.ts'
import { MEDIA_ORDERS } from '../../../storage/tables/media-care.ts'
import type { LocalMediaFacts, MediaOrder, MediaPage } from '../../../storage/tables/media-care.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'

const USER_MEDIA = '/_synapse/admin/v1/users/:userId/media'
const LIMIT_MAX = 10_000
const ADMIN = { resource: 'media', group: 'media_admin', auth: 'admin' } as const
const direction = Type.Union([Type.Literal('b'), Type.Literal('f')])
const oneOf = (orders: Readonly<Record<string, string>>) => Type.Union(Object.keys(orders).map((order) => Type.Literal(order)))
const room = Type.Object({ roomId: Type.String() })
const user = Type.Object({ userId: Type.String() })
const page = {
  from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
  limit: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 100 }),
}
const mediaQuery = Type.Object({ ...page, order_by: Type.Optional(oneOf(MEDIA_ORDERS)), dir: Type.Optional(direction) })

/** Lists the media that a room's readable events name. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/media_admin_api.md. */
export const listRoomMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.listRoomMedia',
  method: 'GET',
  path: '/_synapse/admin/v1/room/:roomId/media',
  params: room,
  handler: ({ params }, ctx) => ctx.mediaCare.listOfRoom(parseRoomId(params.roomId)),
})

/** Hides the media of a room. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse. */
export const quarantineRoomMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.quarantineRoomMedia',
  method: 'POST',
  path: '/_synapse/admin/v1/room/:roomId/media/quarantine',
  otherPaths: ['/_synapse/admin/v1/quarantine_media/:roomId'],
  params: room,
  async handler({ params, requester }, ctx) {
    return { num_quarantined: await ctx.mediaCare.quarantineRoom(parseRoomId(params.roomId), requester.userId) }
  },
})

/** Hides the uploads of a user. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse. */
export const quarantineUserMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.quarantineUserMedia',
  method: 'POST',
  path: '/_synapse/admin/v1/user/:userId/media/quarantine',
  params: user,
  async handler({ params, requester }, ctx) {
    return { num_quarantined: await ctx.mediaCare.quarantineUser(parseUserId(params.userId), requester.userId) }
  },
})

/** Lists the uploads of a user. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse: docs/admin_api/user_admin_api.md. */
export const listUserMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.listUserMedia',
  method: 'GET',
  path: USER_MEDIA,
  params: user,
  query: mediaQuery,
  async handler({ params, query }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const { media, total } = await ctx.mediaCare.listOfUser(userId, pageOf(query))
    const next = query.from + media.length
    return { media: media.map(mediaJson), total, ...(next < total && media.length > 0 ? { next_token: next } : {}) }
  },
})

/** Deletes uploads of a user, a page of them. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const deleteUserMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.deleteUserMedia',
  method: 'DELETE',
  path: USER_MEDIA,
  params: user,
  query: mediaQuery,
  async handler({ params, query }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const { media } = await ctx.mediaCare.listOfUser(userId, pageOf(query))
    const deleted = await ctx.mediaCare.deleteLocal(media.map(({ mediaId }) => mediaId))
    return { deleted_media: deleted, total: deleted.length }
  },
})

/** Without a word on the order, the newest come first. */
function pageOf(query: { from: number; limit: number; order_by?: string; dir?: string }): MediaPage {
  const isPlain = query.order_by === undefined && query.dir === undefined
  return {
    orderBy: (query.order_by ?? 'created_ts') as MediaOrder,
    isReversed: isPlain || query.dir === 'b',
    offset: query.from,
    limit: Math.min(query.limit, LIMIT_MAX),
  }
}

function mediaJson(media: LocalMediaFacts): Record<string, unknown> {
  return {
    created_ts: media.createdTsMs,
    last_access_ts: media.lastAccessTsMs,
    media_id: media.mediaId,
    media_length: media.sizeBytes,
    media_type: media.contentType,
    quarantined_by: media.quarantinedBy,
    safe_from_quarantine: media.isSafeFromQuarantine,
    upload_name: media.uploadName,
  }
}
