import { invalidParam } from '../../../protocol/errors.ts'
import { parseUserId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const PAGE_ROOMS = 500
const TOKEN = /^m([0-9]{1,7})$/

/** Lists the rooms that two users are both joined to. Errors: M_INVALID_PARAM. Spec: mutual_rooms.yaml. */
export const getMutualRooms = clientEndpoint({
  operationId: 'getMutualRooms',
  method: 'GET',
  path: '/_matrix/client/v1/mutual_rooms',
  otherPaths: ['/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms'],
  group: 'client_reads',
  auth: 'user',
  query: Type.Object({ user_id: Type.String(), from: Type.Optional(Type.String()) }),
  async handler({ query, requester }, ctx) {
    const other = parseUserId(query.user_id)
    if (other === requester.userId) throw invalidParam('You share all rooms with yourself')
    const start = Number(query.from === undefined ? 0 : (TOKEN.exec(query.from)?.[1] ?? Number.NaN))
    if (Number.isNaN(start)) throw invalidParam('The pagination token is malformed')
    const rooms = await ctx.memberships.getSharedRooms(requester.userId, other)
    const end = start + PAGE_ROOMS
    return { joined: rooms.slice(start, end), count: rooms.length, ...(rooms.length > end ? { next_batch: `m${end}` } : {}) }
  },
})
