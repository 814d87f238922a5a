import { SerializedJson } from '../../../http/endpoint.ts'
import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { formatPageToken, parsePageLimit, parsePositionToken, TOKEN_CHARACTERS_MAX } from './page-parameters.ts'

const THREADS_MAX = 100

/** Lists a room's threads. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: threads_list.yaml. */
export const getThreadRoots = clientEndpoint({
  operationId: 'getThreadRoots',
  method: 'GET',
  path: '/_matrix/client/v1/rooms/:roomId/threads',
  group: 'room_messages',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({
    include: Type.Optional(Type.Union([Type.Literal('all'), Type.Literal('participated')])),
    limit: Type.Optional(Type.Integer()),
    from: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
  }),
  async handler({ params, query, requester }, ctx) {
    const page = await ctx.relations.getThreads(await ctx.roomMessages.readerOf(requester), {
      roomId: parseRoomId(params.roomId),
      from: parsePositionToken(query.from),
      limit: parsePageLimit(query.limit, { max: THREADS_MAX }),
      isParticipated: query.include === 'participated',
    })
    const next = page.nextPosition === undefined ? '' : `,"next_batch":"${formatPageToken(page.nextPosition)}"`
    return new SerializedJson(`{"chunk":[${page.chunk.join(',')}]${next}}`)
  },
})
