import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Finds the event closest to a time. Errors: M_NOT_FOUND, M_FORBIDDEN. Spec: room_event_by_timestamp.yaml. */
export const getEventByTimestamp = clientEndpoint({
  operationId: 'getEventByTimestamp',
  method: 'GET',
  path: '/_matrix/client/v1/rooms/:roomId/timestamp_to_event',
  otherPaths: ['/_matrix/client/unstable/org.matrix.msc3030/rooms/:roomId/timestamp_to_event'],
  group: 'room_messages',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({
    ts: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    dir: Type.Union([Type.Literal('b'), Type.Literal('f')]),
  }),
  async handler({ params, query, requester }, ctx) {
    const found = await ctx.roomTimes.findNearest(await ctx.roomMessages.readerOf(requester), {
      roomId: parseRoomId(params.roomId),
      timestampMs: query.ts,
      direction: query.dir,
    })
    return { event_id: found.eventId, origin_server_ts: found.timestampMs }
  },
})
