import { RoutedRoomWork, serveRoomWork } from '../api/replication/room-work.ts'
import type { RoomId } from '../protocol/ids.ts'
import { EduReceiver } from '../services/federation/inbound/edu-receiver.ts'
import type { EduHandler } from '../services/federation/inbound/edu-receiver.ts'
import { EventCompletion } from '../services/federation/inbound/event-completion.ts'
import { EventFetcher } from '../services/federation/inbound/event-fetcher.ts'
import { InviteReceiver } from '../services/federation/inbound/invite-receiver.ts'
import { JoinAnswers } from '../services/federation/inbound/join-answers.ts'
import { MembershipReceiver } from '../services/federation/inbound/membership-receiver.ts'
import { OutsideEvents } from '../services/federation/inbound/outside-events.ts'
import { PduReader } from '../services/federation/inbound/pdu-reader.ts'
import { RoomWork } from '../services/federation/inbound/room-work.ts'
import { TransactionReceiver } from '../services/federation/inbound/transaction-receiver.ts'
import type { ForeignEventsWriter } from '../services/events/foreign-events.ts'
import type { RoomServers } from '../services/federation/room-servers.ts'
import { InvitePolicy } from '../services/rooms/invite-policy.ts'
import { RestrictedJoins } from '../services/rooms/restricted-joins.ts'
import { strippedTypes } from '../services/rooms/stripped-state.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { FederationServices } from './assemble-federation.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** What takes in what other servers send. */
export interface FederationInboundServices {
  readonly transactionReceiver: TransactionReceiver
  readonly membershipReceiver: MembershipReceiver
  readonly inviteReceiver: InviteReceiver
  readonly roomWork: RoomWork
}

interface FederationInboundDeps {
  readonly cluster: Cluster
  readonly federation: FederationServices
  readonly directory: RoomDirectoryServices
  readonly roomServers: RoomServers
  /** Appends what other servers made, in each room's owner. */
  readonly remoteRooms: ForeignEventsWriter
  readonly userData: Pick<UserDataServices, 'accountData'>
}

/** Wires transactions, membership events and invites of other servers. */
export function assembleFederationInbound(core: Core, deps: FederationInboundDeps): FederationInboundServices {
  const { database, clock, memberships, serverName, signingKey, background, events } = core
  const { cluster, roomServers, remoteRooms: writer, directory } = deps
  const logger = core.logger.child('federation.inbound')
  const reader = new PduReader({ keyRing: deps.federation.keyRing })
  const outside = new OutsideEvents({ memberships, writer, serverName })
  const self = cluster.topology.instance
  const fetcher = new EventFetcher({ client: deps.federation.federationClient, reader })
  const roomWork = new RoomWork({
    database,
    writer,
    completion: new EventCompletion({ database, writer, fetcher, events, roomServers, serverName, logger }),
    outside,
    roomServers,
    clock,
    background,
    logger,
    serverName,
    isOwner: (roomId) => cluster.owners.ownerOf(roomId) === self,
  })
  serveRoomWork(cluster.rpcServer, roomWork)
  const routed = new RoutedRoomWork({ self, local: roomWork, owners: cluster.owners, rpc: cluster.rpcClient })
  const wake = (roomIds: readonly RoomId[]): Promise<void> => routed.wake(roomIds)
  const edus = new EduReceiver({ handlers: new Map<string, EduHandler>(), logger })
  return {
    roomWork,
    transactionReceiver: new TransactionReceiver({
      database,
      reader,
      edus,
      outside,
      roomServers,
      wake,
      background,
      clock,
      logger,
      serverName,
    }),
    membershipReceiver: new MembershipReceiver({
      database,
      reader,
      writer,
      answers: new JoinAnswers({ database, events, memberships, slots: directory.roomSlots, roomServers, serverName }),
      memberships,
      roomServers,
      slots: directory.roomSlots,
      restrictedJoins: new RestrictedJoins({ memberships, serverName }),
      clock,
      serverName,
      signingKey,
      strippedTypes: strippedTypes(core.config.rooms),
    }),
    inviteReceiver: new InviteReceiver({
      database,
      reader,
      writer,
      memberships,
      roomServers,
      policy: makeInvitePolicy(core, deps),
      wake,
      clock,
      serverName,
      signingKey,
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
