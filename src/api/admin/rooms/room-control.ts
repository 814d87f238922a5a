import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomId, parseUserId, serverNameOf } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'
import { resolveRoom, viaQuery } from '../../client/rooms/room-id-or-alias.ts'

const ROOMS = '/_synapse/admin/v1/rooms'
const params = Type.Object({ roomId: Type.String() })
const named = Type.Object({ roomIdOrAlias: Type.String() })

/** Tells whether a room is blocked. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/rooms.md, Block Room API. */
export const getRoomBlock = clientEndpoint({
  operationId: 'admin.getRoomBlock',
  method: 'GET',
  path: `${ROOMS}/:roomId/block`,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { roomId } }, ctx) {
    const userId = await ctx.blockedRooms.getBlockedBy(parseRoomId(roomId))
    return userId === undefined ? { block: false } : { block: true, user_id: userId }
  },
})

/** Blocks a room, known or not, or lets people in again. Idempotent. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON. As Synapse. */
export const putRoomBlock = clientEndpoint({
  operationId: 'admin.putRoomBlock',
  method: 'PUT',
  path: `${ROOMS}/:roomId/block`,
  group: 'admin',
  auth: 'admin',
  params,
  body: Type.Object({ block: Type.Boolean() }),
  async handler({ params: { roomId }, body, requester }, ctx) {
    await ctx.blockedRooms.set(parseRoomId(roomId), { isBlocked: body.block, userId: requester.userId })
    return { block: body.block }
  },
})

/** Joins one of our users to a room. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse: docs/admin_api/room_membership.md. */
export const joinUserToRoom = clientEndpoint({
  operationId: 'admin.joinRoom',
  method: 'POST',
  path: '/_synapse/admin/v1/join/:roomIdOrAlias',
  group: 'admin',
  auth: 'admin',
  params: named,
  query: viaQuery,
  body: Type.Object({ user_id: Type.String() }),
  async handler({ params: { roomIdOrAlias }, query, body, requester }, ctx) {
    const userId = parseUserId(body.user_id)
    if (serverNameOf(userId) !== ctx.config.server.serverName)
      throw new MatrixError('M_UNKNOWN', 'This endpoint can only be used with local users', { status: 400 })
    await ctx.adminAccounts.get(userId)
    const { roomId, via } = await resolveRoom(roomIdOrAlias, query, ctx)
    await ctx.roomPromotion.join(requester, { userId, roomId, via })
    return { room_id: roomId }
  },
})

/** Gives a user the power of the mightiest of ours in a room. Errors: M_FORBIDDEN, M_UNKNOWN. As Synapse: docs/admin_api/rooms.md. */
export const makeRoomAdmin = clientEndpoint({
  operationId: 'admin.makeRoomAdmin',
  method: 'POST',
  path: `${ROOMS}/:roomIdOrAlias/make_room_admin`,
  group: 'admin',
  auth: 'admin',
  params: named,
  body: Type.Object({ user_id: Type.Optional(Type.String()) }),
  isBodyOptional: true,
  async handler({ params: { roomIdOrAlias }, body, requester }, ctx) {
    const { roomId } = await resolveRoom(roomIdOrAlias, {}, ctx)
    await ctx.roomPromotion.makeAdmin(roomId, body.user_id === undefined ? requester.userId : parseUserId(body.user_id))
    return {}
  },
})

/** Shows the heads of a room's event graph. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/rooms.md. */
export const getForwardExtremities = clientEndpoint({
  operationId: 'admin.getForwardExtremities',
  method: 'GET',
  path: `${ROOMS}/:roomIdOrAlias/forward_extremities`,
  group: 'admin',
  auth: 'admin',
  params: named,
  async handler({ params: { roomIdOrAlias } }, ctx) {
    const { roomId } = await resolveRoom(roomIdOrAlias, {}, ctx)
    const extremities = await ctx.adminRooms.getExtremities(roomId)
    const results = extremities.map((one) => ({
      event_id: one.eventId,
      state_group: one.basePos,
      depth: one.depth,
      received_ts: one.originServerTs,
    }))
    return { count: results.length, results }
  },
})

/** Leaves a room only the newest head of its event graph. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/rooms.md. */
export const deleteForwardExtremities = clientEndpoint({
  operationId: 'admin.deleteForwardExtremities',
  method: 'DELETE',
  path: `${ROOMS}/:roomIdOrAlias/forward_extremities`,
  group: 'admin',
  auth: 'admin',
  params: named,
  async handler({ params: { roomIdOrAlias } }, ctx) {
    const { roomId } = await resolveRoom(roomIdOrAlias, {}, ctx)
    return { deleted: await ctx.adminRooms.trimExtremities(roomId) }
  },
})
