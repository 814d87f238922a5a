import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { claimLane, LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'
import { SeededRandom } from '../fuzz/seeded-random.ts'

const WRITERS = 6
const RUN_MS = 2000
const SEED = 20_261

describe('Lanes (I1: within one lane, commit order is position order)', () => {
  let options: DatabaseOptions
  let database: Database

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `lanes_${randomBytes(6).toString('hex')}`)
    database = new Database({ ...options, max: 24 }, { onError: () => {} })
    await database.query('create_probe', 'CREATE TABLE probe (position bigint PRIMARY KEY)')
  })

  afterAll(async () => {
    await database.close()
    await dropTestDatabase(options, options.database)
  })

  it('shows a polling reader every row, whatever writers delay and roll back', async () => {
    const random = new SeededRandom(SEED)
    const written = new Set<number>()
    const links: { prev: number; last: number }[] = []
    const over = new AbortController()
    const write = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const count = 1 + random.below(5)
        const [before, after, isRolledBack] = [random.below(4), random.below(4), random.chance(0.15)]
        const claim = await database
          .transaction('probe', async (tx) => {
            await sleep(before)
            const claimed = await claimLane(tx, { stream: 'events', lane: 0, count })
            await tx.query('insert_probe', 'INSERT INTO probe SELECT unnest($1::bigint[])', [claimed.positions])
            await sleep(after)
            if (isRolledBack) throw new RollBack()
            return claimed
          })
          .catch((error: unknown) => {
            if (error instanceof RollBack) return undefined
            throw error
          })
        if (!claim) continue
        for (const position of claim.positions) written.add(position)
        links.push({ prev: claim.prev, last: claim.positions.at(-1) ?? 0 })
      }
    }
    const seen = new Set<number>()
    let last = 0
    const poll = async (): Promise<void> => {
      for (const { position } of await database.query<{ position: number }>(
        'poll_probe',
        'SELECT position FROM probe WHERE position > $1 ORDER BY position',
        [last],
      )) {
        seen.add(position)
        last = position
      }
    }
    const writers = Array.from({ length: WRITERS }, write)
    const end = performance.now() + RUN_MS
    while (performance.now() < end) {
      await poll()
      await sleep(2)
    }
    over.abort()
    await Promise.all(writers)
    await poll()
    expect(written.size).toBeGreaterThan(100)
    expect([...written].filter((position) => !seen.has(position))).toEqual([])
    const ordered = links.toSorted((a, b) => a.last - b.last)
    // A batch's prev is the head that a reader had before it, or a position that was rolled back since.
    for (const [index, link] of ordered.entries()) expect(link.prev).toBeGreaterThanOrEqual(ordered[index - 1]?.last ?? 0)
  })

  it('commits jobs that arrive together in one transaction, and a bad one spoils only itself', async () => {
    const hub = new StreamHub({
      onError: (error) => {
        throw error
      },
    })
    const committer = new LaneCommitter({ database, hub, stream: 'push_rules' })
    const applied: number[] = []
    hub.onRow('push_rules', (_row, position) => applied.push(position))
    const job = (text: string) =>
      committer.commit({
        count: 1,
        write: (tx, index) =>
          tx.query('insert_claimed', 'INSERT INTO probe SELECT -claimed_pos(4, 0, $1) * length($2::text) / length($2::text)', [
            index,
            text,
          ]),
        rows: () => [{ userId: `@${text}:hs` }],
      })
    // length('') is 0: a division by zero inside the shared transaction.
    const results = await Promise.allSettled([job('a'), job('b'), job(''), job('c'), job('d')])
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    const positions = results.flatMap((result) => (result.status === 'fulfilled' ? result.value.positions : []))
    expect(applied).toEqual(positions.toSorted((a, b) => a - b))
    const stored = await database.query<{ n: number }>('count_claimed', 'SELECT count(*) AS n FROM probe WHERE position < 0')
    expect(stored[0]?.n).toBe(4)
    hub.close()
  })

  it("reads a lane's head only after commits under way have ended", async () => {
    let hasCommitted = false
    const slow = database
      .transaction('slow', async (tx) => {
        await claimLane(tx, { stream: 'presence', lane: 0, count: 3 })
        await sleep(150)
      })
      .then(() => (hasCommitted = true))
    await sleep(50)
    const [row] = await database.query<{ head: number }>('head_of_presence', 'SELECT lane_head(8, 0) AS head')
    expect(hasCommitted || row?.head === 3).toBe(true)
    expect(row?.head).toBe(3)
    await slow
  })
})

class RollBack extends Error {}
