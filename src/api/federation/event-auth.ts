import { SerializedJson } from '../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Gives the complete auth chain of an event. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: event_auth.yaml. */
export const getEventAuth = federationEndpoint({
  operationId: 'getEventAuth',
  method: 'GET',
  path: '/_matrix/federation/v1/event_auth/:roomId/:eventId',
  group: 'federation_reads',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  async handler({ params, origin }, ctx) {
    const chain = await ctx.stateServer.getAuthChain(origin, parseRoomId(params.roomId), parseEventId(params.eventId))
    return new SerializedJson(`{"auth_chain":[${chain.join(',')}]}`)
  },
})
