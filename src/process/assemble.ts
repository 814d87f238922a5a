import type { ApiContext } from '../api/endpoints.ts'
import type { Config } from '../config/config.ts'
import type { Topology } from '../config/topology.ts'
import { ErasedUsers } from '../services/accounts/erased-users.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import type { SyncSources } from '../services/sync/sync-sources.ts'
import { deletePushersOfDevices } from '../storage/tables/pushers.ts'
import { deleteConnectionsOfDevices } from '../storage/tables/sliding-sync.ts'
import { getLaneHeads } from '../storage/tables/streams.ts'
import type { StreamName } from '../streams/streams.ts'
import type { Logger } from '../util/logger.ts'
import { assembleAccounts } from './assemble-accounts.ts'
import type { AccountServices } from './assemble-accounts.ts'
import { assembleAdmission } from './assemble-admission.ts'
import { assembleAppserviceRegistry, assembleAppservices } from './assemble-appservices.ts'
import { assembleCluster, routeEvents } from './assemble-cluster.ts'
import type { Cluster } from './assemble-cluster.ts'
import { assembleCore } from './assemble-core.ts'
import type { Core } from './assemble-core.ts'
import { assembleEphemeral } from './assemble-ephemeral.ts'
import type { EphemeralServices } from './assemble-ephemeral.ts'
import { assembleEncryption } from './assemble-encryption.ts'
import type { EncryptionServices } from './assemble-encryption.ts'
import { assembleFederation } from './assemble-federation.ts'
import { assembleFederationInbound } from './assemble-federation-inbound.ts'
import { assembleFederationOutbound } from './assemble-federation-outbound.ts'
import { assembleFederationReads } from './assemble-federation-reads.ts'
import { assembleFederationRemote } from './assemble-federation-remote.ts'
import { assembleMedia } from './assemble-media.ts'
import { assemblePush } from './assemble-push.ts'
import type { PushServices } from './assemble-push.ts'
import { assemblePushSending, linkEmailPushers } from './assemble-push-sending.ts'
import { assembleDelayedEvents } from './assemble-delayed-events.ts'
import { assembleAdministration } from './assemble-administration.ts'
import { assemblePurging } from './assemble-purging.ts'
import { assembleRoomDirectory } from './assemble-room-directory.ts'
import { assembleRoomReading } from './assemble-room-reading.ts'
import { assembleRoomWriting } from './assemble-room-writing.ts'
import { assembleRooms } from './assemble-rooms.ts'
import { assembleSlidingSync } from './assemble-sliding-sync.ts'
import { assembleSync } from './assemble-sync.ts'
import { assembleThreepidInvitations } from './assemble-threepid-invitations.ts'
import { assembleUserData } from './assemble-user-data.ts'
import { assembleVerification } from './assemble-verification.ts'
import type { Observed } from './metrics.ts'
import { assembleReports, observe } from './process-report.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** Everything that one process consists of, wired. */
export interface Assembly {
  readonly client: ApiContext
  readonly cluster: Cluster
  /** What metrics are read from. */
  readonly observed: Observed
  /** Loads what must be known before the first request. */
  start(): Promise<void>
  /** After the process has joined: settles when the work that it has taken has begun. */
  ready(): Promise<void>
  stop(): Promise<void>
}

/** The composition root: makes every object of the process and hands each what it needs. */
export function assemble(deps: {
  readonly config: Config
  readonly logger: Logger
  readonly databaseOptions: DatabaseOptions
  readonly topology: Topology
  /** What the listeners of this process serve. */
  readonly resources: readonly string[]
  /** Another process has taken this one's name. */
  readonly onReplaced: () => void
}): Assembly {
  const core = assembleCore(deps)
  const cluster = assembleCluster(core, deps)
  const { database, hub, background } = core
  const services = assembleServices(core, cluster)
  const { accounts, federation, encryption, media, userData, ephemeral, push, rooms, reading } = services

  return {
    cluster,
    observed: services.observed,
    client: makeContext(core, services),
    async start() {
      for (const { name, lane, head } of await getLaneHeads(database)) hub.setHead(name as StreamName, lane, head)
      await cluster.transport.start()
      await encryption.start()
      await media.start()
      userData.start()
      await ephemeral.start()
      push.start()
      await reading.start()
      await accounts.start()
      await services.asServices.start()
      services.inbound.start()
    },
    ready: () => ephemeral.ready(),
    async stop() {
      ephemeral.stop()
      services.inbound.stop()
      services.outbound.stop()
      await accounts.stop()
      await background.drain()
      await services.pushSending.stop()
      await services.verification.stop()
      await services.asServices.stop()
      await federation.stop()
      await rooms.drain()
      await cluster.stop()
      await core.sharedCache.close()
      hub.close()
      await database.close()
    },
  }
}

/** What endpoints may call. */
function makeContext(core: Core, services: ReturnType<typeof assembleServices>): ApiContext {
  return {
    sync: services.sync,
    slidingSync: services.slidingSync,
    ...services.verification,
    ...services.accounts,
    ...services.asServices,
    ...services.encryption,
    ...services.userData,
    ...services.ephemeral,
    ...services.media,
    ...services.push,
    ...services.directory,
    ...services.reading,
    ...services.writing,
    ...services.admission,
    ...services.addresses,
    ...services.purging,
    ...services.administration,
    ...services.delayed,
    ...services.federationReads,
    ...services.outbound.client,
    ...services.remote,
    ...services.inbound,
    federationAuthenticator: services.federation.federationAuthenticator,
    serverName: core.serverName,
    random: core.random,
    ownKeys: services.federation.ownKeys,
    keyNotary: services.federation.keyNotary,
    config: core.config,
    topology: services.topology,
    clock: core.clock,
    rateLimiter: core.rateLimiter,
  }
}

/** What else happens to accounts and devices, told to those who make and end them. */
const LOCAL_NOTIFICATIONS = 'org.matrix.msc3890.local_notification_settings'

function linkAccounts(
  { config, database, clientEvents }: Core,
  { accounts, push, userData }: { accounts: AccountServices; push: PushServices; userData: UserDataServices },
): ErasedUsers {
  const erasedUsers = new ErasedUsers({ database, caches: accounts.caches })
  clientEvents.setErasedUsers(erasedUsers)
  accounts.deleteDeviceHooks.push(deletePushersOfDevices, deleteConnectionsOfDevices)
  // MSC3890: how a device notifies goes with it.
  if (config.experimental['msc3890_enabled'] === true) {
    accounts.onDevicesDeleted.push(async (userId, deviceIds) => {
      for (const deviceId of deviceIds)
        await userData.accountData.delete({ userId, roomId: undefined, type: `${LOCAL_NOTIFICATIONS}.${deviceId}` })
    })
  }
  accounts.onDeactivated.push(
    ({ userId }) => push.pushers.deleteOfUser(userId),
    ({ userId, isErased }) => (isErased ? erasedUsers.changed(userId) : Promise.resolve()),
    ({ userId, isErased }) => (isErased ? userData.profiles.clear(userId) : Promise.resolve()),
  )
  accounts.onRegistered.push(({ userId, displayName }) => userData.profiles.create(userId, displayName))
  linkEmailPushers(config, accounts, push)
  return erasedUsers
}

/** Every service, each with what it needs of the others. */
function assembleServices(core: Core, cluster: Cluster) {
  const appservices = assembleAppserviceRegistry(core)
  const verification = assembleVerification(core)
  const accounts = assembleAccounts(core, { appservices, verification })
  const federation = assembleFederation(core, { caches: accounts.caches, cluster })
  const encryption = assembleEncryption(core, accounts, { requests: federation.federationClient })
  const media = assembleMedia(core, { ...federation, cluster })
  const userData = assembleUserData(core, { avatarPolicy: media.mediaRepository, cluster })
  const ephemeral = assembleEphemeral(core, cluster)
  const push = assemblePush(core, { markers: userData.accountData })
  const rooms = assembleRooms(core, { pushActions: push.pushActions })
  const observed = observe(core, cluster, rooms)
  const topology = assembleReports(core, observed)
  const writer = routeEvents(core, cluster, rooms.writer)
  const directory = assembleRoomDirectory(core, { writer, appservices })
  const reading = assembleRoomReading(core, {
    directory,
    federation,
    accountData: userData.accountData,
    receipts: push.receipts,
    presence: ephemeral.presence,
    cluster,
  })
  const local = { verification, accounts, federation, encryption, media, userData, ephemeral, push, rooms, directory, reading }
  const erasedUsers = linkAccounts(core, local)
  const federationReads = assembleFederationReads(core, { directory, erasedUsers, keyQuery: encryption.keyQuery })
  const { roomServers } = federationReads
  const remote = assembleFederationRemote(core, { ...local, cluster, roomServers })
  reading.roomMessages.setHistory(remote.roomHistory)
  reading.roomTimes.setMissing(remote.remoteTimes)
  const writing = assembleRoomWriting(core, { ...local, ...remote, writer })
  const admission = assembleAdmission(core, { ...local, cluster })
  const addresses = assembleThreepidInvitations(core, { ...local, writing, writer })
  const purging = assemblePurging(core, { ...local, cluster, writing, writer })
  const outbound = assembleFederationOutbound(core, { cluster, federation, encryption, profiles: userData.profiles })
  const pushSending = assemblePushSending(core, { ...local, cluster })
  const asServices = assembleAppservices(core, { cluster, accounts, appservices, directory, userData })
  const inbound = assembleFederationInbound(core, { ...local, ...remote, cluster, roomServers, writer })
  return {
    ...local,
    writing,
    admission,
    addresses,
    purging,
    delayed: assembleDelayedEvents(core, { cluster, writing }),
    administration: assembleAdministration(core, { ...local, writing }),
    federationReads,
    remote,
    outbound,
    pushSending,
    asServices,
    inbound,
    ...assembleSyncs(core, cluster, local),
    observed,
    topology,
  }
}

/** Both kinds of sync, from what they share. */
function assembleSyncs(
  core: Core,
  cluster: Cluster,
  deps: { userData: UserDataServices; push: PushServices; ephemeral: EphemeralServices; encryption: EncryptionServices },
) {
  const { userData, push, ephemeral, encryption } = deps
  const sources: SyncSources = {
    accountData: userData.accountData,
    pushRules: push.pushRules,
    typing: ephemeral.typingLists,
    receipts: push.receipts,
    unreadCounts: push.unreadCounts,
    presence: ephemeral.presence,
    toDevice: encryption.toDeviceInbox,
    deviceLists: encryption.deviceLists,
    keyCounts: encryption.keyCounts,
  }
  const { sync, parts } = assembleSync(core, sources)
  const { slidingSync } = assembleSlidingSync(core, { parts, sources, cluster })
  return { sync, slidingSync }
}
