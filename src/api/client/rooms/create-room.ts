import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** As many as by id. */
const THREEPID_INVITES_MAX = 100
const anyObject = Type.Object({})

/**
 * Makes a room. Errors: M_BAD_JSON, M_ROOM_IN_USE, M_INVALID_ROOM_STATE, M_UNSUPPORTED_ROOM_VERSION, M_INVALID_PARAM,
 * M_FORBIDDEN, M_INVITE_BLOCKED, M_LIMIT_EXCEEDED. Spec: create_room.yaml.
 */
export const createRoom = clientEndpoint({
  operationId: 'createRoom',
  method: 'POST',
  path: '/_matrix/client/v3/createRoom',
  group: 'event_sending',
  auth: 'user',
  body: Type.Object({
    visibility: Type.Optional(Type.Union([Type.Literal('public'), Type.Literal('private')])),
    room_alias_name: Type.Optional(Type.String()),
    name: Type.Optional(Type.String()),
    topic: Type.Optional(Type.String()),
    invite: Type.Optional(Type.Array(Type.String())),
    invite_3pid: Type.Optional(Type.Array(anyObject, { maxItems: THREEPID_INVITES_MAX })),
    room_version: Type.Optional(Type.String()),
    creation_content: Type.Optional(anyObject),
    initial_state: Type.Optional(
      Type.Array(Type.Object({ type: Type.String(), state_key: Type.Optional(Type.String()), content: anyObject })),
    ),
    preset: Type.Optional(
      Type.Union([Type.Literal('private_chat'), Type.Literal('public_chat'), Type.Literal('trusted_private_chat')]),
    ),
    is_direct: Type.Optional(Type.Boolean()),
    power_level_content_override: Type.Optional(anyObject),
  }),
  isCanonicalBody: true,
  async handler({ body, requester }, ctx) {
    const invitations = (body.invite_3pid ?? []).map((invitation) => ctx.threepidInvitations.parse(invitation as JsonObject))
    const roomId = await ctx.roomCreation.create(requester, {
      visibility: body.visibility,
      aliasName: body.room_alias_name,
      name: body.name,
      topic: body.topic,
      invite: body.invite,
      roomVersion: body.room_version,
      creationContent: body.creation_content as JsonObject | undefined,
      initialState: body.initial_state?.map((entry) => ({
        type: entry.type,
        stateKey: entry.state_key ?? '',
        content: entry.content as JsonObject,
      })),
      preset: body.preset,
      isDirect: body.is_direct,
      powerLevelContentOverride: body.power_level_content_override as JsonObject | undefined,
    })
    const content: JsonObject = body.is_direct === true ? { is_direct: true } : {}
    for (const invitation of invitations) await ctx.threepidInvitations.invite(requester, roomId, invitation, content)
    return { room_id: roomId }
  },
})
