import type { UserId } from '../protocol/ids.ts'
import { EventCreator } from '../services/events/event-creator.ts'
import type { EventsWriter } from '../services/events/event-intent.ts'
import type { RemoteMemberships } from '../services/federation/remote/remote-memberships.ts'
import { isServerNoticeRoom } from '../storage/tables/server-notice-rooms.ts'
import { BlockedRooms } from '../services/purge/blocked-rooms.ts'
import { AccountRooms } from '../services/rooms/account-rooms.ts'
import { GuestEviction } from '../services/rooms/guest-eviction.ts'
import { InvitePolicy } from '../services/rooms/invite-policy.ts'
import { MembershipChanges } from '../services/rooms/membership-changes.ts'
import { ProfilePropagation } from '../services/rooms/profile-propagation.ts'
import { RestrictedJoins } from '../services/rooms/restricted-joins.ts'
import { RoomCreation } from '../services/rooms/room-creation.ts'
import { RoomUpgrade } from '../services/rooms/room-upgrade.ts'
import { RoomSettingsTransfer } from '../services/rooms/settings-transfer.ts'
import type { Succession } from '../services/rooms/settings-transfer.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Core } from './assemble-core.ts'
import type { PushServices } from './assemble-push.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** What clients write to rooms. */
export interface RoomWritingServices {
  readonly eventCreator: EventCreator
  readonly membershipChanges: MembershipChanges
  readonly roomCreation: RoomCreation
  readonly roomUpgrade: RoomUpgrade
}

interface RoomWritingDeps {
  readonly writer: EventsWriter
  readonly directory: RoomDirectoryServices
  readonly remoteMemberships: RemoteMemberships
  readonly userData: UserDataServices
  readonly accounts: AccountServices
  readonly push: Pick<PushServices, 'pushRules'>
}

/** Wires writing to rooms, and what accounts and profiles bring about in rooms. */
export function assembleRoomWriting(core: Core, deps: RoomWritingDeps): RoomWritingServices {
  const { config, database, memberships, rateLimiter, serverName, events } = core
  const { writer, directory, userData } = deps
  const { roomSlots: slots, roomAliases: aliases, roomDirectory } = directory
  const { rooms, ratelimits } = config
  const { profiles } = userData
  const invites = new InvitePolicy({
    accountData: userData.accountData,
    rateLimiter,
    limits: ratelimits.rcInvites,
    serverName,
    blocksNonAdmins: rooms.blockNonAdminInvites,
  })
  const settings = new RoomSettingsTransfer({
    database,
    serverName,
    tags: userData.tags,
    accountData: userData.accountData,
    pushRules: deps.push.pushRules,
  })
  const membershipChanges = assembleMembershipChanges(core, deps, { invites, settings })
  const roomCreation = new RoomCreation({
    writer,
    aliases,
    invites,
    remote: deps.remoteMemberships,
    profiles,
    rateLimiter,
    directory: roomDirectory,
    onSucceeded: transferringSettings(core, settings),
    options: {
      serverName,
      showsInvitedProfile: rooms.includeProfileDataOnInvite,
      defaultRoomVersion: rooms.defaultRoomVersion,
      limit: ratelimits.rcRoomCreation,
      encryptedRooms: rooms.encryptionEnabledByDefaultForRoomType as 'all' | 'invite' | 'off',
      powerLevelOverrides: rooms.defaultPowerLevelContentOverride,
    },
  })
  new GuestEviction({ database, memberships, slots, changes: membershipChanges, serverName }).watch(core.hub, core.background)
  wireAccounts(core, deps, { changes: membershipChanges, creation: roomCreation })
  return {
    membershipChanges,
    roomCreation,
    roomUpgrade: new RoomUpgrade({
      database,
      writer,
      memberships,
      aliases,
      profiles,
      settings,
      creation: roomCreation,
      directory: roomDirectory,
    }),
    eventCreator: new EventCreator({
      database,
      random: core.random,
      writer,
      events,
      slots,
      membershipChanges,
      aliases,
      rateLimiter,
      serverName,
      limits: { messages: ratelimits.rcMessage, adminRedactions: ratelimits.rcAdminRedaction },
    }),
  }
}

function transferringSettings(core: Core, settings: RoomSettingsTransfer): (userId: UserId, succession: Succession) => void {
  return (userId, succession) => core.background.run('transfer_room_settings', () => settings.transfer([userId], succession))
}

/** Joins, leaves, invites and the like; who follows a room to its successor takes their settings along. */
function assembleMembershipChanges(
  core: Core,
  deps: RoomWritingDeps,
  services: { readonly invites: InvitePolicy; readonly settings: RoomSettingsTransfer },
): MembershipChanges {
  const { config, memberships, rateLimiter, serverName } = core
  const { rooms, ratelimits } = config
  return new MembershipChanges({
    random: core.random,
    writer: deps.writer,
    memberships,
    slots: deps.directory.roomSlots,
    profiles: deps.userData.profiles,
    invites: services.invites,
    remote: deps.remoteMemberships,
    blocked: new BlockedRooms({ database: core.database }),
    notices: { isNoticeRoom: (roomId) => isServerNoticeRoom(core.database, roomId) },
    rateLimiter,
    restrictedJoins: new RestrictedJoins({ memberships, serverName }),
    onSucceeded: transferringSettings(core, services.settings),
    options: {
      serverName,
      showsInvitedProfile: rooms.includeProfileDataOnInvite,
      forgetsOnLeave: rooms.forgetRoomsOnLeave,
      allowsPerRoomProfiles: rooms.allowPerRoomProfiles,
      limits: {
        joins: ratelimits.rcJoins.local,
        remoteJoins: ratelimits.rcJoins.remote,
        joinsPerRoom: ratelimits.rcJoinsPerRoom,
        messages: ratelimits.rcMessage,
      },
    },
  })
}

/** New accounts join rooms, closed ones leave them, changed profiles show in them. */
function wireAccounts(
  core: Core,
  deps: RoomWritingDeps,
  services: { readonly changes: MembershipChanges; readonly creation: RoomCreation },
): void {
  const { config, database, memberships, serverName, logger } = core
  const { writer, directory, accounts, userData } = deps
  const { registration } = config
  const accountRooms = new AccountRooms({
    aliases: directory.roomAliases,
    memberships,
    ...services,
    options: {
      serverName,
      autoJoinRooms: registration.autoJoinRooms,
      autocreates: registration.autocreateAutoJoinRooms,
      autocreatesFederated: registration.autocreateAutoJoinRoomsFederated,
      autocreatePreset: registration.autocreateAutoJoinRoomPreset as 'public_chat' | 'private_chat' | 'trusted_private_chat',
      autoJoinLocalpart: registration.autoJoinMxidLocalpart,
      guestsJoin: registration.autoJoinRoomsForGuests,
    },
    onError: (message, fields) => logger.warn(message, fields),
  })
  userData.profiles.setPropagator(
    new ProfilePropagation({
      database,
      memberships,
      writer,
      onRefused: (roomId, error) => logger.info('a room refused a changed profile', { room: roomId, error }),
    }),
  )
  accounts.onRegistered.push((account) => accountRooms.joinWelcomeRooms(account))
  accounts.onDeactivated.push(({ userId }) => accountRooms.leaveAll(userId))
}
