import { parseEventId, parseRoomId, parseUserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Prepares a knock for a user of the asking server to sign. Errors: M_INCOMPATIBLE_ROOM_VERSION, M_FORBIDDEN, M_NOT_FOUND. Spec: knocks.yaml. */
export const makeKnock = federationEndpoint({
  operationId: 'makeKnock',
  method: 'GET',
  path: '/_matrix/federation/v1/make_knock/:roomId/:userId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), userId: Type.String() }),
  query: Type.Object({ ver: Type.Array(Type.String(), { maxItems: 100 }) }),
  handler: ({ params, query, origin }, ctx) =>
    ctx.membershipTemplates.make({
      origin,
      roomId: parseRoomId(params.roomId),
      userId: parseUserId(params.userId),
      membership: 'knock',
      roomVersions: query.ver,
    }),
})

/** Brings a knock into the room. Errors: M_INVALID_PARAM, M_BAD_JSON, M_FORBIDDEN, M_NOT_FOUND. Spec: knocks.yaml. */
export const sendKnock = federationEndpoint({
  operationId: 'sendKnock',
  method: 'PUT',
  path: '/_matrix/federation/v1/send_knock/:roomId/:eventId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  body: Type.Object({}),
  async handler({ params, body, origin }, ctx) {
    const state = await ctx.membershipReceiver.knock({
      origin,
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      pdu: body as JsonObject,
    })
    return { knock_room_state: state }
  },
})
