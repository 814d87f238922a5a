import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomAlias, parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const ALIAS = '/_matrix/client/v3/directory/room/:roomAlias'

/** Finds the room that an alias names, of whichever server. Errors: M_NOT_FOUND, M_INVALID_PARAM, 502 M_UNKNOWN. Spec: directory.yaml. */
export const getRoomIdByAlias = clientEndpoint({
  operationId: 'getRoomIdByAlias',
  method: 'GET',
  path: ALIAS,
  group: 'client_reads',
  auth: 'none',
  params: Type.Object({ roomAlias: Type.String() }),
  async handler({ params }, ctx) {
    const alias = parseRoomAlias(params.roomAlias)
    const roomId = await ctx.roomAliases.getRoomId(alias)
    if (roomId !== undefined) return { room_id: roomId, servers: [ctx.config.server.serverName] }
    const found = await ctx.remoteAliases.find(alias)
    if (!found) throw new MatrixError('M_NOT_FOUND', `Room alias ${alias} not found`)
    return { room_id: found.roomId, servers: found.servers }
  },
})

/** Gives a room an alias. Errors: M_FORBIDDEN, M_INVALID_PARAM, 409 M_UNKNOWN. Spec: directory.yaml. */
export const setRoomAlias = clientEndpoint({
  operationId: 'setRoomAlias',
  method: 'PUT',
  path: ALIAS,
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ roomAlias: Type.String() }),
  body: Type.Object({ room_id: Type.String() }),
  async handler({ params, body, requester }, ctx) {
    await ctx.roomAliases.createFor(requester, { alias: parseRoomAlias(params.roomAlias), roomId: parseRoomId(body.room_id) })
    return {}
  },
})

/** Takes an alias away. Errors: M_NOT_FOUND, M_FORBIDDEN. Spec: directory.yaml. */
export const deleteRoomAlias = clientEndpoint({
  operationId: 'deleteRoomAlias',
  method: 'DELETE',
  path: ALIAS,
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ roomAlias: Type.String() }),
  async handler({ params, requester }, ctx) {
    await ctx.roomAliases.deleteFor(requester, parseRoomAlias(params.roomAlias))
    return {}
  },
})

/** Lists our aliases of a room. Errors: M_FORBIDDEN. Spec: directory.yaml. */
export const getLocalAliases = clientEndpoint({
  operationId: 'getLocalAliases',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/:roomId/aliases',
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ roomId: Type.String() }),
  async handler({ params, requester }, ctx) {
    return { aliases: await ctx.roomAliases.getOfRoomFor(requester, parseRoomId(params.roomId)) }
  },
})
