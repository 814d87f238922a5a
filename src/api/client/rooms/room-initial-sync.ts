import { SerializedJson } from '../../../http/endpoint.ts'
import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { parsePageLimit } from './page-parameters.ts'

const MESSAGES_MAX = 100

/** Shows a room as it is now, to its members and to those who look in. Errors: M_FORBIDDEN. Spec: room_initial_sync.yaml. */
export const roomInitialSync = clientEndpoint({
  operationId: 'roomInitialSync',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/:roomId/initialSync',
  otherPaths: ['/_matrix/client/api/v1/rooms/:roomId/initialSync'],
  group: 'initial_sync',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({ limit: Type.Optional(Type.Integer()) }),
  async handler({ params, query, requester }, ctx) {
    const reader = await ctx.roomMessages.readerOf(requester)
    return new SerializedJson(
      await ctx.roomSnapshots.getRoom(reader, parseRoomId(params.roomId), parsePageLimit(query.limit, { max: MESSAGES_MAX })),
    )
  },
})
