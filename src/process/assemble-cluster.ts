import { configHash, hasSecret } from '../config/topology.ts'
import type { RoleName, Topology } from '../config/topology.ts'
import type { RoomId } from '../protocol/ids.ts'
import { RoutedEventsWriter, servePersistEvents } from '../api/replication/persist-events.ts'
import type { RoomOwners } from '../api/replication/persist-events.ts'
import type { EventsWriter } from '../services/events/event-intent.ts'
import { createTransport } from '../replication/create-transport.ts'
import { serveMemberMethods } from '../replication/member-methods.ts'
import { Members } from '../replication/members.ts'
import { rendezvous } from '../replication/rendezvous.ts'
import { RoleLeases } from '../replication/role-leases.ts'
import { RpcClient } from '../replication/rpc-client.ts'
import { RpcServer } from '../replication/rpc-server.ts'
import type { Transport } from '../replication/transport.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { listMigrationFiles } from '../storage/migrations.ts'
import { readVersion } from '../util/version.ts'
import type { Core } from './assemble-core.ts'

/** What ties this process to the others of the server. A monolith has it too, and is alone. */
export interface Cluster {
  readonly topology: Topology
  readonly transport: Transport
  readonly members: Members
  readonly leases: RoleLeases
  readonly rpcServer: RpcServer
  readonly rpcClient: RpcClient
  readonly owners: RoomOwners
  /** Instance names that hold a role by choice of the admin. Read anew each time: some announce themselves. */
  preferredHolders(role: RoleName): readonly string[]
  /** Joins the others and takes the roles that are this process's. After the listeners are open. */
  join(): Promise<void>
  /** Hands rooms and roles over to others. */
  leave(): Promise<void>
  stop(): Promise<void>
}

/** Wires the process into its cluster. `resources` are what its listeners serve, for processes that look for somebody who does. */
export function assembleCluster(
  core: Core,
  deps: {
    readonly topology: Topology
    readonly databaseOptions: DatabaseOptions
    readonly resources: readonly string[]
    readonly onReplaced: () => void
  },
): Cluster {
  const { config, logger, clock, random, database, hub } = core
  const { topology } = deps
  const secret = hasSecret(config.workers) ? config.workers.workerReplicationSecret : undefined
  const boot = makeUuid(random.bytes(16))
  const transport = createTransport(config.workers, {
    database,
    options: deps.databaseOptions,
    hub,
    clock,
    random,
    self: { instance: topology.instance, boot },
    secret,
    onError: (error) => logger.warn('messages between processes fail', { error }),
    serverName: core.serverName,
    isAlone: topology.isMonolith,
  })
  const members = new Members({
    database,
    connection: deps.databaseOptions,
    clock,
    logger,
    transport,
    self: {
      instance: topology.instance,
      boot,
      url: topology.url,
      roles: [...topology.ownRoles, ...deps.resources.map(resourceRole)],
      version: readVersion(),
      schema: Number.parseInt(listMigrationFiles().at(-1) ?? '0', 10),
      configHash: configHash(config),
    },
  })
  const rpcServer = new RpcServer({ secret, logger })
  const rpcClient = new RpcClient({ members, server: rpcServer, clock, secret })
  serveMemberMethods(rpcServer, members)
  const leases = new RoleLeases({ database, members, clock, transport, logger, rpcClient, rpcServer })
  members.onReplaced(deps.onReplaced)
  return {
    topology,
    transport,
    members,
    leases,
    rpcServer,
    rpcClient,
    owners: new LiveRoomOwners({ members, topology }),
    preferredHolders(role) {
      const { preferred, isAnnounced } = topology.roles[role]
      if (!isAnnounced) return preferred
      return members.live().flatMap((member) => (member.roles.includes(role) ? [member.instance] : []))
    },
    async join() {
      await members.start()
      await leases.start()
    },
    async leave() {
      if (!topology.isMonolith) await members.drain()
      await leases.stop()
    },
    async stop() {
      await members.stop()
      await transport.stop()
      await rpcClient.close()
    },
  }
}

function makeUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** The writer that sends each room's events to its owner; serves the others with the persister of this process. */
export function routeEvents(core: Core, cluster: Cluster, persister: EventsWriter): EventsWriter {
  servePersistEvents(cluster.rpcServer, persister)
  return new RoutedEventsWriter({
    self: cluster.topology.instance,
    local: persister,
    owners: cluster.owners,
    rpc: cluster.rpcClient,
    hub: core.hub,
    random: core.random,
  })
}

/** How a member's list of roles says that it serves a listener resource. */
export function resourceRole(resource: string): string {
  return `http.${resource}`
}

/**
 * Gives each room to one of the configured event persisters that live and take new work, by rendezvous, so that one that comes
 * or goes moves only its share. With none of them alive, any process that can be called stands in.
 */
class LiveRoomOwners implements RoomOwners {
  readonly #members: Members
  readonly #configured: readonly string[]
  #turn = 0
  #candidates: readonly string[]

  constructor(deps: { members: Members; topology: Topology }) {
    this.#members = deps.members
    this.#configured = deps.topology.writers.events
    this.#candidates = [deps.topology.instance]
    deps.members.onChange(() => (this.#candidates = this.#listCandidates()))
  }

  #listCandidates(): readonly string[] {
    const members = this.#members
    const able = members.live().filter((member) => !member.isDraining)
    const configured = able.filter(({ instance }) => this.#configured.includes(instance))
    if (configured.length > 0) return configured.map(({ instance }) => instance)
    const callable = able.filter(({ url, instance }) => url !== undefined || instance === members.self.instance)
    return callable.length > 0 ? callable.map(({ instance }) => instance) : [members.self.instance]
  }

  ownerOf(roomId: RoomId | undefined): string {
    const self = this.#members.self.instance
    if (roomId !== undefined) return rendezvous(roomId, this.#candidates) ?? self
    if (this.#candidates.includes(self)) return self
    return this.#candidates[this.#turn++ % this.#candidates.length] ?? self
  }
}
