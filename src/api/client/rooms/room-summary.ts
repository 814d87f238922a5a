import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomAlias, parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Tells what a room is like, to those who may join or read it. Errors: M_NOT_FOUND, M_INVALID_PARAM. Spec: room_summary.yaml. */
export const getRoomSummary = clientEndpoint({
  operationId: 'getRoomSummary',
  method: 'GET',
  path: '/_matrix/client/v1/room_summary/:roomIdOrAlias',
  otherPaths: [
    '/_matrix/client/unstable/im.nheko.summary/summary/:roomIdOrAlias',
    '/_matrix/client/unstable/im.nheko.summary/rooms/:roomIdOrAlias/summary',
  ],
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ roomIdOrAlias: Type.String() }),
  query: Type.Object({ via: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })) }),
  async handler({ params, requester }, ctx) {
    const { roomIdOrAlias } = params
    const roomId = roomIdOrAlias.startsWith('#')
      ? await ctx.roomAliases.getRoomId(parseRoomAlias(roomIdOrAlias))
      : parseRoomId(roomIdOrAlias)
    if (roomId === undefined) throw new MatrixError('M_NOT_FOUND', 'Room not found')
    return ctx.roomPreviews.get(roomId, requester.userId)
  },
})
