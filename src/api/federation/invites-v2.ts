import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** With the state of the room that it shows. */
const BODY_BYTES_MAX = 4 * 1024 * 1024

/**
 * Invites one of our users. Errors: M_INCOMPATIBLE_ROOM_VERSION, M_INVALID_PARAM, M_BAD_JSON, M_FORBIDDEN, M_INVITE_BLOCKED.
 * Spec: invites-v2.yaml.
 */
export const sendInviteV2 = federationEndpoint({
  operationId: 'sendInviteV2',
  method: 'PUT',
  path: '/_matrix/federation/v2/invite/:roomId/:eventId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  bodyBytesMax: BODY_BYTES_MAX,
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  body: Type.Object({
    room_version: Type.String(),
    event: Type.Object({}),
    invite_room_state: Type.Optional(Type.Union([Type.Array(Type.Unknown()), Type.Null()])),
  }),
  async handler({ params, body, origin }, ctx) {
    const event = await ctx.inviteReceiver.receive({
      origin,
      roomId: parseRoomId(params.roomId),
      eventId: parseEventId(params.eventId),
      roomVersion: body.room_version,
      pdu: body.event as JsonObject,
      shownState: (body.invite_room_state ?? []) as JsonValue[],
    })
    return { event }
  },
})
