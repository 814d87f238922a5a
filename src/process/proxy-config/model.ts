import { ENDPOINT_GROUPS } from '../../api/endpoint-groups.ts'
import type { Balance, EndpointGroup, EndpointGroupName } from '../../api/endpoint-groups.ts'
import { ENDPOINTS } from '../../api/endpoints.ts'
import { ConfigError } from '../../config/config-error.ts'
import { listNamedWorkers } from '../../config/topology.ts'
import type { ListenerResource } from '../../http/endpoint.ts'
import { findMember, namesResource } from './members.ts'
import type { ProxyMember } from './members.ts'
import { buildRoutes } from './routes.ts'
import type { ProxyRoute } from './routes.ts'
import type { ServerProcess } from './topology.ts'

/** Processes among which requests are balanced. */
export interface ProxyPool {
  readonly name: string
  readonly members: readonly ProxyMember[]
  /** Stand in when all members are gone; only where the balance does not need the same process again. */
  readonly backups: readonly ProxyMember[]
  readonly balance: Balance
  readonly isLongPoll: boolean
  readonly isTls: boolean
}

/** A rule, and where its requests go. */
export interface PooledRoute extends ProxyRoute {
  readonly pool: ProxyPool
  /** Where those without `since` go. */
  readonly poolWithoutSince?: ProxyPool
}

/** A proxy for one topology, in no proxy's language yet. */
export interface ProxyModel {
  readonly routes: readonly PooledRoute[]
  readonly pools: readonly ProxyPool[]
  /** Names that clients and servers call this server by. */
  readonly hosts: readonly string[]
  readonly listen: readonly ProxyAddress[]
  readonly tls: { readonly certificate: string; readonly key: string } | undefined
  readonly uploadBytesMax: number
}

/** Where the proxy listens: a port, or address:port. */
export interface ProxyAddress {
  readonly address: string
  readonly isTls: boolean
}

export interface ProxyOptions {
  /** Ports or address:port; `http:` before one of them means that it speaks no TLS though there is a certificate. */
  readonly listen: readonly string[]
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** Processes for groups, as the admin wants them. */
  readonly pools?: ReadonlyMap<string, readonly string[]>
  /** Leaves out the administration API. */
  readonly isAdminHidden?: boolean
}

const PLAIN_PREFIX = /^http:/

// What the historical kinds of workers are for; all else is a generic worker. Synapse: docs/workers.md § Historical apps.
const GROUPS_OF_APP: Readonly<Record<string, readonly EndpointGroupName[]>> = {
  'synapse.app.synchrotron': ['sync', 'initial_sync', 'events_stream', 'sliding_sync'],
  'synapse.app.federation_reader': ['federation_reads', 'federation_membership', 'federation_send', 'keys'],
  'synapse.app.event_creator': ['event_sending', 'delayed_events'],
  'synapse.app.frontend_proxy': ['encryption', 'presence'],
  'synapse.app.client_reader': [
    'client_reads',
    'room_messages',
    'account',
    'login',
    'server',
    'push_rules',
    'encryption',
    'devices',
  ],
  'synapse.app.user_dir': ['user_directory'],
  'synapse.app.media_repository': ['media', 'media_admin'],
  'synapse.app.pusher': [],
  'synapse.app.appservice': [],
  'synapse.app.federation_sender': [],
}

/** Decides which process gets which requests. Throws ConfigError where nobody could serve clients, or a wish cannot be met. */
export function buildProxyModel(processes: readonly ServerProcess[], options: ProxyOptions): ProxyModel {
  const chooser = new PoolChooser(processes, options.pools ?? new Map())
  const routes = buildRoutes(ENDPOINTS).flatMap((route): PooledRoute[] => {
    if (options.isAdminHidden === true && route.pattern.startsWith('^/_synapse/admin/')) return []
    const pool = chooser.poolOf(route.group, route.resource)
    if (pool === undefined) return []
    const other: EndpointGroupName | undefined = describeGroup(route.group).withoutSince as EndpointGroupName | undefined
    const poolWithoutSince = other === undefined ? undefined : chooser.poolOf(other, route.resource)
    return [{ ...route, pool, ...(poolWithoutSince === undefined || poolWithoutSince === pool ? {} : { poolWithoutSince }) }]
  })
  if (!routes.some(({ group }) => group === 'sync'))
    throw new ConfigError(['no process has a listener of type http with the resource client: there is nothing to proxy to'])
  const config = processes[0]?.config
  return {
    routes,
    pools: chooser.pools,
    hosts: [
      ...new Set([URL.parse(config?.server.publicBaseUrl ?? '')?.hostname ?? '', hostOfName(config?.server.serverName ?? '')]),
    ].filter((host) => host !== ''),
    listen: options.listen.map((text) => ({
      address: text.replace(PLAIN_PREFIX, ''),
      isTls: options.tls !== undefined && !PLAIN_PREFIX.test(text),
    })),
    tls: options.tls,
    uploadBytesMax: config?.media.maxUploadSizeBytes ?? 0,
  }
}

function hostOfName(serverName: string): string {
  return serverName.replace(/:[0-9]+$/, '')
}

function describeGroup(name: EndpointGroupName): EndpointGroup {
  return ENDPOINT_GROUPS[name]
}

/** Chooses processes for groups, and gives those that are chosen alike one pool. */
class PoolChooser {
  readonly #processes: readonly ServerProcess[]
  readonly #wishes: ReadonlyMap<string, readonly string[]>
  readonly #pools = new Map<string, ProxyPool>()

  constructor(processes: readonly ServerProcess[], wishes: ReadonlyMap<string, readonly string[]>) {
    this.#processes = processes
    this.#wishes = wishes
    for (const [group, names] of wishes) this.#checkWish(group, names)
  }

  get pools(): readonly ProxyPool[] {
    return [...this.#pools.values()]
  }

  poolOf(group: EndpointGroupName, resource: ListenerResource): ProxyPool | undefined {
    const chosen = this.#choose(group, resource)
    const members = chosen.flatMap((process) => findMember(process, resource) ?? [])
    if (members.length === 0) return undefined
    const { balance, isLongPoll = false, needsMediaStore = false } = describeGroup(group)
    const isTls = members.some((member) => member.isTls)
    if (members.some((member) => member.isTls !== isTls))
      throw new ConfigError([
        `${members.map(({ process }) => process).join(', ')} serve ${group} together, and only some of them with TLS: give all of them a plain listener`,
      ])
    const main = this.#main()
    const standIn = main === undefined || chosen.includes(main) || needsMediaStore ? undefined : findMember(main, resource)
    const backups = standIn === undefined || standIn.isTls !== isTls ? [] : [standIn]
    const used: Balance = members.length === 1 ? 'any' : balance
    const key = JSON.stringify([members, backups, used, isLongPoll])
    const known = this.#pools.get(key)
    if (known) return known
    const name = this.#nameFor(members.length === 1 ? (members[0]?.process ?? group) : group, isLongPoll)
    const pool: ProxyPool = { name, members, backups, balance: used, isLongPoll, isTls }
    this.#pools.set(key, pool)
    return pool
  }

  /** Wished for; then writers of the stream; then those of a historical kind; then generic workers, best without a job of their own; then main. */
  #choose(group: EndpointGroupName, resource: ListenerResource): readonly ServerProcess[] {
    const wish = this.#wishes.get(group)
    if (wish) return this.#processes.filter(({ name }) => wish.includes(name))
    const able = this.#processes.filter((process) => findMember(process, resource) !== undefined)
    const main = able.filter(({ app }) => app === undefined)
    const { prefersMain = false, needsMediaStore = false } = describeGroup(group)
    if (prefersMain && main.length > 0) return main
    const generic = able.filter(({ app }) => app !== undefined && GROUPS_OF_APP[app] === undefined)
    const choices = [
      this.#writersFor(group, able),
      able.filter(({ app }) => app !== undefined && GROUPS_OF_APP[app]?.includes(group) === true),
      needsMediaStore ? generic.filter((process) => namesResource(process, 'media')) : [],
      needsMediaStore ? [] : generic.filter((process) => !this.#hasOwnJob(process)),
      needsMediaStore ? [] : generic,
      main,
    ]
    return choices.find((choice) => choice.length > 0) ?? able.slice(0, 1)
  }

  #writersFor(group: EndpointGroupName, able: readonly ServerProcess[]): readonly ServerProcess[] {
    const { prefer, isHeldByWriter = false } = describeGroup(group)
    if (prefer === undefined) return []
    const names = this.#main()?.config.workers.streamWriters[prefer] ?? []
    return able.filter(({ name, app }) => names.includes(name) && (app !== undefined || isHeldByWriter))
  }

  /** Names are for people, and of the characters that every proxy takes. */
  #nameFor(base: string, isLongPoll: boolean): string {
    const name = `ganglion_${base.replaceAll(/[^A-Za-z0-9_]/g, '_')}`
    const taken = new Set(this.pools.map((pool) => pool.name))
    if (!taken.has(name)) return name
    const long = isLongPoll ? `${name}_long` : `${name}_2`
    for (let number = 2; ; number += 1) {
      const candidate = number === 2 ? long : `${long}_${number}`
      if (!taken.has(candidate)) return candidate
    }
  }

  #main(): ServerProcess | undefined {
    return this.#processes.find(({ app }) => app === undefined)
  }

  #hasOwnJob({ name, config }: ServerProcess): boolean {
    if ([...this.#wishes.values()].some((names) => names.includes(name))) return true
    return listNamedWorkers(config.workers).some((named) => named.name === name && !named.option.startsWith('outbound'))
  }

  #checkWish(group: string, names: readonly string[]): void {
    if (!(group in ENDPOINT_GROUPS))
      throw new ConfigError([`--pool ${group}: there is no such group; there are ${Object.keys(ENDPOINT_GROUPS).join(', ')}`])
    for (const name of names) {
      if (!this.#processes.some((process) => process.name === name))
        throw new ConfigError([
          `--pool ${group}: there is no process ${name}; there are ${this.#processes.map((it) => it.name).join(', ')}`,
        ])
    }
  }
}
