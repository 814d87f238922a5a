import { invalidParam } from '../../../protocol/errors.ts'
import { parseRoomId } from '../../../protocol/ids.ts'
import { ROOM_ORDERS } from '../../../storage/tables/admin-rooms.ts'
import type { RoomOrder } from '../../../storage/tables/admin-rooms.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'

const LIST_PATH = '/_synapse/admin/v1/rooms'
const LIMIT_MAX = 10_000
const SEARCH_TERM_CHARACTERS_MAX = 1000

/** Lists the rooms that this server knows. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/rooms.md. */
export const listRooms = clientEndpoint({
  operationId: 'admin.listRooms',
  method: 'GET',
  path: LIST_PATH,
  group: 'admin',
  auth: 'admin',
  query: Type.Object({
    from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
    limit: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 100 }),
    order_by: Type.Union(
      Object.keys(ROOM_ORDERS).map((order) => Type.Literal(order)),
      { default: 'name' },
    ),
    dir: Type.Union([Type.Literal('b'), Type.Literal('f')], { default: 'f' }),
    search_term: Type.Optional(Type.String({ maxLength: SEARCH_TERM_CHARACTERS_MAX })),
    public_rooms: Type.Optional(Type.Boolean()),
    empty_rooms: Type.Optional(Type.Boolean()),
  }),
  async handler({ query }, ctx) {
    if (query.search_term === '') throw invalidParam('search_term cannot be an empty string')
    const { from } = query
    const limit = Math.min(query.limit, LIMIT_MAX)
    const { rooms, total } = await ctx.adminRooms.list(
      { searchTerm: query.search_term, isPublic: query.public_rooms, isEmpty: query.empty_rooms },
      { orderBy: query.order_by as RoomOrder, isReversed: query.dir === 'b', offset: from, limit },
    )
    return {
      rooms,
      offset: from,
      total_rooms: total,
      ...(from + limit < total ? { next_batch: from + limit } : {}),
      ...(from > 0 ? { prev_batch: Math.max(0, from - limit) } : {}),
    }
  },
})

/** Describes a room. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/rooms.md, Room Details API. */
export const getRoomDetails = clientEndpoint({
  operationId: 'admin.getRoomDetails',
  method: 'GET',
  path: `${LIST_PATH}/:roomId`,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ roomId: Type.String() }),
  handler: ({ params }, ctx) => ctx.adminRooms.get(parseRoomId(params.roomId)),
})
