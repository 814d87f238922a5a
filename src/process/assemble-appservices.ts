import { loadAppservices } from '../config/appservices.ts'
import { IpRanges } from '../http/ip-ranges.ts'
import { OutgoingClient } from '../http/outgoing-client.ts'
import type { RoomId } from '../protocol/ids.ts'
import { Appservice } from '../services/appservices/appservice.ts'
import { AppserviceAccounts } from '../services/appservices/appservice-accounts.ts'
import { AppserviceAuthenticator } from '../services/appservices/appservice-authenticator.ts'
import { AppserviceClient } from '../services/appservices/appservice-client.ts'
import { AppserviceQueries } from '../services/appservices/appservice-queries.ts'
import { AppserviceSender } from '../services/appservices/appservice-sender.ts'
import { AppserviceStreamReader } from '../services/appservices/appservice-stream-reader.ts'
import { AppserviceTransactions } from '../services/appservices/appservice-transactions.ts'
import { Appservices } from '../services/appservices/appservices.ts'
import { OwnedMembers } from '../services/appservices/owned-members.ts'
import { RoomInterest } from '../services/appservices/room-interest.ts'
import type { Authenticator } from '../services/accounts/requester.ts'
import { getAliasesOfRoom } from '../storage/tables/room-aliases.ts'
import { readVersion } from '../util/version.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** What is known of application services before anything else is wired: who they are, and what is theirs. Throws ConfigError. */
export function assembleAppserviceRegistry(core: Pick<Core, 'config' | 'serverName'>): Appservices {
  return new Appservices(loadAppservices(core.config).map((registration) => new Appservice(registration, core.serverName)))
}

/** Application services: acting as their users, asking them, and telling them of events. */
export interface AppserviceServices {
  readonly authenticator: Authenticator
  readonly appserviceAccounts: AppserviceAccounts
  readonly appserviceQueries: AppserviceQueries
  start(): Promise<void>
  stop(): Promise<void>
}

/** Wires application services. Each is told of events under a role of its own, placed where `notify_appservices_from_worker` says. */
export function assembleAppservices(
  core: Core,
  deps: {
    readonly cluster: Cluster
    readonly accounts: AccountServices
    readonly appservices: Appservices
    readonly directory: RoomDirectoryServices
    readonly userData: UserDataServices
  },
): AppserviceServices {
  const { config, database, hub, clock, memberships, serverName } = core
  const { cluster, accounts, appservices } = deps
  const logger = core.logger.child('appservices')
  // Administrators say where their services are: mostly on this machine.
  const outgoing = new OutgoingClient({
    ranges: new IpRanges({ blacklist: [], whitelist: ['0.0.0.0/0', '::/0'] }),
    userAgent: ['Ganglion/' + readVersion(), config.server.userAgentSuffix].filter((part) => part !== undefined).join(' '),
  })
  const client = new AppserviceClient({ outgoing, clock, sendsTokenInQuery: config.users.useAppserviceLegacyAuthorization })
  for (const appservice of appservices.all) {
    if (appservice.registration.url === undefined) continue
    const getAliases = (roomId: RoomId): Promise<readonly string[]> => getAliasesOfRoom(database, roomId)
    const interest = new RoomInterest({ appservice, hub, memberships, getAliases })
    const members = new OwnedMembers({ database, hub, appservice })
    const reader = new AppserviceStreamReader({ database, appservice, interest, members, memberships, clock })
    const transactions = new AppserviceTransactions({ database, hub, clock, appservice, reader })
    const sender = new AppserviceSender({ database, appservice, client, transactions, clock, logger })
    cluster.addRole(
      `appservice_sender:${appservice.id}`,
      { start: (lease) => sender.start(lease), stop: () => sender.stop() },
      { placedAs: 'appservice_sender' },
    )
  }
  const appserviceAccounts = new AppserviceAccounts({
    database,
    appservices,
    registration: accounts.registration,
    sessions: accounts.sessions,
    clock,
    serverName,
  })
  const appserviceQueries = new AppserviceQueries({ database, appservices, client })
  deps.directory.roomAliases.setMaker((alias) => appserviceQueries.makesAlias(alias))
  deps.userData.profiles.setMaker((userId) => appserviceQueries.makesUser(userId))
  return {
    authenticator: new AppserviceAuthenticator({
      database,
      appservices,
      next: accounts.authenticator,
      lastSeen: config.users.trackAppserviceUserIps ? accounts.lastSeen : undefined,
    }),
    appserviceAccounts,
    appserviceQueries,
    start: () => appserviceAccounts.start(),
    stop: () => outgoing[Symbol.asyncDispose](),
  }
}
