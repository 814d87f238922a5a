import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { reasonContent, resolveRoom, viaQuery } from './room-id-or-alias.ts'

/** Asks to be let into a room. Errors: M_FORBIDDEN, M_NOT_FOUND, M_LIMIT_EXCEEDED. Spec: knocking.yaml. */
export const knockRoom = clientEndpoint({
  operationId: 'knockRoom',
  method: 'POST',
  path: '/_matrix/client/v3/knock/:roomIdOrAlias',
  group: 'event_sending',
  auth: 'user',
  params: Type.Object({ roomIdOrAlias: Type.String() }),
  query: viaQuery,
  body: Type.Object({ reason: Type.Optional(Type.String()) }),
  isBodyOptional: true,
  isCanonicalBody: true,
  async handler({ params, query, body, requester }, ctx) {
    const { roomId, via } = await resolveRoom(params.roomIdOrAlias, query, ctx)
    await ctx.membershipChanges.knock(requester, roomId, reasonContent(body.reason), via)
    return { room_id: roomId }
  },
})
