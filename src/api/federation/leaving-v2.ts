import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Brings a leave into the room. Errors: M_INVALID_PARAM, M_BAD_JSON, M_FORBIDDEN, M_NOT_FOUND. Spec: leaving-v2.yaml. */
export const sendLeaveV2 = federationEndpoint({
  operationId: 'sendLeaveV2',
  method: 'PUT',
  path: '/_matrix/federation/v2/send_leave/:roomId/:eventId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  body: Type.Object({}),
  async handler({ params, body, origin }, ctx) {
    await ctx.membershipReceiver.leave({
      origin,
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      pdu: body as JsonObject,
    })
    return {}
  },
})
