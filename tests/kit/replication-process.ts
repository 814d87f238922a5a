import { setTimeout as sleep } from 'node:timers/promises'
import { PostgresTransport } from '../../src/replication/postgres-transport.ts'
import { RedisTransport } from '../../src/replication/redis-transport.ts'
import type { RedisSettings } from '../../src/replication/redis-settings.ts'
import type { Transport } from '../../src/replication/transport.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions, Queryable } from '../../src/storage/database.ts'
import { getLaneHeads } from '../../src/storage/tables/streams.ts'
import { LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import type { StreamName, StreamPosition } from '../../src/streams/streams.ts'
import { systemClock } from '../../src/util/clock.ts'
import { systemRandom } from '../../src/util/random.ts'

export type TransportChoice = { redis: RedisSettings } | 'postgres'

/** What one process has of replication: a database, a hub and a transport, all its own. Its stream of tests is `caches`. */
export interface ReplicationProcess {
  readonly database: Database
  readonly hub: StreamHub
  readonly transport: Transport
  /** The keys of `caches` rows, in the order in which this process was told them. */
  readonly seen: string[]
  readonly positions: StreamPosition[]
  readonly errors: unknown[]
  /** Commits a row; settles like a request would. */
  write(key: string): Promise<number>
  stop(): Promise<void>
}

/** Starts one; `secret` makes it sign its messages, `serverName` belongs to another server than that of the others. */
export async function startReplicationProcess(
  options: DatabaseOptions,
  name: string,
  choice: TransportChoice,
  secret?: string,
  serverName = 'hs.test',
): Promise<ReplicationProcess> {
  const errors: unknown[] = []
  const onError = (error: unknown): unknown => errors.push(error)
  const database = new Database({ ...options, max: 6 }, { onError })
  const hub = new StreamHub({ onError })
  const seen: string[] = []
  const positions: StreamPosition[] = []
  hub.setReadSince('caches', (_lane, after, upTo) => readCaches(database, after, upTo))
  hub.onRow('caches', ({ keys }, position) => {
    seen.push(keys?.[0] ?? '')
    positions.push(position)
  })
  for (const lane of await getLaneHeads(database)) hub.setHead(lane.name as StreamName, lane.lane, lane.head)
  const self = { instance: name, boot: `boot-${name}` }
  const deps = { database, options, hub, clock: systemClock, random: systemRandom, self, secret, onError }
  const transport =
    choice === 'postgres' ? new PostgresTransport(deps) : new RedisTransport({ ...deps, settings: choice.redis, serverName })
  await transport.start()
  const committer = new LaneCommitter({ database, hub, stream: 'caches' })
  return {
    database,
    hub,
    transport,
    seen,
    positions,
    errors,
    async write(key) {
      const { positions: written } = await committer.commit({
        count: 1,
        write: (tx, index) => insertCaches(tx, index, key),
        rows: () => [{ cache: 'test', keys: [key] }],
      })
      return written[0] ?? 0
    },
    async stop() {
      await transport.stop()
      hub.close()
      await database.close()
    },
  }
}

function insertCaches(tx: Queryable, index: number, key: string): Promise<unknown> {
  return tx.query(
    'test_insert_caches',
    `INSERT INTO cache_invalidations (position, cache, keys, created_ts_ms) VALUES (claimed_pos(10, 0, $1), 'test', ARRAY[$2::text], 0)`,
    [index, key],
  )
}

async function readCaches(database: Database, after: number, upTo: number) {
  const rows = await database.query<{ position: StreamPosition; keys: string[] }>(
    'test_read_caches',
    'SELECT position, keys FROM cache_invalidations WHERE position > $1 AND position <= $2 ORDER BY position',
    [after, upTo],
  )
  return rows.map(({ position, keys }) => ({ position, row: { cache: 'test', keys } }))
}

/** Waits until the condition holds. */
export async function eventually(condition: () => boolean, what: string, timeoutMs = 20_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`It did not come true: ${what}`)
    await sleep(10)
  }
}
