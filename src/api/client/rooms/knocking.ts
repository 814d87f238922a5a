import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { reasonContent, resolveRoom } from './room-id-or-alias.ts'

/** Asks to be let into a room. Errors: M_FORBIDDEN, M_NOT_FOUND, M_LIMIT_EXCEEDED. Spec: knocking.yaml. */
export const knockRoom = clientEndpoint({
  operationId: 'knockRoom',
  method: 'POST',
  path: '/_matrix/client/v3/knock/:roomIdOrAlias',
  group: 'event_sending',
  auth: 'user',
  params: Type.Object({ roomIdOrAlias: Type.String() }),
  body: Type.Object({ reason: Type.Optional(Type.String()) }),
  isBodyOptional: true,
  isCanonicalBody: true,
  async handler({ params, body, requester }, ctx) {
    const roomId = await resolveRoom(params.roomIdOrAlias, ctx.roomAliases)
    await ctx.membershipChanges.knock(requester, roomId, reasonContent(body.reason))
    return { room_id: roomId }
  },
})
