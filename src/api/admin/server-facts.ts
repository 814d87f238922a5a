import { readVersion } from '../../util/version.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const VERSION = `Ganglion/${readVersion()}`

/** Tells which server this is; needs no login, as with Synapse. As Synapse: docs/admin_api/version_api.md. */
export const getServerVersion = clientEndpoint({
  operationId: 'admin.getServerVersion',
  method: 'GET',
  path: '/_synapse/admin/v1/server_version',
  group: 'admin',
  auth: 'none',
  async handler() {
    return { server_version: VERSION }
  },
})

/** Tells which rooms take most room in the database. Errors: M_FORBIDDEN. As Synapse: docs/admin_api/statistics.md. */
export const getLargestRooms = clientEndpoint({
  operationId: 'admin.getLargestRooms',
  method: 'GET',
  path: '/_synapse/admin/v1/statistics/database/rooms',
  group: 'admin',
  auth: 'admin',
  async handler(_input, ctx) {
    const rooms = await ctx.accountFacts.getLargestRooms()
    return { rooms: rooms.map(({ roomId, bytes }) => ({ room_id: roomId, estimated_size: bytes })) }
  },
})
