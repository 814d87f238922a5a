import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import type { ControlMessage } from '../../src/replication/transport.ts'
import { readLaneHead } from '../../src/replication/head-poller.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { claimLane } from '../../src/streams/lane-committer.ts'
import type { StreamPosition } from '../../src/streams/streams.ts'
import { eventually, startReplicationProcess } from '../kit/replication-process.ts'
import type { ReplicationProcess } from '../kit/replication-process.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'
import { SeededRandom } from '../fuzz/seeded-random.ts'

const BACKLOG = 30_000

describe('Replication through PostgreSQL alone', () => {
  let options: DatabaseOptions
  let processes: ReplicationProcess[] = []

  const start = async (name: string): Promise<ReplicationProcess> => {
    const process = await startReplicationProcess(options, name, 'postgres')
    processes.push(process)
    return process
  }

  beforeEach(async () => {
    options = await createTestDatabase(inject('postgres'), `replication_${randomBytes(6).toString('hex')}`)
  })

  afterEach(async () => {
    await Promise.all(processes.map((process) => process.stop()))
    processes = []
    await dropTestDatabase(options, options.database)
  })

  it('rows of both arrive in both, each once and in order', async () => {
    const both = [await start('one'), await start('two')]
    await Promise.all(
      both.map(async (process, index) => {
        for (let i = 0; i < 50; i++) await process.write(`${index}/${i}`)
      }),
    )
    for (const process of both) {
      await eventually(() => process.seen.length >= 100, 'all rows arrive', 5000)
      expect(new Set(process.seen).size).toBe(100)
      expect(process.positions).toEqual(process.positions.toSorted((a, b) => a - b))
      expect(process.errors).toEqual([])
    }
  })

  it('many commits are told in few messages', async () => {
    const [one, two] = [await start('one'), await start('two')]
    let heard = 0
    two.hub.onAdvance('caches', () => heard++)
    for (let i = 0; i < 100; i++) await one.write(`k${i}`)
    await eventually(() => two.seen.length === 100, 'all rows arrive', 5000)
    expect(heard).toBeLessThan(60)
  })

  it('control messages and typing travel whole', async () => {
    const [one, two] = [await start('one'), await start('two')]
    const heard: ControlMessage[] = []
    const typing: unknown[] = []
    two.transport.onControl((message) => heard.push(message))
    two.hub.onRow('typing', (row) => typing.push(row))
    one.transport.publishControl({ kind: 'drain', instance: 'one' })
    const row = { roomId: '!r:hs', userIds: ['@a:hs'] }
    one.hub.commit({ stream: 'typing', lane: 0, prev: 0, rows: [{ position: (2 ** 33) as StreamPosition, row }] })
    await eventually(() => heard.length + typing.length === 2, 'both arrive', 5000)
    expect(heard).toEqual([{ kind: 'drain', instance: 'one' }])
    expect(typing).toEqual([row])
  })

  it('a lost connection of NOTIFY is made again, and nothing is missed', async () => {
    const [one, two] = [await start('one'), await start('two')]
    await one.database.query(
      'kill_listeners',
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ganglion notify' AND datname = current_database()`,
    )
    for (let i = 0; i < 10; i++) await one.write(`k${i}`)
    await eventually(() => two.seen.length === 10, 'all rows arrive', 5000)
    await sleep(300)
    for (let i = 10; i < 20; i++) await one.write(`k${i}`)
    await eventually(() => two.seen.length === 20, 'all rows arrive', 5000)
  })

  it('a row whose writer died before it told anybody is found by asking for heads', async () => {
    const two = await start('two')
    const database = new Database({ ...options, max: 2 }, { onError: () => undefined })
    await writeSilently(database, 3)
    await eventually(() => two.seen.length === 3, 'the rows are found', 5000)
    await database.close()
  })

  it('far behind, caches are dropped instead of being told every row; then it goes on as always', async () => {
    const [one, two] = [await start('one'), await start('two')]
    const resets: number[] = []
    let headDuringReset: number | undefined
    two.hub.onReset('caches', (head) => {
      resets.push(head)
      headDuringReset = two.hub.head('caches')
    })
    let woken = 0
    two.hub.onAdvance('caches', () => woken++)
    const database = new Database({ ...options, max: 2 }, { onError: () => undefined })
    await writeSilently(database, BACKLOG)
    await eventually(() => two.hub.head('caches') >= BACKLOG, 'the head is reached')
    expect(resets).toEqual([BACKLOG])
    expect(headDuringReset).toBe(0)
    expect(woken).toBeGreaterThan(0)
    expect(two.seen).toEqual([])
    await one.write('after')
    await eventually(() => two.seen.length === 1, 'the next row arrives', 5000)
    expect(two.seen).toEqual(['after'])
    await database.close()
  })

  it('a position that a client names is reached at once; one that nobody has written is not (RP-10, N-07)', async () => {
    const two = await start('two')
    const database = new Database({ ...options, max: 2 }, { onError: () => undefined })
    await writeSilently(database, 2500)
    await two.hub.catchUpTo('caches', 0, 2400)
    expect(two.hub.head('caches')).toBeGreaterThanOrEqual(2400)
    expect(two.seen.length).toBeGreaterThanOrEqual(2400)
    expect(two.positions).toEqual(two.positions.toSorted((a, b) => a - b))
    await two.hub.catchUpTo('caches', 0, 999_999_999)
    expect(two.hub.head('caches')).toBe(2500)
    expect(two.hub.stats.fromFuture).toBe(1)
    await database.close()
  })

  it('I1: what a head covers is committed, whoever writes, delays and rolls back in other processes', async () => {
    const random = new SeededRandom(4711)
    const writers = Array.from({ length: 4 }, () => new Database({ ...options, max: 2 }, { onError: () => undefined }))
    const reader = new Database({ ...options, max: 2 }, { onError: () => undefined })
    const over = new AbortController()
    const written = new Set<number>()
    const write = async (database: Database): Promise<void> => {
      while (!over.signal.aborted) {
        const [count, beforeMs, afterMs, isRolledBack] = [
          1 + random.below(4),
          random.below(4),
          random.below(6),
          random.chance(0.2),
        ]
        const positions = await database
          .transaction('probe', async (tx) => {
            await sleep(beforeMs)
            const claim = await claimLane(tx, { stream: 'caches', lane: 0, count })
            await tx.query('insert_probe', INSERT_AT, [claim.positions])
            await sleep(afterMs)
            if (isRolledBack) throw new RollBack()
            return claim.positions
          })
          .catch((error: unknown) => {
            if (error instanceof RollBack) return []
            throw error
          })
        for (const position of positions) written.add(position)
      }
    }
    const writing = Promise.all(writers.map(write))
    const seen = new Set<number>()
    let head = 0
    const end = performance.now() + 2000
    while (performance.now() < end) {
      const next = await readLaneHead(reader, 'caches', 0)
      for (const { position } of await reader.query<{ position: number }>(
        'poll_probe',
        'SELECT position FROM cache_invalidations WHERE position > $1 AND position <= $2',
        [head, next],
      ))
        seen.add(position)
      head = next
      await sleep(1)
    }
    over.abort()
    await writing
    // Each row at or below the last head was seen when a head first covered it: none came later.
    expect([...written].filter((position) => position <= head && !seen.has(position))).toEqual([])
    expect(seen.size).toBeGreaterThan(100)
    await Promise.all([...writers, reader].map((database) => database.close()))
  })
})

class RollBack extends Error {}

const INSERT_AT = `INSERT INTO cache_invalidations (position, cache, keys, created_ts_ms)
  SELECT position, 'test', ARRAY[position::text], 0 FROM unnest($1::bigint[]) AS position`

/** Commits rows and tells nobody, like a process that dies right after. */
async function writeSilently(database: Database, count: number): Promise<void> {
  await database.transaction('silent', async (tx) => {
    const claim = await claimLane(tx, { stream: 'caches', lane: 0, count })
    await tx.query('insert_probe', INSERT_AT, [claim.positions])
  })
}
