import { invalidParam, MatrixError } from '../../../protocol/errors.ts'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Logger } from '../../../util/logger.ts'
import type { EventsWriter } from '../../events/event-intent.ts'
import type { FederationClient } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'
import type { RemoteInvites } from '../remote/remote-invites.ts'
import type { RoomServers } from '../room-servers.ts'

/** An invite by e-mail address whose user is known by now, with the identity server's signature. */
export interface BoundInvite {
  readonly roomId: RoomId
  readonly sender: UserId
  readonly userId: UserId
  /** `third_party_invite` of the member event. */
  readonly thirdPartyInvite: JsonObject
}

/** Makes invites of third-party invites once their users are known. Spec: server-server-api § Third-party invites. */
export class ThirdPartyInvites {
  readonly #writer: EventsWriter
  readonly #invites: Pick<RemoteInvites, 'invite'>
  readonly #client: Pick<FederationClient, 'request'>
  readonly #roomServers: RoomServers
  readonly #serverName: ServerName
  readonly #logger: Logger

  constructor(deps: {
    writer: EventsWriter
    invites: Pick<RemoteInvites, 'invite'>
    client: Pick<FederationClient, 'request'>
    roomServers: RoomServers
    serverName: ServerName
    logger: Logger
  }) {
    this.#writer = deps.writer
    this.#invites = deps.invites
    this.#client = deps.client
    this.#roomServers = deps.roomServers
    this.#serverName = deps.serverName
    this.#logger = deps.logger
  }

  /** Issues the invite of one of our users. The room's rules check the signature. Throws M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. */
  async exchange(invite: BoundInvite): Promise<void> {
    const { roomId, sender, userId, thirdPartyInvite } = invite
    if (serverNameOf(sender) !== this.#serverName) throw invalidParam('The sender does not belong to our server')
    if (!(await this.#roomServers.isInRoom(this.#serverName, roomId)))
      throw new MatrixError('M_NOT_FOUND', 'Not an active room on this server')
    const content: JsonObject = { membership: 'invite', third_party_invite: thirdPartyInvite }
    if (serverNameOf(userId) === this.#serverName)
      await this.#writer.append({ roomId, intents: [{ type: 'm.room.member', sender, stateKey: userId, content }] })
    else await this.#invites.invite({ roomId, sender, userId, content })
  }

  /** Asks for the invites that wait for a user: here, or at the servers of those who invited. What fails is left out. */
  async redeem(invites: readonly BoundInvite[]): Promise<void> {
    for (const invite of invites) {
      try {
        if (await this.#roomServers.isInRoom(this.#serverName, invite.roomId)) await this.exchange(invite)
        else await this.#ask(invite)
      } catch (error) {
        if (!(error instanceof MatrixError) && !(error instanceof FederationRequestError)) throw error
        this.#logger.info('a third-party invite could not be redeemed', { room: invite.roomId, user: invite.userId, error })
      }
    }
  }

  async #ask({ roomId, sender, userId, thirdPartyInvite }: BoundInvite): Promise<void> {
    const destination = serverNameOf(sender)
    if (destination === undefined) return
    const content = { membership: 'invite', third_party_invite: thirdPartyInvite }
    await this.#client.request({
      destination,
      method: 'PUT',
      path: `/_matrix/federation/v1/exchange_third_party_invite/${encodeURIComponent(roomId)}`,
      body: { type: 'm.room.member', room_id: roomId, sender, state_key: userId, content },
    })
  }
}

/** Reads `signed` of a third-party invite for the user. Throws M_INVALID_PARAM where it is for somebody else. */
export function assertSignedFor(thirdPartyInvite: JsonObject, userId: UserId): void {
  const { signed } = thirdPartyInvite
  if (!isJsonObject(signed) || signed['mxid'] !== userId) throw invalidParam('The third-party invite is for another user')
}
