import type { MetricFamily, MetricSample } from '../api/metrics/metrics.ts'
import type { EventPersister } from '../services/events/event-persister.ts'
import type { StreamHub } from '../streams/stream-hub.ts'
import type { Histogram } from '../util/histogram.ts'
import type { Cluster } from './assemble-cluster.ts'
import { PROCESS_METRICS } from './metrics-process.ts'
import type { RequestCounters } from './metrics-requests.ts'

/** The objects that metrics, and whoever looks at a process from outside, are read from. */
export interface Observed {
  readonly hub: StreamHub
  readonly cluster: Cluster
  readonly persister: Pick<EventPersister, 'queueLength' | 'headMoves' | 'stateResets'>
  queueLengths(): ReadonlyMap<string, number>
}

/** What the listeners count. */
export interface ObservedListeners {
  readonly requests: RequestCounters
  /** Requests that were handed to another process, by operation. */
  readonly forwarded: ReadonlyMap<string, number>
  openRequests(): number
}

type Sources = Observed & ObservedListeners

interface Metric extends Omit<MetricFamily, 'read'> {
  read(sources: Sources): readonly MetricSample[]
}

/** Every metric of our own and those of Synapse that mean the same here. Replication design, section 10. */
export const METRICS: readonly (Metric | MetricFamily)[] = [
  ...PROCESS_METRICS,
  {
    name: 'synapse_http_server_response_count_total',
    help: 'Answered requests. `servlet` is the operation, as docs/endpoints.md names it.',
    type: 'counter',
    read: ({ requests }) => sumBy(requests.list(), ({ method, operationId }) => ({ method, servlet: operationId, tag: '' })),
  },
  {
    name: 'synapse_http_server_responses_total',
    help: 'Answered requests by status.',
    type: 'counter',
    read: ({ requests }) => sumBy(requests.list(), ({ method, status }) => ({ method, code: status })),
  },
  {
    name: 'synapse_http_server_response_time_seconds',
    help: 'From the head of a request to its answer; long polls wait in it.',
    type: 'histogram',
    read: ({ requests }) =>
      requests
        .list()
        .flatMap(({ method, operationId, status, seconds }) =>
          histogramSamples(seconds, { method, servlet: operationId, tag: '', code: status }),
        ),
  },
  {
    name: 'synapse_http_server_in_flight_requests_count',
    help: 'Requests that have no answer yet, long polls among them.',
    type: 'gauge',
    read: ({ openRequests }) => [{ value: openRequests() }],
  },
  {
    name: 'http_forwarded_total',
    help: 'Requests that came to a process that does not serve them, and were handed on: a rule of the proxy is missing.',
    type: 'counter',
    read: ({ forwarded }) => [...forwarded].map(([endpoint, value]) => ({ value, labels: { endpoint } })),
  },
  {
    name: 'synapse_storage_events_persisted_events_total',
    help: 'Events that this process has stored.',
    type: 'counter',
    read: ({ hub }) => [{ value: hub.tails.get('events')?.rows.sum ?? 0 }],
  },
  {
    name: 'lane_tail_seconds',
    help: 'Commits of a stream: waiting for the lane and COMMIT included.',
    type: 'histogram',
    read: ({ hub }) => [...hub.tails].flatMap(([stream, { seconds }]) => histogramSamples(seconds, { stream })),
  },
  {
    name: 'commit_batch_size',
    help: 'Positions that one commit claimed.',
    type: 'histogram',
    read: ({ hub }) => [...hub.tails].flatMap(([stream, { rows }]) => histogramSamples(rows, { stream })),
  },
  {
    name: 'lane_tail_failed_total',
    help: 'Commits that failed; their jobs were tried again one by one.',
    type: 'counter',
    read: ({ hub }) => [...hub.tails].map(([stream, { failed }]) => ({ value: failed, labels: { stream } })),
  },
  {
    name: 'lane_queue_jobs',
    help: 'Writes that wait for a commit.',
    type: 'gauge',
    read: ({ queueLengths, persister }) =>
      [['events', persister.queueLength] as const, ...queueLengths()].map(([stream, value]) => ({ value, labels: { stream } })),
  },
  {
    name: 'room_cas_retry_total',
    help: 'Commits of events that found their room changed by another process, and were made anew.',
    type: 'counter',
    read: ({ persister }) => [{ value: persister.headMoves }],
  },
  {
    name: 'state_reset_total',
    help: 'Resolutions of state that dropped what no event took away.',
    type: 'counter',
    read: ({ persister }) => [{ value: persister.stateResets }],
  },
  {
    name: 'repl_head',
    help: 'Up to where this process has applied a stream.',
    type: 'gauge',
    read: ({ hub }) => hub.heads().map(({ stream, lane, head }) => ({ value: head, labels: { stream, lane } })),
  },
  {
    name: 'repl_lag_seconds',
    help: 'How old the newest frame of another process was when it came.',
    type: 'gauge',
    read: ({ cluster }) => [{ value: cluster.transport.stats.lastLagMs / 1000 }],
  },
  {
    name: 'repl_frames_total',
    help: 'Frames sent to other processes, and got from them.',
    type: 'counter',
    read: ({ cluster: { transport } }) => [
      { value: transport.stats.framesSent, labels: { dir: 'out' } },
      { value: transport.stats.framesReceived, labels: { dir: 'in' } },
    ],
  },
  {
    name: 'repl_gap_total',
    help: 'Frames that came before the one in front of them.',
    type: 'counter',
    read: ({ hub }) => [{ value: hub.stats.gaps }],
  },
  {
    name: 'repl_catchup_pages_total',
    help: 'Pages of rows that were read from PostgreSQL because no frame had brought them.',
    type: 'counter',
    read: ({ hub }) => [{ value: hub.stats.pagesRead }],
  },
  {
    name: 'repl_reset_total',
    help: 'Times that a stream was so far ahead that its caches were dropped.',
    type: 'counter',
    read: ({ hub }) => [{ value: hub.stats.resets }],
  },
  {
    name: 'repl_faults_total',
    help: 'Messages between processes that were not understood, not sent, or failed.',
    type: 'counter',
    read: ({ cluster: { transport } }) =>
      (['invalid', 'dropped', 'errors', 'failovers'] as const).map((kind) => ({
        value: transport.stats[kind],
        labels: { kind },
      })),
  },
  {
    name: 'transport_mode',
    help: 'Always 1; the label says how processes hear of each other.',
    type: 'gauge',
    read: ({ cluster }) => [{ value: 1, labels: { mode: cluster.transport.mode } }],
  },
  {
    name: 'sync_token_from_future_total',
    help: 'Positions in tokens or frames that PostgreSQL does not know.',
    type: 'counter',
    read: ({ hub }) => [{ value: hub.stats.fromFuture }],
  },
  {
    name: 'sync_parked_requests',
    help: 'Clients that wait for something new.',
    type: 'gauge',
    read: ({ hub }) => [{ value: hub.parked }],
  },
  {
    name: 'member_up',
    help: 'Processes of this server that live, as this one sees them; 0 for one that takes no new work.',
    type: 'gauge',
    read: ({ cluster }) =>
      cluster.members.live().map(({ instance, isDraining }) => ({ value: isDraining ? 0 : 1, labels: { instance } })),
  },
  {
    name: 'role_epoch',
    help: 'The roles that this process holds, with their epoch.',
    type: 'gauge',
    read: ({ cluster: { leases, topology } }) =>
      leases
        .list()
        .flatMap(({ role, holder, epoch }) =>
          holder === topology.instance && epoch !== undefined ? [{ value: epoch, labels: { role } }] : [],
        ),
  },
  {
    name: 'role_takeover_total',
    help: 'How often this process took a role.',
    type: 'counter',
    read: ({ cluster }) => [{ value: cluster.leases.takeovers }],
  },
  {
    name: 'rpc_seconds',
    help: 'Calls that this process made to others and that have ended.',
    type: 'summary',
    read: ({ cluster }) =>
      cluster.rpcClient.stats.list().flatMap(({ method, code, count, seconds }) => [
        { value: seconds, labels: { method, code }, suffix: '_sum' },
        { value: count, labels: { method, code }, suffix: '_count' },
      ]),
  },
  {
    name: 'rpc_inflight',
    help: 'Calls to other processes under way.',
    type: 'gauge',
    read: ({ cluster }) => [{ value: cluster.rpcClient.inFlight }],
  },
]

/** All metrics of one process. */
export function bindMetrics(sources: Sources): MetricFamily[] {
  return METRICS.map((metric) => ({ ...metric, read: () => metric.read(sources) }))
}

function histogramSamples({ bounds, counts, sum }: Histogram, labels: Readonly<Record<string, string | number>>): MetricSample[] {
  let total = 0
  const buckets = counts.map((count, index) => {
    total += count
    return {
      value: total,
      labels: { ...labels, le: bounds[index] === undefined ? '+Inf' : String(bounds[index]) },
      suffix: '_bucket',
    }
  })
  return [...buckets, { value: sum, labels, suffix: '_sum' }, { value: total, labels, suffix: '_count' }]
}

/** Adds up the counts that have the same labels. */
function sumBy<Item extends { readonly seconds: Histogram }>(
  items: readonly Item[],
  labelsOf: (item: Item) => Readonly<Record<string, string | number>>,
): MetricSample[] {
  const sums = new Map<string, { value: number; readonly labels: Readonly<Record<string, string | number>> }>()
  for (const item of items) {
    const labels = labelsOf(item)
    const key = JSON.stringify(labels)
    const sample = sums.get(key) ?? { value: 0, labels }
    for (const count of item.seconds.counts) sample.value += count
    sums.set(key, sample)
  }
  return [...sums.values()]
}
