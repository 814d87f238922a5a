import { SerializedJson } from '../../http/endpoint.ts'
import { parseRoomId } from '../../protocol/ids.ts'
import type { RoomId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Gives a room and, for a space, the rooms right below it. Errors: M_NOT_FOUND. Spec: space_hierarchy.yaml. */
export const getSpaceHierarchy = federationEndpoint({
  operationId: 'getSpaceHierarchy',
  method: 'GET',
  path: '/_matrix/federation/v1/hierarchy/:roomId',
  otherPaths: ['/_matrix/federation/unstable/org.matrix.msc2946/hierarchy/:roomId'],
  group: 'federation_reads',
  auth: 'signed',
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({ suggested_only: Type.Optional(Type.Boolean()) }),
  async handler({ params, query, origin }, ctx) {
    const server = { isInOrInvited: (roomId: RoomId) => ctx.roomServers.isInOrInvited(origin, roomId) }
    return new SerializedJson(
      await ctx.spaceHierarchies.getLevelForServer(server, {
        roomId: parseRoomId(params.roomId),
        isSuggestedOnly: query.suggested_only ?? false,
      }),
    )
  },
})
