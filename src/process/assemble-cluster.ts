import { configHash, hasSecret } from '../config/topology.ts'
import type { RoleName, Topology } from '../config/topology.ts'
import type { RoomId } from '../protocol/ids.ts'
import { RoutedConsumer, serveCatchUp } from '../api/replication/catch-up.ts'
import type { Consumer } from '../api/replication/catch-up.ts'
import { RoutedEventsWriter, servePersistEvents } from '../api/replication/persist-events.ts'
import type { RoomOwners } from '../api/replication/persist-events.ts'
import type { EventsWriter } from '../services/events/event-intent.ts'
import { createTransport } from '../replication/create-transport.ts'
import { serveMemberMethods } from '../replication/member-methods.ts'
import { Members } from '../replication/members.ts'
import { rendezvous } from '../replication/rendezvous.ts'
import { RoleLeases } from '../replication/role-leases.ts'
import type { RoleDefinition } from '../replication/role-turns.ts'
import type { StreamName } from '../streams/streams.ts'
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
  /** Adds work that one process does for all. Preferred are those that the configuration names for the role, or for `placedAs`. */
  addRole(name: RoleName, work: RoleWork): void
  addRole(name: string, work: RoleWork, options: { readonly placedAs: RoleName }): void
  /** Makes known who follows streams under a role of that name; returns what catches up wherever the role is held. */
  addConsumer(name: string, local: Consumer, streams: readonly StreamName[]): { catchUp(): Promise<void> }
  /** Joins the others and takes the roles that are this process's. After the listeners are open. */
  join(): Promise<void>
  /** Hands rooms and roles over to others. */
  leave(): Promise<void>
  stop(): Promise<void>
}

/** The work of a role; see RoleDefinition. */
export type RoleWork = Pick<RoleDefinition, 'start' | 'stop' | 'shards'>

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
  const { config, logger, clock, database, hub } = core
  const { topology } = deps
  const secret = hasSecret(config.workers) ? config.workers.workerReplicationSecret : undefined
  const { transport, members } = assembleMembers(core, { ...deps, secret })
  const rpcServer = new RpcServer({ secret, logger })
  const rpcClient = new RpcClient({ members, server: rpcServer, clock, secret })
  serveMemberMethods(rpcServer, members)
  const leases = new RoleLeases({ database, members, clock, transport, logger, rpcClient, rpcServer })
  members.onReplaced(deps.onReplaced)
  const consumers = new Map<string, Consumer>()
  serveCatchUp(rpcServer, { hub, consumers })
  return {
    topology,
    transport,
    members,
    leases,
    rpcServer,
    rpcClient,
    owners: new LiveRoomOwners({ members, topology }),
    addRole(name: string, work: RoleWork, options?: { readonly placedAs: RoleName }) {
      const placement = topology.roles[options?.placedAs ?? (name as RoleName)]
      leases.add({
        ...work,
        name,
        // Read anew each time: in the old form of the configuration, holders announce themselves.
        get preferred() {
          return placement.isAnnounced ? listAnnounced(members, options?.placedAs ?? name) : placement.preferred
        },
      })
    },
    addConsumer(name, local, streams) {
      consumers.set(name, local)
      return new RoutedConsumer({ name, streams, local, hub, rpc: rpcClient, holder: () => leases.holderOf(name) })
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

function assembleMembers(
  { config, logger, clock, random, database, hub, serverName }: Core,
  deps: {
    readonly topology: Topology
    readonly databaseOptions: DatabaseOptions
    readonly resources: readonly string[]
    readonly secret: string | undefined
  },
): { transport: Transport; members: Members } {
  const { topology, secret } = deps
  const self = { instance: topology.instance, boot: makeUuid(random.bytes(16)) }
  const transport = createTransport(config.workers, {
    database,
    options: deps.databaseOptions,
    hub,
    clock,
    random,
    self,
    secret,
    onError: (error) => logger.warn('messages between processes fail', { error }),
    serverName,
    isAlone: topology.isMonolith,
  })
  const members = new Members({
    database,
    connection: deps.databaseOptions,
    clock,
    logger,
    transport,
    self: {
      ...self,
      url: topology.url,
      roles: [...topology.ownRoles, ...deps.resources.map(resourceRole)],
      version: readVersion(),
      schema: Number.parseInt(listMigrationFiles().at(-1) ?? '0', 10),
      configHash: configHash(config),
    },
  })
  return { transport, members }
}

function listAnnounced(members: Members, role: string): string[] {
  return members.live().flatMap((member) => (member.roles.includes(role) ? [member.instance] : []))
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
