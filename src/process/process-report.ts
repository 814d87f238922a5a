import { TopologyReader } from '../api/replication/process-status.ts'
import type { ProcessReport } from '../api/replication/process-status.ts'
import { STREAMS } from '../streams/streams.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { RoomServices } from './assemble-rooms.ts'
import type { Observed } from './metrics.ts'

/** Gathers what tells how this process is. */
export function observe(core: Core, cluster: Cluster, rooms: RoomServices): Observed {
  return { hub: core.hub, cluster, persister: rooms.persister, queueLengths: () => core.queueLengths() }
}

/** Lets the other processes, administrators and `ctl` ask how this process is, and through it how all of them are. */
export function assembleReports(core: Core, observed: Observed): TopologyReader {
  const { cluster } = observed
  const { members, rpcClient, rpcServer, leases } = cluster
  const reader = new TopologyReader({
    serverName: core.serverName,
    members,
    rpc: rpcClient,
    roles: () => leases.list().map(({ role, holder, epoch }) => ({ role, holder: holder ?? null, epoch: epoch ?? null })),
  })
  reader.serve(rpcServer, () => reportOf(observed))
  return reader
}

function reportOf({ hub, cluster, persister, queueLengths }: Observed): ProcessReport {
  const heads: Record<string, number[]> = {}
  // Where a stream has no rows, a process that heard nothing yet is behind nobody.
  for (const { stream, head } of hub.heads()) if (STREAMS[stream].isPersistent) (heads[stream] ??= []).push(head)
  const queues = [['events', persister.queueLength] as const, ...queueLengths()].filter(([, length]) => length > 0)
  return {
    transport: cluster.transport.mode,
    uptime_seconds: Math.floor(process.uptime()),
    memory_bytes: process.memoryUsage.rss(),
    heads,
    lag_seconds: cluster.transport.stats.lastLagMs / 1000,
    queues: Object.fromEntries(queues),
    waiting_clients: hub.parked,
    calls_in_flight: cluster.rpcClient.inFlight,
  }
}
