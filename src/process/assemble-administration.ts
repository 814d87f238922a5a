import { AccountFacts } from '../services/accounts/account-facts.ts'
import { AdminAccounts } from '../services/accounts/admin-accounts.ts'
import { makeUserId } from '../protocol/ids.ts'
import { ServerNotices } from '../services/rooms/server-notices.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Core } from './assemble-core.ts'
import type { RoomWritingServices } from './assemble-room-writing.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** What administrators do to accounts. */
export interface AdministrationServices {
  readonly adminAccounts: AdminAccounts
  readonly accountFacts: AccountFacts
  readonly serverNotices: ServerNotices
}

/** Wires what administrators see of accounts and do to them. */
export function assembleAdministration(
  core: Core,
  deps: { readonly accounts: AccountServices; readonly userData: UserDataServices; readonly writing: RoomWritingServices },
): AdministrationServices {
  const { database, clock, random, serverName } = core
  const { caches, accounts, registration, passwords, sessions } = deps.accounts
  return {
    adminAccounts: new AdminAccounts({
      database,
      clock,
      random,
      caches,
      accounts,
      registration,
      passwords,
      sessions,
      profiles: deps.userData.profiles,
      serverName,
    }),
    accountFacts: new AccountFacts({ database, clock }),
    serverNotices: assembleServerNotices(core, deps),
  }
}

function assembleServerNotices(
  core: Core,
  deps: { readonly userData: UserDataServices; readonly writing: RoomWritingServices },
): ServerNotices {
  const { database, clock, memberships, serverName } = core
  const { serverNotices: options } = core.config.rooms
  const { systemMxidLocalpart: localpart } = options
  return new ServerNotices({
    database,
    clock,
    memberships,
    changes: deps.writing.membershipChanges,
    creation: deps.writing.roomCreation,
    events: deps.writing.eventCreator,
    profiles: deps.userData.profiles,
    tags: deps.userData.tags,
    serverName,
    options: {
      sender: localpart === undefined ? undefined : makeUserId(localpart, serverName),
      displayName: options.systemMxidDisplayName,
      avatarUrl: options.systemMxidAvatarUrl,
      roomName: options.roomName,
      roomAvatarUrl: options.roomAvatarUrl,
      roomTopic: options.roomTopic,
      joinsUsers: options.autoJoin,
    },
  })
}
