import { parseRoomId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { parseOwnUserId } from '../own-user.ts'

const PATH = '/_matrix/client/v3/user/:userId/rooms/:roomId/tags'
const tagParams = Type.Object({ userId: Type.String(), roomId: Type.String(), tag: Type.String() })

/** Lists the user's tags of a room. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: tags.yaml. */
export const getRoomTags = clientEndpoint({
  operationId: 'getRoomTags',
  method: 'GET',
  path: PATH,
  group: 'account_data',
  auth: 'user',
  params: Type.Object({ userId: Type.String(), roomId: Type.String() }),
  async handler({ params, requester }, ctx) {
    return { tags: await ctx.tags.get(parseOwnUserId(params.userId, requester), parseRoomId(params.roomId)) }
  },
})

/** Adds a tag to a room, or replaces its content. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: tags.yaml. */
export const setRoomTag = clientEndpoint({
  operationId: 'setRoomTag',
  method: 'PUT',
  path: `${PATH}/:tag`,
  group: 'account_data',
  auth: 'user',
  params: tagParams,
  // Older clients write the order as a string; they must be able to read it back.
  body: Type.Object({ order: Type.Optional(Type.Union([Type.Number(), Type.String(), Type.Null()])) }),
  async handler({ params, body, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    await ctx.tags.set({ userId, roomId: parseRoomId(params.roomId), tag: params.tag }, body as JsonObject)
    return {}
  },
})

/** Takes a tag away from a room. Idempotent. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: tags.yaml. */
export const deleteRoomTag = clientEndpoint({
  operationId: 'deleteRoomTag',
  method: 'DELETE',
  path: `${PATH}/:tag`,
  group: 'account_data',
  auth: 'user',
  params: tagParams,
  async handler({ params, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    await ctx.tags.delete({ userId, roomId: parseRoomId(params.roomId), tag: params.tag })
    return {}
  },
})
