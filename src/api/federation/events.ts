import { SerializedJson } from '../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'
import { transactionAnswer } from './transaction-answer.ts'

const GROUP = 'federation_reads'
const roomParams = Type.Object({ roomId: Type.String() })
const stateQuery = Type.Object({ event_id: Type.String() })

/** Gives one event. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: events.yaml. */
export const getEvent = federationEndpoint({
  operationId: 'getEvent',
  method: 'GET',
  path: '/_matrix/federation/v1/event/:eventId',
  group: GROUP,
  auth: 'signed',
  params: Type.Object({ eventId: Type.String() }),
  async handler({ params, origin }, ctx) {
    return transactionAnswer(ctx, [await ctx.eventServer.getEvent(origin, parseEventId(params.eventId))])
  },
})

/** Gives the state before an event, with its auth chain. Errors: M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE. Spec: events.yaml. */
export const getRoomState = federationEndpoint({
  operationId: 'getRoomState',
  method: 'GET',
  path: '/_matrix/federation/v1/state/:roomId',
  group: GROUP,
  auth: 'signed',
  isAclProtected: true,
  params: roomParams,
  query: stateQuery,
  async handler({ params, query, origin }, ctx) {
    const texts = await ctx.stateServer.getTexts(origin, parseRoomId(params.roomId), parseEventId(query.event_id))
    return new SerializedJson(`{"auth_chain":[${texts.authChain.join(',')}],"pdus":[${texts.state.join(',')}]}`)
  },
})

/** Gives the ids of the state before an event, and of its auth chain. Errors: M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE. Spec: events.yaml. */
export const getRoomStateIds = federationEndpoint({
  operationId: 'getRoomStateIds',
  method: 'GET',
  path: '/_matrix/federation/v1/state_ids/:roomId',
  group: GROUP,
  auth: 'signed',
  isAclProtected: true,
  params: roomParams,
  query: stateQuery,
  async handler({ params, query, origin }, ctx) {
    const ids = await ctx.stateServer.getIds(origin, parseRoomId(params.roomId), parseEventId(query.event_id))
    return {
      pdu_ids: ids.state.map((record) => record.eventId),
      auth_chain_ids: ids.authChain.map((record) => record.eventId),
    }
  },
})

/** Finds the event closest to a time. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: events.yaml. */
export const getEventByTimestamp = federationEndpoint({
  operationId: 'getEventByTimestamp',
  method: 'GET',
  path: '/_matrix/federation/v1/timestamp_to_event/:roomId',
  otherPaths: ['/_matrix/federation/unstable/org.matrix.msc3030/timestamp_to_event/:roomId'],
  group: GROUP,
  auth: 'signed',
  isAclProtected: true,
  params: roomParams,
  query: Type.Object({ ts: Type.Integer(), dir: Type.Union([Type.Literal('f'), Type.Literal('b')]) }),
  async handler({ params, query, origin }, ctx) {
    const found = await ctx.eventServer.findNearest(origin, {
      roomId: parseRoomId(params.roomId),
      timestampMs: query.ts,
      direction: query.dir,
    })
    return { event_id: found.eventId, origin_server_ts: found.timestampMs }
  },
})
