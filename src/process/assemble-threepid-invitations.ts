import type { EventsWriter } from '../services/events/event-intent.ts'
import { ThreepidInvitations } from '../services/rooms/threepid-invitations.ts'
import type { Core } from './assemble-core.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'
import type { RoomWritingServices } from './assemble-room-writing.ts'
import type { UserDataServices } from './assemble-user-data.ts'
import type { VerificationServices } from './assemble-verification.ts'

/** Wires invites by e-mail address and phone number. */
export function assembleThreepidInvitations(
  { config, memberships, rateLimiter }: Core,
  deps: {
    readonly verification: VerificationServices
    readonly directory: RoomDirectoryServices
    readonly userData: UserDataServices
    readonly writing: RoomWritingServices
    readonly writer: EventsWriter
  },
): { readonly threepidInvitations: ThreepidInvitations } {
  return {
    threepidInvitations: new ThreepidInvitations({
      identityServers: deps.verification.identityServers,
      changes: deps.writing.membershipChanges,
      memberships,
      slots: deps.directory.roomSlots,
      profiles: deps.userData.profiles,
      writer: deps.writer,
      rateLimiter,
      options: {
        isEnabled: config.registration.enable3pidLookup,
        limit: config.ratelimits.rcThirdPartyInvite,
        clientLocation: config.email.email.inviteClientLocation,
      },
    }),
  }
}
