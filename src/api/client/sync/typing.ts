import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { parseOwnUserId } from '../own-user.ts'

/** Says that the user types in a room, or has stopped. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: typing.yaml. */
export const setTyping = clientEndpoint({
  operationId: 'setTyping',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/:roomId/typing/:userId',
  group: 'typing',
  auth: 'user',
  params: Type.Object({ roomId: Type.String(), userId: Type.String() }),
  body: Type.Object({ typing: Type.Boolean(), timeout: Type.Optional(Type.Integer()) }),
  async handler({ params, body, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    // Shadow-banned users must not notice that nobody sees them type.
    if (requester.isShadowBanned) return {}
    ctx.presence.userActive(requester.userId, requester.deviceId)
    await ctx.typing.set({ userId, roomId: parseRoomId(params.roomId), isTyping: body.typing, timeoutMs: body.timeout })
    return {}
  },
})
