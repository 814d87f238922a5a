import { invalidParam } from '../../protocol/errors.ts'
import { parseRoomId, parseUserId, serverNameOf } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { assertSignedFor } from '../../services/federation/inbound/third-party-invites.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Of more invites that wait for one address the rest is not redeemed. */
const INVITES_MAX = 50

/** Issues an invite of one of our users that was for an e-mail address. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND. Spec: third_party_invite.yaml. */
export const exchangeThirdPartyInvite = federationEndpoint({
  operationId: 'exchangeThirdPartyInvite',
  method: 'PUT',
  path: '/_matrix/federation/v1/exchange_third_party_invite/:roomId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Object({
    type: Type.String(),
    room_id: Type.String(),
    sender: Type.String(),
    state_key: Type.String(),
    content: Type.Object({ membership: Type.String(), third_party_invite: Type.Object({}) }),
  }),
  async handler({ params, body, origin: _origin }, ctx) {
    const { content } = body
    if (body.type !== 'm.room.member' || content.membership !== 'invite' || body.room_id !== params.roomId)
      throw invalidParam('The event is no invite to the room')
    const userId = parseUserId(body.state_key)
    const thirdPartyInvite = content.third_party_invite as JsonObject
    assertSignedFor(thirdPartyInvite, userId)
    const sender = parseUserId(body.sender)
    await ctx.thirdPartyInvites.exchange({ roomId: parseRoomId(params.roomId), sender, userId, thirdPartyInvite })
    return {}
  },
})

/** Takes an identity server's word that an address is one of our users now. Errors: M_INVALID_PARAM. Spec: third_party_invite.yaml. */
export const onBindThirdPartyIdentifier = federationEndpoint({
  operationId: 'onBindThirdPartyIdentifier',
  method: 'PUT',
  path: '/_matrix/federation/v1/3pid/onbind',
  group: 'federation_membership',
  auth: 'none',
  body: Type.Object({
    medium: Type.Optional(Type.String()),
    address: Type.Optional(Type.String()),
    mxid: Type.String(),
    invites: Type.Optional(
      Type.Array(Type.Object({ mxid: Type.String(), room_id: Type.String(), sender: Type.String(), signed: Type.Object({}) }), {
        maxItems: INVITES_MAX,
      }),
    ),
  }),
  async handler({ body }, ctx) {
    const userId = parseUserId(body.mxid)
    if (serverNameOf(userId) !== ctx.serverName) throw invalidParam('The user does not belong to our server')
    const invites = (body.invites ?? []).map((invite) => {
      const thirdPartyInvite: JsonObject = { display_name: body.address ?? '', signed: invite.signed as JsonObject }
      assertSignedFor(thirdPartyInvite, userId)
      return { roomId: parseRoomId(invite.room_id), sender: parseUserId(invite.sender), userId, thirdPartyInvite }
    })
    await ctx.thirdPartyInvites.redeem(invites)
    return {}
  },
})
