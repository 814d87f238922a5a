import { RoutedConsumer } from '../api/replication/catch-up.ts'
import type { Consumer } from '../api/replication/catch-up.ts'
import { RoutedPresenceSink, servePresence } from '../api/replication/presence.ts'
import { RoutedTypingWriter, serveTyping } from '../api/replication/typing.ts'
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
import { createDeferred } from '../util/deferred.ts'
import { within } from '../util/within.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'

/** A predecessor that was killed holds its roles until its database connections are gone. */
const ROLE_START_MS = 20_000

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
  /** Settles when typing and presence have an owner, which a process that is alone is itself. */
  ready(): Promise<void>
  stop(): Promise<void>
}

/** Wires the services of user data. */
export function assembleUserData(
  core: Core,
  deps: { avatarPolicy: AvatarPolicy; cluster: Cluster; consumers: Map<string, Consumer> },
): UserDataServices {
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
  const { cluster } = deps
  const { rpcClient: rpc, rpcServer, leases } = cluster
  const typingOwner = new TypingOwner({ hub, lists: typingLists })
  serveTyping(rpcServer, { owner: typingOwner, lists: typingLists })
  const typingWriter = new RoutedTypingWriter({ owner: typingOwner, rpc, holder: () => leases.holderOf('typing_owner') })
  hub.setReadSince('typing', (_lane, after) => typingWriter.readSince(after))
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
  servePresence(rpcServer, presenceOwner)
  const presenceSink = new RoutedPresenceSink({
    owner: presenceOwner,
    rpc,
    background,
    holder: () => leases.holderOf('presence_owner'),
  })
  const presence = new Presence({
    states: presenceStates,
    sink: presenceSink,
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
  deps.consumers.set('user_directory', userDirectory)
  userDirectory.setKeeper(
    new RoutedConsumer({
      name: 'user_directory',
      streams: ['events', 'profiles'],
      local: userDirectory,
      hub,
      rpc,
      holder: () => leases.holderOf('user_directory'),
    }),
  )
  const typingOwned = createDeferred<void>()
  leases.add({
    name: 'typing_owner',
    get preferred() {
      return cluster.preferredHolders('typing_owner')
    },
    start({ epoch }) {
      typingOwner.start(epoch)
      typingOwned.resolve()
      return Promise.resolve()
    },
    stop: () => Promise.resolve(typingOwner.stop()),
  })
  leases.add({
    name: 'presence_owner',
    get preferred() {
      return cluster.preferredHolders('presence_owner')
    },
    start: () => Promise.resolve(presenceOptions.enabled === true ? presenceOwner.start() : undefined),
    stop: () => presenceOwner.stop(),
  })
  leases.add({
    name: 'user_directory',
    get preferred() {
      return cluster.preferredHolders('user_directory')
    },
    start: ({ epoch }) => userDirectory.start(epoch),
    stop: () => Promise.resolve(userDirectory.stop()),
  })
  return {
    accountData,
    tags: new Tags({ accountData }),
    filters: new FilterStore({ database, limitMax: config.server.filterTimelineLimit }),
    profiles,
    typing: new Typing({ memberships, writer: typingWriter }),
    typingLists,
    presence,
    userDirectory,
    async start() {
      accountData.start()
      if (presenceOptions.enabled !== false) await presenceStates.start()
      presence.start()
    },
    ready: () =>
      cluster.topology.isMonolith ? within(typingOwned.promise, ROLE_START_MS, 'Taking the roles') : Promise.resolve(),
    async stop() {
      presence.stop()
      presenceSink.close()
      await Promise.resolve()
    },
  }
}
