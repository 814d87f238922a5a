import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import type { ControlMessage } from '../../src/replication/transport.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import type { StreamPosition } from '../../src/streams/streams.ts'
import { eventually, startReplicationProcess } from '../kit/replication-process.ts'
import type { ReplicationProcess } from '../kit/replication-process.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'
import { startTestRedis } from '../kit/test-redis.ts'
import type { TestRedis } from '../kit/test-redis.ts'

describe('Replication through Redis', () => {
  let options: DatabaseOptions
  let redis: TestRedis
  let outsider: Redis
  let processes: ReplicationProcess[] = []

  const start = async (name: string, secret?: string): Promise<ReplicationProcess> => {
    const settings = { host: '127.0.0.1', port: redis.port }
    const process = await startReplicationProcess(options, name, { redis: settings }, secret)
    processes.push(process)
    return process
  }

  beforeAll(async () => {
    redis = await startTestRedis()
    outsider = new Redis({ host: '127.0.0.1', port: redis.port, protocol: 2, maxRetriesPerRequest: null })
    outsider.on('error', () => undefined)
  })

  beforeEach(async () => {
    options = await createTestDatabase(inject('postgres'), `replication_${randomBytes(6).toString('hex')}`)
  })

  afterEach(async () => {
    await Promise.all(processes.map((process) => process.stop()))
    processes = []
    await dropTestDatabase(options, options.database)
  })

  afterAll(async () => {
    outsider.disconnect()
    await redis.stop()
  })

  it('rows that one process writes arrive in the other, in order, without a query (RP-01)', async () => {
    const [one, two] = [await start('one'), await start('two')]
    expect(one.transport.mode).toBe('redis')
    for (let i = 0; i < 50; i++) await one.write(`k${i}`)
    await eventually(() => two.seen.length === 50, 'all rows arrive')
    expect(two.seen).toEqual(one.seen)
    expect(two.hub.stats.pagesRead).toBe(0)
    expect(two.hub.head('caches')).toBe(one.hub.head('caches'))
  })

  it('both write at once: each row is told once in each, in the order of positions', async () => {
    const both = [await start('one'), await start('two')]
    const written = await Promise.all(
      both.map(async (process, index) => {
        for (let i = 0; i < 100; i++) await process.write(`${index}/${i}`)
      }),
    )
    expect(written).toHaveLength(2)
    for (const process of both) {
      await eventually(() => process.seen.length >= 200, 'all rows of both arrive')
      expect(new Set(process.seen).size).toBe(200)
      expect(process.seen).toHaveLength(200)
      expect(process.positions).toEqual(process.positions.toSorted((a, b) => a - b))
      expect(process.errors).toEqual([])
    }
  })

  it('a writer that has seen its row as done can read it, also while another process writes (RP-09)', async () => {
    const [one, two] = [await start('one'), await start('two')]
    for (let i = 0; i < 20; i++) {
      await Promise.all([one.write(`a${i}`), two.write(`b${i}`)])
      expect(one.seen).toContain(`a${i}`)
      expect(two.seen).toContain(`b${i}`)
    }
  })

  it('frames that are doubled, reordered or lost leave no gap and tell no row twice (RP-07)', async () => {
    const two = await start('two')
    const one = await start('one')
    const frames: string[] = []
    const listener = new Redis({ host: '127.0.0.1', port: redis.port, protocol: 2 })
    listener.on('message', (_channel, text: string) => frames.push(text))
    await listener.subscribe('hs.test/r1/caches/0')
    for (let i = 0; i < 10; i++) await one.write(`k${i}`)
    await eventually(() => frames.length === 10, 'the frames pass by')
    listener.disconnect()
    // A third process that hears of it only this way: backwards, twice, and without the first three.
    const three = await start('three')
    three.hub.setHead('caches', 0, 0)
    for (const text of frames.slice(3).toReversed()) {
      await outsider.publish('hs.test/r1/caches/0', text)
      await outsider.publish('hs.test/r1/caches/0', text)
    }
    await eventually(() => three.seen.length >= 10, 'all rows are known')
    await sleep(100)
    expect(three.seen).toEqual(one.seen)
    expect(two.seen).toEqual(one.seen)
  })

  it('what is no frame is dropped and counted, and nothing throws', async () => {
    const [one, two] = [await start('one'), await start('two')]
    const good = {
      v: 1,
      by: 'x',
      boot: 'y',
      ts: 1,
      s: 'caches',
      l: 0,
      prev: 0,
      head: 1,
      rows: [[1, { cache: 'c', keys: ['k'] }]],
    }
    const forged = [
      'nonsense',
      '[]',
      'null',
      JSON.stringify({ ...good, v: 2 }),
      JSON.stringify({ ...good, s: 'constructor' }),
      JSON.stringify({ ...good, s: '__proto__' }),
      JSON.stringify({ ...good, prev: -1 }),
      JSON.stringify({ ...good, head: 2 ** 60 }),
      JSON.stringify({ ...good, l: 1 }),
      JSON.stringify({ ...good, rows: [[1, { cache: 'c', keys: [7] }]] }),
      JSON.stringify({ ...good, rows: [[1, null]] }),
      JSON.stringify({ ...good, rows: [[2, { cache: 'c', keys: null }]] }),
      JSON.stringify({ ...good, rows: {} }),
      `{"v":1,"by":"x","boot":"y","ts":1,"c":{"kind":"member","__proto__":{"polluted":true}}}`,
      '{"__proto__":{"v":1}}',
    ]
    for (const text of forged) await outsider.publish('hs.test/r1/caches/0', text)
    // A frame on the channel of another stream.
    await outsider.publish('hs.test/r1/events/0', JSON.stringify(good))
    await eventually(() => two.transport.stats.invalid === forged.length + 1, 'all are counted')
    expect(two.seen).toEqual([])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    await one.write('real')
    await eventually(() => two.seen.includes('real'), 'real rows still arrive')
  })

  it('with a secret, a message of who does not know it says nothing', async () => {
    const [one, two] = [await start('one', 'secret'), await start('two', 'secret')]
    const frame = {
      v: 1,
      by: 'x',
      boot: 'y',
      ts: 1,
      s: 'caches',
      l: 0,
      prev: 0,
      head: 1,
      rows: [[1, { cache: 'c', keys: ['k'] }]],
    }
    await outsider.publish('hs.test/r1/caches/0', JSON.stringify(frame))
    await outsider.publish('hs.test/r1/caches/0', `${'A'.repeat(22)}${JSON.stringify(frame)}`)
    await eventually(() => two.transport.stats.invalid === 2, 'both are refused')
    expect(two.seen).toEqual([])
    await one.write('real')
    await eventually(() => two.seen.includes('real'), 'signed ones arrive')
  })

  it('a head far beyond PostgreSQL, made up or from before a restore, moves nobody', async () => {
    const [one, two] = [await start('one'), await start('two')]
    const frame = {
      v: 1,
      by: 'x',
      boot: 'y',
      ts: 1,
      s: 'caches',
      l: 0,
      prev: 500_000,
      head: 500_001,
      rows: [[500_001, { cache: 'c', keys: [] }]],
    }
    await outsider.publish('hs.test/r1/caches/0', JSON.stringify(frame))
    await outsider.publish('hs.test/r1/caches/0', JSON.stringify({ ...frame, prev: 0, rows: null }))
    await eventually(() => two.hub.stats.fromFuture === 2, 'both are found out')
    expect(two.hub.head('caches')).toBe(0)
    await one.write('real')
    await eventually(() => two.seen.includes('real'), 'real rows still arrive')
  })

  it('rows that are too large travel without their content', async () => {
    const [one, two] = [await start('one'), await start('two')]
    const large = 'x'.repeat(300 * 1024)
    await one.write(large)
    await eventually(() => two.seen.length === 1, 'the row arrives')
    expect(two.seen[0]).toBe(large)
    expect(one.transport.stats.framesStripped).toBe(1)
    expect(two.hub.stats.pagesRead).toBe(1)
  })

  it('control messages and typing reach the others, not the sender', async () => {
    const [one, two] = [await start('one'), await start('two')]
    const heard: [string, ControlMessage][] = []
    one.transport.onControl((message) => heard.push(['one', message]))
    two.transport.onControl((message) => heard.push(['two', message]))
    one.transport.publishControl({ kind: 'member', instance: 'one' })
    await eventually(() => heard.length === 1, 'the message arrives')
    await sleep(50)
    expect(heard).toEqual([['two', { kind: 'member', instance: 'one' }]])
    const typing: unknown[] = []
    two.hub.onRow('typing', (row) => typing.push(row))
    const row = { roomId: '!r:hs', userIds: ['@a:hs'] }
    one.hub.commit({ stream: 'typing', lane: 0, prev: 0, rows: [{ position: (2 ** 33) as StreamPosition, row }] })
    await eventually(() => typing.length === 1, 'typing arrives')
    expect(typing).toEqual([row])
  })

  it('two servers may share a Redis: neither hears the other (RP-13)', async () => {
    const other = await createTestDatabase(inject('postgres'), `replication_${randomBytes(6).toString('hex')}`)
    const ours = [await start('one'), await start('two')] as const
    const theirs = [...'ab'].map(() =>
      startReplicationProcess(other, 'one', { redis: { host: '127.0.0.1', port: redis.port } }, undefined, 'other.test'),
    )
    const [one, two] = ours
    const [first, second] = await Promise.all(theirs)
    try {
      if (!first || !second) throw new Error('There are two')
      const heard: ControlMessage[] = []
      for (const process of [first, second]) process.transport.onControl((message) => heard.push(message))
      one.transport.publishControl({ kind: 'member', instance: 'one' })
      await Promise.all([one.write('ours'), first.write('theirs')])
      await eventually(() => two.seen.length === 1 && second.seen.length === 1, 'each is told of its own row')
      expect([one.seen, two.seen, first.seen, second.seen]).toEqual([['ours'], ['ours'], ['theirs'], ['theirs']])
      expect(heard).toEqual([])
    } finally {
      await Promise.all([first?.stop(), second?.stop()])
      await dropTestDatabase(other, other.database)
    }
  })

  it('Redis killed and back: nothing is missed, and no write waits for it (RP-12, N-05)', async () => {
    const [one, two] = [await start('one'), await start('two')]
    await one.write('before')
    const writeSome = async (prefix: string, count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        await (i % 2 === 0 ? one : two).write(`${prefix}${i}`)
        await sleep(5)
      }
    }
    const writing = writeSome('during', 200)
    await sleep(100)
    await redis.kill()
    await eventually(() => one.transport.mode === 'postgres' && two.transport.mode === 'postgres', 'they fall back', 5000)
    await writing
    await writeSome('down', 50)
    for (const process of [one, two]) await eventually(() => process.seen.length === 251, 'all rows arrive without Redis', 5000)
    await redis.restart()
    await eventually(() => one.transport.mode === 'redis' && two.transport.mode === 'redis', 'they come back')
    await writeSome('after', 50)
    for (const process of [one, two]) {
      await eventually(() => process.seen.length === 301, 'all rows arrive')
      expect(new Set(process.seen).size).toBe(301)
      expect(process.positions).toEqual(process.positions.toSorted((a, b) => a - b))
    }
  })

  it('a Redis that hangs is given up after two seconds, and no write waits for it', async () => {
    const [one, two] = [await start('one'), await start('two')]
    await outsider.call('CLIENT', 'PAUSE', '5000', 'ALL')
    // A write that waited for Redis would end with the pause, when nothing is given up any more.
    await one.write('while paused')
    await eventually(() => two.seen.includes('while paused'), 'the row arrives all the same', 4500)
    await eventually(() => one.transport.mode === 'postgres', 'it is given up', 4500)
    await eventually(() => one.transport.mode === 'redis' && two.transport.mode === 'redis', 'it is taken up again')
  })

  it('starts and works where Redis was never there', async () => {
    await redis.kill()
    try {
      const [one, two] = [await start('one'), await start('two')]
      expect(one.transport.mode).toBe('postgres')
      await one.write('k')
      await eventually(() => two.seen.includes('k'), 'the row arrives', 3000)
    } finally {
      await redis.restart()
    }
  })
})
