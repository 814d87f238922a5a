import { RoutedRoomWork, serveRoomWork } from '../api/replication/room-work.ts'
import type { RoomId } from '../protocol/ids.ts'
import type { EventsWriter } from '../services/events/event-intent.ts'
import { DeviceListReceiver } from '../services/federation/inbound/device-list-receiver.ts'
import { EduReceiver } from '../services/federation/inbound/edu-receiver.ts'
import type { EduHandler } from '../services/federation/inbound/edu-receiver.ts'
import { EphemeralEdus } from '../services/federation/inbound/ephemeral-edus.ts'
import { EventCompletion } from '../services/federation/inbound/event-completion.ts'
import { EventFetcher } from '../services/federation/inbound/event-fetcher.ts'
import { InviteReceiver } from '../services/federation/inbound/invite-receiver.ts'
import { JoinAnswers } from '../services/federation/inbound/join-answers.ts'
import { MembershipReceiver } from '../services/federation/inbound/membership-receiver.ts'
import { OutsideEvents } from '../services/federation/inbound/outside-events.ts'
import { PduReader } from '../services/federation/inbound/pdu-reader.ts'
import { RoomWork } from '../services/federation/inbound/room-work.ts'
import { ThirdPartyInvites } from '../services/federation/inbound/third-party-invites.ts'
import { ToDeviceReceiver } from '../services/federation/inbound/to-device-receiver.ts'
import { RoomVersions } from '../services/federation/inbound/room-versions.ts'
import { TransactionReceiver } from '../services/federation/inbound/transaction-receiver.ts'
import type { ForeignEventsWriter } from '../services/events/foreign-events.ts'
import type { RemoteMemberships } from '../services/federation/remote/remote-memberships.ts'
import type { RoomServers } from '../services/federation/room-servers.ts'
import { BlockedRooms } from '../services/purge/blocked-rooms.ts'
import { InvitePolicy } from '../services/rooms/invite-policy.ts'
import { RestrictedJoins } from '../services/rooms/restricted-joins.ts'
import { strippedTypes } from '../services/rooms/stripped-state.ts'
import type { Logger } from '../util/logger.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { EncryptionServices } from './assemble-encryption.ts'
import type { EphemeralServices } from './assemble-ephemeral.ts'
import type { FederationServices } from './assemble-federation.ts'
import type { PushServices } from './assemble-push.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** What takes in what other servers send. */
export interface FederationInboundServices {
  readonly transactionReceiver: TransactionReceiver
  readonly membershipReceiver: MembershipReceiver
  readonly inviteReceiver: InviteReceiver
  readonly thirdPartyInvites: ThirdPartyInvites
  start(): void
  stop(): void
}

interface FederationInboundDeps {
  readonly cluster: Cluster
  readonly federation: FederationServices
  readonly directory: RoomDirectoryServices
  readonly roomServers: RoomServers
  /** Appends what other servers made, in each room's owner. */
  readonly remoteRooms: ForeignEventsWriter
  readonly remoteMemberships: RemoteMemberships
  readonly writer: EventsWriter
  readonly userData: Pick<UserDataServices, 'accountData'>
  readonly ephemeral: EphemeralServices
  readonly encryption: Pick<EncryptionServices, 'deviceLists'>
  readonly push: Pick<PushServices, 'receipts'>
}

/** Wires transactions, membership events and invites of other servers. */
export function assembleFederationInbound(core: Core, deps: FederationInboundDeps): FederationInboundServices {
  const { database, clock, serverName, background } = core
  const { roomServers } = deps
  const logger = core.logger.child('federation.inbound')
  const reader = new PduReader({ keyRing: deps.federation.keyRing })
  const roomVersions = new RoomVersions(database)
  const { roomWork, outside, wake } = assembleRoomWork(core, deps, { reader, roomVersions, logger })
  const stopped = new AbortController()
  const edus = new EduReceiver({ handlers: makeEduHandlers(core, deps, stopped.signal), logger })
  return {
    start: () => roomWork.start(),
    stop() {
      stopped.abort()
      roomWork.stop()
    },
    ...assembleReceivers(core, deps, { reader, wake }),
    thirdPartyInvites: new ThirdPartyInvites({
      writer: deps.writer,
      invites: deps.remoteMemberships,
      client: deps.federation.federationClient,
      roomServers,
      serverName,
      logger,
    }),
    transactionReceiver: new TransactionReceiver({
      database,
      reader,
      edus,
      outside,
      roomServers,
      roomVersions,
      wake,
      background,
      clock,
      logger,
      serverName,
    }),
  }
}

type WakeRooms = (roomIds: readonly RoomId[]) => Promise<void>

/** What works on staged events, here for the rooms that this process owns, and tells the owners of others. */
function assembleRoomWork(
  core: Core,
  deps: FederationInboundDeps,
  tools: { readonly reader: PduReader; readonly roomVersions: RoomVersions; readonly logger: Logger },
) {
  const { database, clock, memberships, serverName, background, events } = core
  const { cluster, roomServers, remoteRooms: writer } = deps
  const { reader, roomVersions, logger } = tools
  const outside = new OutsideEvents({ memberships, writer, serverName })
  const self = cluster.topology.instance
  const fetcher = new EventFetcher({ client: deps.federation.federationClient, reader })
  const roomWork = new RoomWork({
    database,
    writer,
    completion: new EventCompletion({ database, writer, fetcher, events, roomServers, serverName, logger }),
    outside,
    roomServers,
    roomVersions,
    clock,
    background,
    logger,
    serverName,
    isOwner: (roomId) => cluster.owners.ownerOf(roomId) === self,
  })
  serveRoomWork(cluster.rpcServer, roomWork)
  const routed = new RoutedRoomWork({ self, local: roomWork, owners: cluster.owners, rpc: cluster.rpcClient })
  const wake: WakeRooms = (roomIds) => routed.wake(roomIds)
  return { roomWork, outside, wake }
}

/** What takes membership events and invites that are sent by themselves. */
function assembleReceivers(
  core: Core,
  deps: FederationInboundDeps,
  tools: { readonly reader: PduReader; readonly wake: WakeRooms },
): Pick<FederationInboundServices, 'membershipReceiver' | 'inviteReceiver'> {
  const { database, clock, memberships, serverName, signingKey, events } = core
  const { roomServers, remoteRooms: writer, directory } = deps
  const { roomSlots: slots } = directory
  const common = { database, reader: tools.reader, writer, memberships, roomServers, clock, serverName, signingKey }
  return {
    membershipReceiver: new MembershipReceiver({
      ...common,
      answers: new JoinAnswers({ database, events, memberships, slots, roomServers, serverName }),
      slots,
      restrictedJoins: new RestrictedJoins({ memberships, serverName }),
      strippedTypes: strippedTypes(core.config.rooms),
    }),
    inviteReceiver: new InviteReceiver({
      ...common,
      policy: makeInvitePolicy(core, deps),
      blocked: new BlockedRooms({ database: core.database }),
      wake: tools.wake,
    }),
  }
}

function makeInvitePolicy({ config, rateLimiter, serverName }: Core, { userData }: FederationInboundDeps): InvitePolicy {
  return new InvitePolicy({
    accountData: userData.accountData,
    rateLimiter,
    limits: config.ratelimits.rcInvites,
    serverName,
    blocksNonAdmins: config.rooms.blockNonAdminInvites,
  })
}

/** What each kind of EDU does. */
function makeEduHandlers(core: Core, deps: FederationInboundDeps, signal: AbortSignal): ReadonlyMap<string, EduHandler> {
  const { config, database, hub, clock, memberships, serverName, background } = core
  const { roomServers, ephemeral, cluster } = deps
  const ephemeralEdus = new EphemeralEdus({
    memberships,
    roomServers,
    typing: ephemeral.typingWriter,
    receipts: deps.push.receipts,
    presence: config.users.presence.enabled === true ? ephemeral.presenceSink : undefined,
    background,
    clock,
    signal,
  })
  const deviceLists = new DeviceListReceiver({
    database,
    client: deps.federation.federationClient,
    deviceLists: deps.encryption.deviceLists,
    memberships,
    roomServers,
    hub,
    serverName,
    background,
    clock,
    logger: core.logger.child('federation.devices'),
  })
  cluster.addRole(
    'remote_device_lists',
    { start: () => Promise.resolve(deviceLists.start()), stop: () => Promise.resolve(deviceLists.stop()) },
    { placedAs: 'background_tasks' },
  )
  const toDevice = new ToDeviceReceiver({ database, committer: core.committer('to_device'), clock, serverName })
  return new Map<string, EduHandler>([
    ['m.typing', (origin, content) => ephemeralEdus.receiveTyping(origin, content)],
    ['m.receipt', (origin, content) => ephemeralEdus.receiveReceipts(origin, content)],
    ['m.presence', (origin, content) => ephemeralEdus.receivePresence(origin, content)],
    ['m.direct_to_device', (origin, content) => toDevice.receive(origin, content)],
    ['m.device_list_update', (origin, content) => deviceLists.receiveUpdate(origin, content)],
    ['m.signing_key_update', (origin, content) => deviceLists.receiveSigningKeys(origin, content)],
    // As Synapse still sends it besides.
    ['org.matrix.signing_key_update', (origin, content) => deviceLists.receiveSigningKeys(origin, content)],
  ])
}
