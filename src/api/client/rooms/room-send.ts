import { parseRoomId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { chosenTimestamp } from '../appservice/timestamp.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { delayOf, isDelayed, sendingQuery } from './delayed-events.ts'

/**
 * Sends a message event. Idempotent by transaction id.
 * Errors: M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE, M_BAD_JSON, M_DUPLICATE_ANNOTATION, M_LIMIT_EXCEEDED. Spec: room_send.yaml.
 */
export const sendMessage = clientEndpoint({
  operationId: 'sendMessage',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/:roomId/send/:eventType/:txnId',
  group: 'event_sending',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String(), eventType: Type.String(), txnId: Type.String() }),
  query: sendingQuery,
  body: Type.Object({}),
  isBodyOptional: isDelayed,
  isCanonicalBody: true,
  async handler({ params, query, body, requester }, ctx) {
    ctx.presence.userActive(requester.userId, requester.deviceId)
    const message = {
      roomId: parseRoomId(params.roomId),
      type: params.eventType,
      content: body as JsonObject,
      transactionId: params.txnId,
      originServerTs: chosenTimestamp(requester, query),
    }
    const delayMs = delayOf(query)
    if (delayMs !== undefined)
      return { delay_id: await ctx.delayedEvents.schedule(requester, { ...message, stateKey: undefined, delayMs }) }
    const eventId = await ctx.eventCreator.send(requester, message)
    return { event_id: eventId }
  },
})
