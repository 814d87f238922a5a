import { SerializedJson } from '../../http/endpoint.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { parseRoomAlias, parseUserId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Servers that an alias names, so that its answer stays small for rooms with thousands of them. */
const SERVERS_MAX = 500

/** Gives a user's profile. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: query.yaml. */
export const queryProfile = federationEndpoint({
  operationId: 'queryProfile',
  method: 'GET',
  path: '/_matrix/federation/v1/query/profile',
  group: 'federation_reads',
  auth: 'signed',
  query: Type.Object({ user_id: Type.String(), field: Type.Optional(Type.String()) }),
  async handler({ query }, ctx) {
    if (!ctx.config.federation.allowProfileLookupOverFederation)
      throw new MatrixError('M_FORBIDDEN', 'Profile lookup over federation is disabled on this homeserver')
    return new SerializedJson(await ctx.profiles.getJsonForServer(parseUserId(query.user_id), query.field))
  },
})

/** Tells which room an alias of ours names, and which servers are in it. Errors: M_NOT_FOUND. Spec: query.yaml. */
export const queryRoomDirectory = federationEndpoint({
  operationId: 'queryRoomDirectory',
  method: 'GET',
  path: '/_matrix/federation/v1/query/directory',
  group: 'federation_reads',
  auth: 'signed',
  query: Type.Object({ room_alias: Type.String() }),
  async handler({ query }, ctx) {
    const roomId = await ctx.roomAliases.getRoomId(parseRoomAlias(query.room_alias))
    if (roomId === undefined) throw new MatrixError('M_NOT_FOUND', 'Room alias not found')
    const others = (await ctx.roomServers.getServers(roomId)).filter((serverName) => serverName !== ctx.serverName)
    return { room_id: roomId, servers: [ctx.serverName, ...others].slice(0, SERVERS_MAX) }
  },
})

/** Refuses queries of other kinds. Errors: M_NOT_FOUND. Spec: query.yaml. */
export const queryInfo = federationEndpoint({
  operationId: 'queryInfo',
  method: 'GET',
  path: '/_matrix/federation/v1/query/:queryType',
  group: 'federation_reads',
  auth: 'signed',
  handler: ({ params }) =>
    Promise.reject(
      new MatrixError('M_NOT_FOUND', `No handler for queries of type ${String((params as { queryType?: string }).queryType)}`),
    ),
})
