import { OriginLimiter } from '../http/origin-limiter.ts'
import type { ErasedUsers } from '../services/accounts/erased-users.ts'
import { DeviceServer } from '../services/federation/device-server.ts'
import { EventServer } from '../services/federation/event-server.ts'
import { MembershipTemplates } from '../services/federation/membership-templates.ts'
import { RoomServers } from '../services/federation/room-servers.ts'
import { ServerVisibility } from '../services/federation/server-visibility.ts'
import { StateServer } from '../services/federation/state-server.ts'
import type { KeyQuery } from '../services/encryption/key-query.ts'
import { RestrictedJoins } from '../services/rooms/restricted-joins.ts'
import type { Core } from './assemble-core.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'

/** What other servers read of us. */
export interface FederationReadServices {
  readonly originLimiter: OriginLimiter
  readonly roomServers: RoomServers
  readonly eventServer: EventServer
  readonly stateServer: StateServer
  readonly membershipTemplates: MembershipTemplates
  readonly deviceServer: DeviceServer
}

/** Wires what answers other servers' questions. */
export function assembleFederationReads(
  core: Core,
  deps: { readonly directory: RoomDirectoryServices; readonly erasedUsers: ErasedUsers; readonly keyQuery: KeyQuery },
): FederationReadServices {
  const { config, database, hub, clock, events, memberships, serverName } = core
  const { roomSlots: slots } = deps.directory
  const roomServers = new RoomServers({ hub, memberships, slots })
  const visibility = new ServerVisibility({ database, erasedUsers: deps.erasedUsers })
  const restrictedJoins = new RestrictedJoins({ memberships, serverName })
  return {
    originLimiter: new OriginLimiter({ clock, limits: config.ratelimits.rcFederation }),
    roomServers,
    eventServer: new EventServer({ database, events, roomServers, visibility }),
    stateServer: new StateServer({ database, events, roomServers }),
    membershipTemplates: new MembershipTemplates({ database, clock, serverName, slots, roomServers, restrictedJoins }),
    deviceServer: new DeviceServer({
      database,
      keyQuery: deps.keyQuery,
      serverName,
      showsNames: config.federation.allowDeviceNameLookupOverFederation,
    }),
  }
}
