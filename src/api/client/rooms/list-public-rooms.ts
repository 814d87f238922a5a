import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomId, parseServerName } from '../../../protocol/ids.ts'
import type { ServerName } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'

const LISTING = '/_matrix/client/v3/directory/list/room/:roomId'
const PUBLIC_ROOMS = '/_matrix/client/v3/publicRooms'
const ROOMS_MAX = 500
const ROOMS_DEFAULT = 100
const NO_FILTER = { filter: undefined, includesAllNetworks: undefined, thirdPartyInstanceId: undefined }

/** Tells whether the directory lists a room. Errors: M_NOT_FOUND. Spec: list_public_rooms.yaml. */
export const getRoomVisibilityOnDirectory = clientEndpoint({
  operationId: 'getRoomVisibilityOnDirectory',
  method: 'GET',
  path: LISTING,
  group: 'client_reads',
  auth: 'none',
  params: Type.Object({ roomId: Type.String() }),
  async handler({ params }, ctx) {
    return { visibility: (await ctx.roomDirectory.isPublic(parseRoomId(params.roomId))) ? 'public' : 'private' }
  },
})

/** Lists a room in the directory or takes it out. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: list_public_rooms.yaml. */
export const setRoomVisibilityOnDirectory = clientEndpoint({
  operationId: 'setRoomVisibilityOnDirectory',
  method: 'PUT',
  path: LISTING,
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({ visibility: Type.Optional(Type.Union([Type.Literal('public'), Type.Literal('private')])) }),
  isBodyOptional: true,
  async handler({ params, body, requester }, ctx) {
    const isPublic = body.visibility !== 'private'
    await ctx.roomDirectory.setVisibilityFor(requester, { roomId: parseRoomId(params.roomId), isPublic })
    return {}
  },
})

/** Lists published rooms. Errors: M_INVALID_PARAM, M_MISSING_TOKEN. Spec: list_public_rooms.yaml. */
export const getPublicRooms = clientEndpoint({
  operationId: 'getPublicRooms',
  method: 'GET',
  path: PUBLIC_ROOMS,
  group: 'client_reads',
  auth: 'optional',
  query: Type.Object({
    limit: Type.Optional(Type.Integer()),
    since: Type.Optional(Type.String({ maxLength: 500 })),
    server: Type.Optional(Type.String()),
  }),
  async handler({ query, requester }, ctx) {
    // The specification lets anybody ask; the option decides. Behaviour of Synapse.
    if (!requester && !ctx.config.rooms.allowPublicRoomsWithoutAuth)
      throw new MatrixError('M_MISSING_TOKEN', 'Missing access token')
    const server = otherServerOf(query.server, ctx)
    const page = { limit: limitOf(query.limit), since: query.since }
    if (server !== undefined) return ctx.remoteReads.listPublicRooms(server, { ...page, ...NO_FILTER })
    return ctx.publicRooms.list({ ...page, searchTerm: undefined, roomTypes: undefined })
  },
})

/** Lists the published rooms that a filter keeps. Errors: M_INVALID_PARAM. Spec: list_public_rooms.yaml. */
export const queryPublicRooms = clientEndpoint({
  operationId: 'queryPublicRooms',
  method: 'POST',
  path: PUBLIC_ROOMS,
  group: 'client_reads',
  auth: 'guest',
  query: Type.Object({ server: Type.Optional(Type.String()) }),
  body: Type.Object({
    limit: Type.Optional(Type.Integer()),
    since: Type.Optional(Type.String({ maxLength: 500 })),
    filter: Type.Optional(
      Type.Object({
        generic_search_term: Type.Optional(Type.Union([Type.String({ maxLength: 500 }), Type.Null()])),
        room_types: Type.Optional(
          Type.Union([Type.Array(Type.Union([Type.String(), Type.Null()]), { maxItems: 100 }), Type.Null()]),
        ),
      }),
    ),
    include_all_networks: Type.Optional(Type.Boolean()),
    third_party_instance_id: Type.Optional(Type.String()),
  }),
  isBodyOptional: true,
  async handler({ query, body }, ctx) {
    const server = otherServerOf(query.server, ctx)
    if (server !== undefined)
      return ctx.remoteReads.listPublicRooms(server, {
        limit: limitOf(body.limit),
        since: body.since,
        filter: body.filter as JsonObject | undefined,
        includesAllNetworks: body.include_all_networks,
        thirdPartyInstanceId: body.third_party_instance_id,
      })
    // Bridged networks have lists of their own, and there is none yet.
    if (body.third_party_instance_id !== undefined) return { chunk: [], total_room_count_estimate: 0 }
    return ctx.publicRooms.list({
      limit: limitOf(body.limit),
      since: body.since,
      searchTerm: body.filter?.generic_search_term ?? undefined,
      roomTypes: body.filter?.room_types ?? undefined,
    })
  },
})

function limitOf(limit: number | undefined): number {
  return limit === undefined || limit <= 0 ? ROOMS_DEFAULT : Math.min(limit, ROOMS_MAX)
}

/** The server whose directory is wanted, where it is not ours. */
function otherServerOf(server: string | undefined, ctx: ClientContext): ServerName | undefined {
  if (server === undefined || server === '') return undefined
  const name = parseServerName(server)
  return name === ctx.config.server.serverName ? undefined : name
}
