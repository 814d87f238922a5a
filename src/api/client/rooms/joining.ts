import { parseRoomId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { resolveRoom, viaQuery } from './room-id-or-alias.ts'

const joinBody = Type.Object({ reason: Type.Optional(Type.String()), third_party_signed: Type.Optional(Type.Object({})) })

/** Joins a room. Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_LIMIT_EXCEEDED. Spec: joining.yaml. */
export const joinRoomById = clientEndpoint({
  operationId: 'joinRoomById',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/join',
  group: 'event_sending',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  body: joinBody,
  isBodyOptional: true,
  isCanonicalBody: true,
  async handler({ params, body, requester }, ctx) {
    const roomId = parseRoomId(params.roomId)
    await ctx.membershipChanges.join(requester, roomId, joinContent(body))
    return { room_id: roomId }
  },
})

/** Joins a room by id or alias. Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_LIMIT_EXCEEDED. Spec: joining.yaml. */
export const joinRoom = clientEndpoint({
  operationId: 'joinRoom',
  method: 'POST',
  path: '/_matrix/client/v3/join/:roomIdOrAlias',
  group: 'event_sending',
  auth: 'guest',
  params: Type.Object({ roomIdOrAlias: Type.String() }),
  query: viaQuery,
  body: joinBody,
  isBodyOptional: true,
  isCanonicalBody: true,
  async handler({ params, query, body, requester }, ctx) {
    const { roomId, via } = await resolveRoom(params.roomIdOrAlias, query, ctx)
    await ctx.membershipChanges.join(requester, roomId, joinContent(body), via)
    return { room_id: roomId }
  },
})

/** What else the body holds goes into the member event, as at Synapse; what the server decides does not. */
function joinContent(body: object): JsonObject {
  const {
    membership: _membership,
    displayname: _name,
    avatar_url: _avatar,
    third_party_signed: _signed,
    ...content
  } = body as JsonObject
  return content
}
