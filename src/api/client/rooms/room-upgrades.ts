import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/**
 * Replaces a room by one of another version. Errors: M_UNSUPPORTED_ROOM_VERSION, M_FORBIDDEN, M_NOT_FOUND.
 * Spec: room_upgrades.yaml.
 */
export const upgradeRoom = clientEndpoint({
  operationId: 'upgradeRoom',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/upgrade',
  group: 'event_sending',
  auth: 'user',
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({ new_version: Type.String(), additional_creators: Type.Optional(Type.Array(Type.String())) }),
  async handler({ params, body, requester }, ctx) {
    const roomId = await ctx.roomUpgrade.upgrade(requester, {
      roomId: parseRoomId(params.roomId),
      version: body.new_version,
      additionalCreators: body.additional_creators,
    })
    return { replacement_room: roomId }
  },
})
