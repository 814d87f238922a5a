import { parseRoomId, parseUserId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { reasonContent } from './room-id-or-alias.ts'

/** Removes a user from a room. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: kicking.yaml. */
export const kick = clientEndpoint({
  operationId: 'kick',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/kick',
  group: 'event_sending',
  auth: 'user',
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({ user_id: Type.String(), reason: Type.Optional(Type.String()) }),
  isCanonicalBody: true,
  async handler({ params, body, requester }, ctx) {
    const change = { roomId: parseRoomId(params.roomId), userId: parseUserId(body.user_id), content: reasonContent(body.reason) }
    await ctx.membershipChanges.kick(requester, change)
    return {}
  },
})
