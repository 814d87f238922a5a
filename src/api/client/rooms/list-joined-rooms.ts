import { clientEndpoint } from '../client-endpoint.ts'

/** Lists the rooms that the user is joined to. Spec: list_joined_rooms.yaml. */
export const getJoinedRooms = clientEndpoint({
  operationId: 'getJoinedRooms',
  method: 'GET',
  path: '/_matrix/client/v3/joined_rooms',
  group: 'client_reads',
  auth: 'guest',
  async handler({ requester }, ctx) {
    return { joined_rooms: await ctx.memberships.getJoinedRooms(requester.userId) }
  },
})
