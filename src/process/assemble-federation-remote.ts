import type { EventId, ServerName } from '../protocol/ids.ts'
import { RoutedRemoteRooms, serveRemoteRooms } from '../api/replication/remote-rooms.ts'
import { EventDrafts } from '../services/events/event-drafts.ts'
import { EventFetcher } from '../services/federation/inbound/event-fetcher.ts'
import { PduReader } from '../services/federation/inbound/pdu-reader.ts'
import { CandidateServers } from '../services/federation/remote/candidate-servers.ts'
import { MembershipHandshake } from '../services/federation/remote/membership-handshake.ts'
import { OutsideMemberships } from '../services/federation/remote/outside-memberships.ts'
import { RemoteAliases } from '../services/federation/remote/remote-aliases.ts'
import { RemoteInvites } from '../services/federation/remote/remote-invites.ts'
import { RemoteJoins } from '../services/federation/remote/remote-joins.ts'
import { RemoteMemberships } from '../services/federation/remote/remote-memberships.ts'
import type { RemoteRoomsWriter } from '../services/federation/remote/remote-rooms-writer.ts'
import { RemoteStates } from '../services/federation/remote/remote-states.ts'
import { RemoteTimes } from '../services/federation/remote/remote-times.ts'
import { RoomHistory } from '../services/federation/remote/room-history.ts'
import type { RoomServers } from '../services/federation/room-servers.ts'
import { strippedTypes } from '../services/rooms/stripped-state.ts'
import { insertEventRelay } from '../storage/tables/event-relays.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { FederationServices } from './assemble-federation.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'
import type { RoomServices } from './assemble-rooms.ts'

/** Rooms and users of other servers, as our users deal with them. */
export interface FederationRemoteServices {
  readonly remoteMemberships: RemoteMemberships
  readonly remoteAliases: RemoteAliases
  readonly remoteRooms: RemoteRoomsWriter
  readonly roomHistory: RoomHistory
  readonly remoteTimes: RemoteTimes
}

interface FederationRemoteDeps {
  readonly cluster: Cluster
  readonly federation: FederationServices
  readonly rooms: RoomServices
  readonly directory: RoomDirectoryServices
  readonly roomServers: RoomServers
}

/** Wires joining rooms of other servers, inviting their users, and reading what only they have. */
export function assembleFederationRemote(core: Core, deps: FederationRemoteDeps): FederationRemoteServices {
  const { config, database, clock, random, events, memberships, serverName, signingKey } = core
  const { federation, directory, roomServers } = deps
  const { federationClient: client, keyRing } = federation
  const logger = core.logger.child('federation.remote')
  const writer = routeRemoteRooms(core, deps)
  const reader = new PduReader({ keyRing })
  const handshake = new MembershipHandshake({ client, clock, random, serverName, signingKey })
  const fetcher = new EventFetcher({ client, reader })
  const states = new RemoteStates({ database, fetcher, writer })
  const history = new RoomHistory({ database, client, reader, states, writer, events, roomServers, clock, logger, serverName })
  return {
    roomHistory: history,
    remoteTimes: new RemoteTimes({ client, fetcher, history, events }),
    remoteRooms: writer,
    remoteAliases: new RemoteAliases({ client, serverName }),
    remoteMemberships: new RemoteMemberships({
      candidates: new CandidateServers({ database, memberships, roomServers, serverName }),
      joins: new RemoteJoins({ client, handshake, reader, writer, logger, noteTold: makeNoteTold(core) }),
      outside: new OutsideMemberships({ handshake, writer, events, clock, random, serverName, signingKey, logger }),
      invites: new RemoteInvites({
        client,
        keyRing,
        writer,
        slots: directory.roomSlots,
        strippedTypes: strippedTypes(config.rooms),
      }),
      memberships,
      serverName,
    }),
  }
}

/** Notes that another server tells of an event of ours: the sender of ours needs not. */
function makeNoteTold({ database, clock }: Core): (eventId: EventId, peer: ServerName) => Promise<void> {
  return (eventId, peer) => insertEventRelay(database, { eventId, isToldByUs: false, peer, createdTsMs: clock.nowMs() })
}

/** The writer that does everything in each room's owner; serves the others with what this process has. */
function routeRemoteRooms(core: Core, { cluster, rooms }: FederationRemoteDeps): RemoteRoomsWriter {
  const { clock, random, serverName, signingKey, hub } = core
  const { foreign, models } = rooms
  const drafts = new EventDrafts({ models, clock, random, serverName, signingKey })
  const local: RemoteRoomsWriter = {
    appendForeign: (request) => foreign.appendForeign(request),
    storeOutliers: (request) => foreign.storeOutliers(request),
    importRoom: (request) => foreign.importRoom(request),
    setOutsideMembership: (request) => foreign.setOutsideMembership(request),
    appendHistory: (request) => foreign.appendHistory(request),
    draftEvent: (request) => drafts.draftEvent(request),
  }
  serveRemoteRooms(cluster.rpcServer, local, hub)
  return new RoutedRemoteRooms({
    self: cluster.topology.instance,
    local,
    owners: cluster.owners,
    rpc: cluster.rpcClient,
    hub,
  })
}
