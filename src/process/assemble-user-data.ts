import { AccountData } from '../services/user-data/account-data.ts'
import { FilterStore } from '../services/user-data/filter-store.ts'
import { Profiles } from '../services/user-data/profiles.ts'
import type { AvatarPolicy } from '../services/user-data/profiles.ts'
import { Tags } from '../services/user-data/tags.ts'
import { UserDirectory } from '../services/user-data/user-directory.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'

/** What users keep for themselves and show of themselves. */
export interface UserDataServices {
  readonly accountData: AccountData
  readonly tags: Tags
  readonly filters: FilterStore
  readonly profiles: Profiles
  readonly userDirectory: UserDirectory
  /** Must run after the streams' heads were set. */
  start(): void
}

/** Wires the services of user data. */
export function assembleUserData(core: Core, deps: { avatarPolicy: AvatarPolicy; cluster: Cluster }): UserDataServices {
  const { config, database, hub, memberships, serverName } = core
  const accountData = new AccountData({
    database,
    hub,
    committer: core.committer('account_data'),
    filtersInvites: core.config.experimental['msc4155_enabled'] === true,
  })
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
  const { cluster } = deps
  const userDirectory = new UserDirectory({
    database,
    hub,
    background: core.background,
    options: { ...config.users.userDirectory, serverName },
  })
  userDirectory.setKeeper(cluster.addConsumer('user_directory', userDirectory, ['events', 'profiles']))
  cluster.addRole('user_directory', {
    start: ({ epoch }) => userDirectory.start(epoch),
    stop: () => Promise.resolve(userDirectory.stop()),
  })
  return {
    accountData,
    tags: new Tags({ accountData }),
    filters: new FilterStore({ database, limitMax: config.server.filterTimelineLimit }),
    profiles,
    userDirectory,
    start: () => accountData.start(),
  }
}
