import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Shows or hides a room in the list of an application service's network. Errors: M_FORBIDDEN. Spec: appservice_room_directory.yaml. */
export const updateAppserviceRoomDirectoryVisibility = clientEndpoint({
  operationId: 'updateAppserviceRoomDirectoryVisibility',
  method: 'PUT',
  path: '/_matrix/client/v3/directory/list/appservice/:networkId/:roomId',
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ networkId: Type.String(), roomId: Type.String() }),
  body: Type.Object({ visibility: Type.Union([Type.Literal('public'), Type.Literal('private')]) }),
  async handler({ params, body, requester }, ctx) {
    await ctx.appserviceQueries.setVisibility(requester, {
      networkId: params.networkId,
      roomId: parseRoomId(params.roomId),
      isVisible: body.visibility === 'public',
    })
    return {}
  },
})
