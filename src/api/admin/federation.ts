import { DESTINATION_ORDERS } from '../../storage/tables/destinations.ts'
import type { DestinationOrder, DestinationRecord } from '../../storage/tables/destinations.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const LIST_PATH = '/_synapse/admin/v1/federation/destinations'
const PATH = `${LIST_PATH}/:destination`
const LIMIT_MAX = 1000
const params = Type.Object({ destination: Type.String() })
const page = {
  from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
  limit: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 100 }),
  dir: Type.Union([Type.Literal('b'), Type.Literal('f')], { default: 'f' }),
}

/** Lists the servers that we send to, and how they are reached. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: admin API § Federation. */
export const listDestinations = clientEndpoint({
  operationId: 'admin.listDestinations',
  method: 'GET',
  path: LIST_PATH,
  group: 'admin',
  auth: 'admin',
  query: Type.Object({
    ...page,
    order_by: Type.Union(
      Object.keys(DESTINATION_ORDERS).map((order) => Type.Literal(order)),
      { default: 'destination' },
    ),
    destination: Type.Optional(Type.String()),
  }),
  async handler({ query }, ctx) {
    const { destinations, total } = await ctx.destinations.list({
      orderBy: query.order_by as DestinationOrder,
      ...pageOf(query),
    })
    return { destinations: destinations.map(destinationJson), total, ...nextToken(query.from, destinations.length, total) }
  },
})

/** Tells how one server is reached. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getDestinationDetails = clientEndpoint({
  operationId: 'admin.getDestination',
  method: 'GET',
  path: PATH,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { destination } }, ctx) {
    return destinationJson(await ctx.destinations.get(destination))
  },
})

/** Lists the rooms that a server is in. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const listDestinationRooms = clientEndpoint({
  operationId: 'admin.listDestinationRooms',
  method: 'GET',
  path: `${PATH}/rooms`,
  group: 'admin',
  auth: 'admin',
  params,
  query: Type.Object(page),
  async handler({ params: { destination }, query }, ctx) {
    const { rooms, total } = await ctx.destinations.getRooms(destination, pageOf(query))
    const list = rooms.map(({ roomId, position }) => ({ room_id: roomId, stream_ordering: position }))
    return { rooms: list, total, ...nextToken(query.from, rooms.length, total) }
  },
})

/** Ends the pause after failures, so that a server is tried again at once. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const resetDestinationConnection = clientEndpoint({
  operationId: 'admin.resetDestinationConnection',
  method: 'POST',
  path: `${PATH}/reset_connection`,
  group: 'admin',
  auth: 'admin',
  params,
  body: Type.Object({}),
  isBodyOptional: true,
  async handler({ params: { destination } }, ctx) {
    await ctx.destinations.reset(destination)
    return {}
  },
})

function pageOf(query: { readonly from: number; readonly limit: number; readonly dir: string }): {
  offset: number
  limit: number
  isReversed: boolean
} {
  return { offset: query.from, limit: Math.min(query.limit, LIMIT_MAX), isReversed: query.dir === 'b' }
}

function nextToken(from: number, count: number, total: number): { next_token?: string } {
  return count > 0 && from + count < total ? { next_token: String(from + count) } : {}
}

function destinationJson(record: DestinationRecord): Record<string, unknown> {
  return {
    destination: record.destination,
    retry_last_ts: record.retryLastTsMs,
    retry_interval: record.retryIntervalMs,
    failure_ts: record.failureTsMs,
    last_successful_stream_ordering: record.lastPosition === 0 ? null : record.lastPosition,
  }
}
