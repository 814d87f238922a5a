import { PresenceOwner } from '../services/ephemeral/presence-owner.ts'
import { PresenceStates } from '../services/ephemeral/presence-states.ts'
import { Presence } from '../services/ephemeral/presence.ts'
import { TypingLists } from '../services/ephemeral/typing-lists.ts'
import { TypingOwner } from '../services/ephemeral/typing-owner.ts'
import { Typing } from '../services/ephemeral/typing.ts'
import { AccountData } from '../services/user-data/account-data.ts'
import { FilterStore } from '../services/user-data/filter-store.ts'
import { Profiles } from '../services/user-data/profiles.ts'
import type { AvatarPolicy } from '../services/user-data/profiles.ts'
import { Tags } from '../services/user-data/tags.ts'
import { UserDirectory } from '../services/user-data/user-directory.ts'
import { drawTypingEpoch } from '../storage/tables/typing-epoch.ts'
import type { Core } from './assemble-core.ts'

/** What users keep for themselves and show of themselves. */
export interface UserDataServices {
  readonly accountData: AccountData
  readonly tags: Tags
  readonly filters: FilterStore
  readonly profiles: Profiles
  readonly typing: Typing
  readonly typingLists: TypingLists
  readonly presence: Presence
  readonly userDirectory: UserDirectory
  /** Must run after the streams' heads were set. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** Wires the services of user data. */
export function assembleUserData(core: Core, deps: { avatarPolicy: AvatarPolicy }): UserDataServices {
  const { config, database, hub, memberships, serverName } = core
  const accountData = new AccountData({ database, hub, committer: core.committer('account_data') })
  const profiles = new Profiles({
    database,
    hub,
    memberships,
    committer: core.committer('profiles'),
    avatarPolicy: deps.avatarPolicy,
    options: {
      serverName,
      enableSetDisplayname: config.registration.enableSetDisplayname,
      enableSetAvatarUrl: config.registration.enableSetAvatarUrl,
      requireAuth: config.rooms.requireAuthForProfileRequests,
      limitToUsersWhoShareRooms: config.rooms.limitProfileRequestsToUsersWhoShareRooms,
    },
  })
  const typingLists = new TypingLists({ hub })
  const typingOwner = new TypingOwner({ hub, lists: typingLists })
  const presenceStates = new PresenceStates({ database, hub })
  const presenceOptions = {
    ...config.users.presence,
    serverName,
    excludedRooms: config.rooms.excludeRoomsFromPresence,
    rateLimit: config.ratelimits.rcPresence.perUser,
  }
  const { clock, rateLimiter, background } = core
  const presenceOwner = new PresenceOwner({
    states: presenceStates,
    committer: core.committer('presence'),
    background,
    clock,
    rateLimiter,
    options: presenceOptions,
  })
  const presence = new Presence({
    states: presenceStates,
    sink: presenceOwner,
    clock,
    rateLimiter,
    memberships,
    options: presenceOptions,
  })
  const userDirectory = new UserDirectory({
    database,
    hub,
    background: core.background,
    options: { ...config.users.userDirectory, serverName },
  })
  return {
    accountData,
    tags: new Tags({ accountData }),
    filters: new FilterStore({ database, limitMax: config.server.filterTimelineLimit }),
    profiles,
    typing: new Typing({ memberships, writer: typingOwner }),
    typingLists,
    presence,
    userDirectory,
    async start() {
      accountData.start()
      typingOwner.start(await drawTypingEpoch(database))
      if (presenceOptions.enabled !== false) await presenceStates.start()
      if (presenceOptions.enabled === true) presenceOwner.start()
      presence.start()
      await userDirectory.start(1)
    },
    async stop() {
      userDirectory.stop()
      typingOwner.stop()
      presence.stop()
      await presenceOwner.stop()
    },
  }
}
