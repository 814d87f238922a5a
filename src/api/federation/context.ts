import type { Config } from '../../config/config.ts'
import type { OriginLimiter } from '../../http/origin-limiter.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { OpenIdTokens } from '../../services/accounts/open-id.ts'
import type { DeviceKeyStore } from '../../services/encryption/device-key-store.ts'
import type { DeviceServer } from '../../services/federation/device-server.ts'
import type { EventServer } from '../../services/federation/event-server.ts'
import type { FederationAuthenticator } from '../../services/federation/federation-authenticator.ts'
import type { InviteReceiver } from '../../services/federation/inbound/invite-receiver.ts'
import type { MembershipReceiver } from '../../services/federation/inbound/membership-receiver.ts'
import type { ThirdPartyInvites } from '../../services/federation/inbound/third-party-invites.ts'
import type { TransactionReceiver } from '../../services/federation/inbound/transaction-receiver.ts'
import type { MembershipTemplates } from '../../services/federation/membership-templates.ts'
import type { RoomServers } from '../../services/federation/room-servers.ts'
import type { StateServer } from '../../services/federation/state-server.ts'
import type { MediaRepository } from '../../services/media/media-repository.ts'
import type { Thumbnails } from '../../services/media/thumbnails.ts'
import type { RoomAliases } from '../../services/rooms/aliases.ts'
import type { SpaceHierarchies } from '../../services/rooms/hierarchy.ts'
import type { PublicRooms } from '../../services/rooms/public-rooms.ts'
import type { Profiles } from '../../services/user-data/profiles.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'

/** The services that endpoints for other servers may call; process/assemble.ts makes it. */
export interface FederationContext {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly serverName: ServerName
  readonly federationAuthenticator: FederationAuthenticator
  /** One other server's requests, a few at a time. Option rc_federation. */
  readonly originLimiter: OriginLimiter
  readonly roomServers: RoomServers
  readonly eventServer: EventServer
  readonly stateServer: StateServer
  readonly membershipTemplates: MembershipTemplates
  readonly transactionReceiver: TransactionReceiver
  readonly membershipReceiver: MembershipReceiver
  readonly inviteReceiver: InviteReceiver
  readonly thirdPartyInvites: ThirdPartyInvites
  readonly deviceServer: DeviceServer
  readonly deviceKeys: DeviceKeyStore
  readonly profiles: Profiles
  readonly roomAliases: RoomAliases
  readonly publicRooms: PublicRooms
  readonly spaceHierarchies: SpaceHierarchies
  readonly openIdTokens: OpenIdTokens
  readonly mediaRepository: MediaRepository
  readonly thumbnails: Thumbnails
}
