import { SerializedJson } from '../../http/endpoint.ts'
import { parseEventId, parseRoomId, parseUserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Prepares a join for a user of the asking server to sign. Errors: M_INCOMPATIBLE_ROOM_VERSION, M_FORBIDDEN, M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN, M_NOT_FOUND. Spec: joins-v1.yaml. */
export const makeJoin = federationEndpoint({
  operationId: 'makeJoin',
  method: 'GET',
  path: '/_matrix/federation/v1/make_join/:roomId/:userId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), userId: Type.String() }),
  query: Type.Object({ ver: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })) }),
  handler: ({ params, query, origin }, ctx) =>
    ctx.membershipTemplates.make({
      origin,
      roomId: parseRoomId(params.roomId),
      userId: parseUserId(params.userId),
      membership: 'join',
      roomVersions: query.ver,
    }),
})

/** Brings a join into the room; the answer is a list, as the first servers wrote it. Errors: as sendJoinV2. Spec: joins-v1.yaml. */
export const sendJoinV1 = federationEndpoint({
  operationId: 'sendJoinV1',
  method: 'PUT',
  path: '/_matrix/federation/v1/send_join/:roomId/:eventId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  body: Type.Object({}),
  async handler({ params, body, origin }, ctx) {
    const request = {
      origin,
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      pdu: body as JsonObject,
    }
    return new SerializedJson(`[200,${await ctx.membershipReceiver.join(request, { omitsMembers: false })}]`)
  },
})
