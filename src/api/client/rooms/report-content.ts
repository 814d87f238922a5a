import { parseEventId, parseRoomId, parseUserId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Reports an event to the administrators. Errors: M_NOT_FOUND, M_LIMIT_EXCEEDED. Spec: report_content.yaml. */
export const reportEvent = clientEndpoint({
  operationId: 'reportEvent',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/report/:eventId',
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  body: Type.Object({
    reason: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    // Up to v1.17: how offensive, from -100 to 0.
    score: Type.Optional(Type.Union([Type.Integer({ minimum: -2_147_483_648, maximum: 2_147_483_647 }), Type.Null()])),
  }),
  async handler({ params, body, requester }, ctx) {
    await ctx.reports.reportEvent(requester, {
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      reason: body.reason ?? undefined,
      score: body.score ?? undefined,
    })
    return {}
  },
})

/** Reports a room to the administrators. Errors: M_NOT_FOUND, M_LIMIT_EXCEEDED. Spec: report_content.yaml. */
export const reportRoom = clientEndpoint({
  operationId: 'reportRoom',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/report',
  otherPaths: ['/_matrix/client/unstable/org.matrix.msc4151/rooms/:roomId/report'],
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({ reason: Type.String() }),
  async handler({ params, body, requester }, ctx) {
    await ctx.reports.reportRoom(requester, { roomId: parseRoomId(params.roomId), reason: body.reason })
    return {}
  },
})

/** Reports a user to the administrators. Errors: M_LIMIT_EXCEEDED. Spec: report_content.yaml. */
export const reportUser = clientEndpoint({
  operationId: 'reportUser',
  method: 'POST',
  path: '/_matrix/client/v3/users/:userId/report',
  otherPaths: ['/_matrix/client/unstable/org.matrix.msc4260/users/:userId/report'],
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ userId: Type.String() }),
  body: Type.Object({ reason: Type.String() }),
  async handler({ params, body, requester }, ctx) {
    await ctx.reports.reportUser(requester, { userId: parseUserId(params.userId), reason: body.reason })
    return {}
  },
})
