import { parseEventId, parseRoomId, parseUserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Prepares a leave for a user of the asking server to sign. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: leaving-v1.yaml. */
export const makeLeave = federationEndpoint({
  operationId: 'makeLeave',
  method: 'GET',
  path: '/_matrix/federation/v1/make_leave/:roomId/:userId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), userId: Type.String() }),
  handler: ({ params, origin }, ctx) =>
    ctx.membershipTemplates.make({
      origin,
      roomId: parseRoomId(params.roomId),
      userId: parseUserId(params.userId),
      membership: 'leave',
      roomVersions: undefined,
    }),
})

/** Brings a leave into the room; the answer is a list, as the first servers wrote it. Errors: as sendLeaveV2. Spec: leaving-v1.yaml. */
export const sendLeaveV1 = federationEndpoint({
  operationId: 'sendLeaveV1',
  method: 'PUT',
  path: '/_matrix/federation/v1/send_leave/:roomId/:eventId',
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
    return [200, {}]
  },
})
