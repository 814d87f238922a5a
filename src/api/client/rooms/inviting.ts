import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomId, parseUserId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { reasonContent } from './room-id-or-alias.ts'

/**
 * Invites a user, or whoever owns an e-mail address or phone number.
 * Errors: M_FORBIDDEN, M_INVITE_BLOCKED, M_MISSING_PARAM. Spec: inviting.yaml, third_party_membership.yaml.
 */
export const inviteUser = clientEndpoint({
  operationId: 'inviteUser',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/invite',
  group: 'event_sending',
  auth: 'user',
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({
    user_id: Type.Optional(Type.String()),
    reason: Type.Optional(Type.String()),
    medium: Type.Optional(Type.String()),
    address: Type.Optional(Type.String()),
    id_server: Type.Optional(Type.String()),
    id_access_token: Type.Optional(Type.String()),
  }),
  isCanonicalBody: true,
  async handler({ params, body, requester }, ctx) {
    const roomId = parseRoomId(params.roomId)
    if (body.user_id === undefined) {
      if (body.medium === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: user_id')
      await ctx.threepidInvitations.invite(requester, roomId, ctx.threepidInvitations.parse(body), reasonContent(body.reason))
      return {}
    }
    await ctx.membershipChanges.invite(requester, {
      roomId,
      userId: parseUserId(body.user_id),
      content: reasonContent(body.reason),
    })
    return {}
  },
})
