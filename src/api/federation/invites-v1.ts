import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** With the state of the room that it shows. */
const BODY_BYTES_MAX = 4 * 1024 * 1024

/** Invites one of our users to a room of the first version. Errors: as sendInviteV2. Spec: invites-v1.yaml. */
export const sendInviteV1 = federationEndpoint({
  operationId: 'sendInviteV1',
  method: 'PUT',
  path: '/_matrix/federation/v1/invite/:roomId/:eventId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  bodyBytesMax: BODY_BYTES_MAX,
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  body: Type.Object({}),
  async handler({ params, body, origin }, ctx) {
    const pdu = body as JsonObject
    const { unsigned } = pdu
    const state = isJsonObject(unsigned) ? unsigned['invite_room_state'] : undefined
    const event = await ctx.inviteReceiver.receive({
      origin,
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      roomVersion: '1',
      pdu,
      shownState: Array.isArray(state) ? (state as JsonValue[]) : [],
    })
    return [200, { event }]
  },
})
