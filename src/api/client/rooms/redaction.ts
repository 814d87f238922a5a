import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Redacts an event. Idempotent by transaction id. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: redaction.yaml. */
export const redactEvent = clientEndpoint({
  operationId: 'redactEvent',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/:roomId/redact/:eventId/:txnId',
  group: 'event_sending',
  auth: 'user',
  params: Type.Object({ roomId: Type.String(), eventId: Type.String(), txnId: Type.String() }),
  body: Type.Object({ reason: Type.Optional(Type.String()) }),
  isBodyOptional: true,
  isCanonicalBody: true,
  async handler({ params, body, requester }, ctx) {
    ctx.presence.userActive(requester.userId, requester.deviceId)
    const eventId = await ctx.eventCreator.redact(requester, {
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      content: body as JsonObject,
      transactionId: params.txnId,
    })
    return { event_id: eventId }
  },
})
