import { defineRpc } from '../../replication/rpc.ts'
import type { Members } from '../../replication/members.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'

/** How one process is doing, as it says itself. */
export interface ProcessReport {
  readonly transport: string
  readonly uptime_seconds: number
  readonly memory_bytes: number
  /** Up to where it has applied each stream, by lane. */
  readonly heads: Readonly<Record<string, readonly number[]>>
  /** How old the newest frame of another process was when it came. */
  readonly lag_seconds: number
  /** Writes that wait for a commit, by stream; those with none are left out. */
  readonly queues: Readonly<Record<string, number>>
  readonly waiting_clients: number
  readonly calls_in_flight: number
}

/** A role and who does its work. */
export interface RoleReport {
  readonly role: string
  readonly holder: string | null
  readonly epoch: number | null
}

/** One process as the others know it, and as it says itself. */
export interface MemberReport {
  readonly instance: string
  readonly version: string
  readonly schema: number
  readonly draining: boolean
  readonly roles: readonly string[]
  /** Null where it did not answer. */
  readonly status: ProcessReport | null
  /** How many positions it is behind the process that is furthest, by stream; empty where it is behind nowhere. */
  readonly behind: Readonly<Record<string, number>>
}

/** All processes of the server. */
export interface TopologyReport {
  readonly server_name: string
  readonly answered_by: string
  readonly members: readonly MemberReport[]
  readonly roles: readonly RoleReport[]
}

const PROCESS_STATUS = defineRpc<Record<string, never>, ProcessReport>({
  name: 'process.status',
  deadlineMs: 2000,
  retry: 'none',
  isIdempotent: true,
})

/** The report of all processes, for `ganglion ctl`, which has no access token. */
export const clusterTopology = defineRpc<Record<string, never>, TopologyReport>({
  name: 'cluster.topology',
  deadlineMs: 5000,
  retry: 'none',
  isIdempotent: true,
})

/** Tells how the processes of the server are. */
export class TopologyReader {
  readonly #deps: {
    readonly serverName: string
    readonly members: Pick<Members, 'self' | 'live'>
    readonly rpc: RpcCaller
    roles(): readonly RoleReport[]
  }

  constructor(deps: {
    serverName: string
    members: Pick<Members, 'self' | 'live'>
    rpc: RpcCaller
    roles(): readonly RoleReport[]
  }) {
    this.#deps = deps
  }

  /** Serves the questions of other processes, and of `ctl`. */
  serve(server: RpcServer, report: () => ProcessReport): void {
    server.handle(PROCESS_STATUS, () => Promise.resolve(report()))
    server.handle(clusterTopology, () => this.read())
  }

  /** Asks every process. One that does not answer within two seconds has no status. */
  async read(): Promise<TopologyReport> {
    const { serverName, members, rpc, roles } = this.#deps
    const live = members.live().toSorted((a, b) => (a.instance < b.instance ? -1 : 1))
    const reports = await Promise.all(
      live.map(({ instance }) => rpc.call(PROCESS_STATUS, instance, {}).catch((): undefined => undefined)),
    )
    const furthest = findFurthest(reports)
    return {
      server_name: serverName,
      answered_by: members.self.instance,
      members: live.map(({ instance, version, schema, isDraining, roles: ownRoles }, index) => ({
        instance,
        version,
        schema,
        draining: isDraining,
        roles: ownRoles,
        status: reports[index] ?? null,
        behind: findBehind(reports[index], furthest),
      })),
      roles: roles(),
    }
  }
}

function findFurthest(reports: readonly (ProcessReport | undefined)[]): ReadonlyMap<string, number> {
  const furthest = new Map<string, number>()
  for (const report of reports)
    for (const [key, head] of listHeads(report)) furthest.set(key, Math.max(furthest.get(key) ?? 0, head))
  return furthest
}

function findBehind(report: ProcessReport | undefined, furthest: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries(
    listHeads(report).flatMap(([key, head]) => {
      const behind = (furthest.get(key) ?? head) - head
      return behind > 0 ? [[key, behind] as const] : []
    }),
  )
}

/** By stream, and by its lane where there are several. */
function listHeads(report: ProcessReport | undefined): (readonly [key: string, head: number])[] {
  return Object.entries(report?.heads ?? {}).flatMap(([stream, heads]) =>
    heads.map((head, lane) => [heads.length === 1 ? stream : `${stream}:${lane}`, head] as const),
  )
}
