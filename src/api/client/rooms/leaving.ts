import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { reasonContent } from './room-id-or-alias.ts'

/** Leaves a room, rejects an invite, or takes a knock back. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: leaving.yaml. */
export const leaveRoom = clientEndpoint({
  operationId: 'leaveRoom',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/leave',
  group: 'event_sending',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({ reason: Type.Optional(Type.String()) }),
  isBodyOptional: true,
  isCanonicalBody: true,
  async handler({ params, body, requester }, ctx) {
    await ctx.membershipChanges.leave(requester, parseRoomId(params.roomId), reasonContent(body.reason))
    return {}
  },
})

/** Forgets a room that was left. Errors: 400 M_UNKNOWN while still in it. Spec: leaving.yaml. */
export const forgetRoom = clientEndpoint({
  operationId: 'forgetRoom',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/forget',
  group: 'event_sending',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  async handler({ params, requester }, ctx) {
    await ctx.membershipChanges.forget(requester, parseRoomId(params.roomId))
    return {}
  },
})
