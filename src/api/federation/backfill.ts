import { SerializedJson } from '../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'
import { transactionAnswer } from './transaction-answer.ts'

/** Events that a request may name: more than any room has heads. */
const EVENT_IDS_MAX = 1000
const MISSING_EVENTS_DEFAULT = 10
const eventIds = Type.Array(Type.String(), { maxItems: EVENT_IDS_MAX })

/** Gives events of a room and those before them. Errors: M_FORBIDDEN. Spec: backfill.yaml. */
export const backfillRoom = federationEndpoint({
  operationId: 'backfillRoom',
  method: 'GET',
  path: '/_matrix/federation/v1/backfill/:roomId',
  group: 'federation_reads',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({ v: eventIds, limit: Type.Integer() }),
  async handler({ params, query, origin }, ctx) {
    const from = query.v.map(parseEventId)
    return transactionAnswer(
      ctx,
      await ctx.eventServer.backfill(origin, { roomId: parseRoomId(params.roomId), from, limit: query.limit }),
    )
  },
})

/** Gives the events between those that a server has and later ones. Errors: M_FORBIDDEN. Spec: backfill.yaml. */
export const getMissingPreviousEvents = federationEndpoint({
  operationId: 'getMissingPreviousEvents',
  method: 'POST',
  path: '/_matrix/federation/v1/get_missing_events/:roomId',
  group: 'federation_reads',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({
    earliest_events: eventIds,
    latest_events: eventIds,
    limit: Type.Optional(Type.Integer()),
    min_depth: Type.Optional(Type.Integer()),
  }),
  async handler({ params, body, origin }, ctx) {
    const events = await ctx.eventServer.getMissingEvents(origin, {
      roomId: parseRoomId(params.roomId),
      earliestEvents: body.earliest_events.map(parseEventId),
      latestEvents: body.latest_events.map(parseEventId),
      minDepth: body.min_depth ?? 0,
      limit: body.limit ?? MISSING_EVENTS_DEFAULT,
    })
    return new SerializedJson(`{"events":[${events.join(',')}]}`)
  },
})
