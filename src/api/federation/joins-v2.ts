import { SerializedJson } from '../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Brings a join into the room. Errors: M_INVALID_PARAM, M_BAD_JSON, M_FORBIDDEN, M_NOT_FOUND. Spec: joins-v2.yaml. */
export const sendJoinV2 = federationEndpoint({
  operationId: 'sendJoinV2',
  method: 'PUT',
  path: '/_matrix/federation/v2/send_join/:roomId/:eventId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  query: Type.Object({
    omit_members: Type.Optional(Type.Boolean()),
    'org.matrix.msc3706.partial_state': Type.Optional(Type.Boolean()),
  }),
  body: Type.Object({}),
  async handler({ params, query, body, origin }, ctx) {
    const request = {
      origin,
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      pdu: body as JsonObject,
    }
    const omitsMembers = query.omit_members ?? query['org.matrix.msc3706.partial_state'] ?? false
    return new SerializedJson(await ctx.membershipReceiver.join(request, { omitsMembers }))
  },
})
