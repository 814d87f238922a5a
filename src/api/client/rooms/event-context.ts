import { SerializedJson } from '../../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { FILTER_CHARACTERS_MAX, formatPageToken, parsePageLimit, parseQueryFilter } from './page-parameters.ts'

const CONTEXT_EVENTS_MAX = 100

/** Reads an event with what stands around it. Errors: M_NOT_FOUND, M_INVALID_PARAM, M_BAD_JSON. Spec: event_context.yaml. */
export const getEventContext = clientEndpoint({
  operationId: 'getEventContext',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/:roomId/context/:eventId',
  group: 'room_messages',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  query: Type.Object({
    limit: Type.Optional(Type.Integer()),
    filter: Type.Optional(Type.String({ maxLength: FILTER_CHARACTERS_MAX })),
  }),
  async handler({ params, query, requester }, ctx) {
    const context = await ctx.roomMessages.getContext(await ctx.roomMessages.readerOf(requester), {
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      limit: parsePageLimit(query.limit, { max: CONTEXT_EVENTS_MAX, min: 0 }),
      filter: parseQueryFilter(query.filter),
    })
    return new SerializedJson(
      `{"start":"${formatPageToken(context.startPosition)}","end":"${formatPageToken(context.endPosition)}","event":${context.event}` +
        `,"events_before":[${context.before.join(',')}],"events_after":[${context.after.join(',')}],"state":[${context.state.join(',')}]}`,
    )
  },
})
