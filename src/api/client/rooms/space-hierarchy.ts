import { SerializedJson } from '../../../http/endpoint.ts'
import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const ROOMS_MAX = 50

/** Lists the rooms below a space. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: space_hierarchy.yaml. */
export const getSpaceHierarchy = clientEndpoint({
  operationId: 'getSpaceHierarchy',
  method: 'GET',
  path: '/_matrix/client/v1/rooms/:roomId/hierarchy',
  otherPaths: ['/_matrix/client/unstable/org.matrix.msc2946/rooms/:roomId/hierarchy'],
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({
    suggested_only: Type.Optional(Type.Boolean()),
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    max_depth: Type.Optional(Type.Integer({ minimum: 0 })),
    from: Type.Optional(Type.String({ maxLength: 100 })),
  }),
  async handler({ params, query, requester }, ctx) {
    const page = await ctx.spaceHierarchies.getPage(requester.userId, {
      roomId: parseRoomId(params.roomId),
      isSuggestedOnly: query.suggested_only ?? false,
      maxDepth: query.max_depth,
      limit: Math.min(query.limit ?? ROOMS_MAX, ROOMS_MAX),
      from: query.from,
    })
    const next = page.nextBatch === undefined ? '' : `,"next_batch":"${page.nextBatch}"`
    return new SerializedJson(`{"rooms":[${page.rooms.join(',')}]${next}}`)
  },
})
