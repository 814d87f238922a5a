import { parseRoomId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { chosenTimestamp } from '../appservice/timestamp.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { delayOf, sendingQuery } from './delayed-events.ts'

/**
 * Sets a state event. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON, M_BAD_ALIAS, M_INVALID_PARAM, M_TOO_LARGE.
 * Spec: room_state.yaml.
 */
export const setRoomStateWithKey = clientEndpoint({
  operationId: 'setRoomStateWithKey',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/:roomId/state/:eventType/:stateKey',
  otherPaths: ['v3', 'r0'].map((version) => `/_matrix/client/${version}/rooms/:roomId/state/:eventType`),
  group: 'event_sending',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String(), eventType: Type.String(), stateKey: Type.Optional(Type.String()) }),
  query: sendingQuery,
  body: Type.Object({}),
  isCanonicalBody: true,
  async handler({ params, query, body, requester }, ctx) {
    ctx.presence.userActive(requester.userId, requester.deviceId)
    const state = {
      roomId: parseRoomId(params.roomId),
      type: params.eventType,
      stateKey: params.stateKey ?? '',
      content: body as JsonObject,
      originServerTs: chosenTimestamp(requester, query),
    }
    const delayMs = delayOf(query)
    if (delayMs !== undefined)
      return { delay_id: await ctx.delayedEvents.schedule(requester, { ...state, transactionId: undefined, delayMs }) }
    const eventId = await ctx.eventCreator.setState(requester, state)
    return { event_id: eventId }
  },
})
