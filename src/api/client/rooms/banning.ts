import { parseRoomId, parseUserId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { reasonContent } from './room-id-or-alias.ts'

const params = Type.Object({ roomId: Type.String() })
const body = Type.Object({ user_id: Type.String(), reason: Type.Optional(Type.String()) })

/** Bans a user from a room. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: banning.yaml. */
export const ban = clientEndpoint({
  operationId: 'ban',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/ban',
  group: 'event_sending',
  auth: 'user',
  params,
  body,
  isCanonicalBody: true,
  async handler(input, ctx) {
    await ctx.membershipChanges.ban(input.requester, changeOf(input))
    return {}
  },
})

/** Lifts a ban. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: banning.yaml. */
export const unban = clientEndpoint({
  operationId: 'unban',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/unban',
  group: 'event_sending',
  auth: 'user',
  params,
  body,
  isCanonicalBody: true,
  async handler(input, ctx) {
    await ctx.membershipChanges.unban(input.requester, changeOf(input))
    return {}
  },
})

function changeOf(input: { readonly params: { roomId: string }; readonly body: { user_id: string; reason?: string } }) {
  return {
    roomId: parseRoomId(input.params.roomId),
    userId: parseUserId(input.body.user_id),
    content: reasonContent(input.body.reason),
  }
}
