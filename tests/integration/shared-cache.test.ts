import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RateLimiter } from '../../src/http/rate-limiter.ts'
import type { RateLimit } from '../../src/http/rate-limiter.ts'
import { RedisSharedCache } from '../../src/replication/shared-cache.ts'
import { systemClock } from '../../src/util/clock.ts'
import { startTestRedis } from '../kit/test-redis.ts'
import type { TestRedis } from '../kit/test-redis.ts'

/** Slow enough that nothing comes back while a test runs. */
const TEN: RateLimit = { perSecond: 0.0001, burstCount: 10 }
const SOON = { timeout: 20_000, interval: 10 }

describe('What processes remember together in Redis (RP-02)', () => {
  let redis: TestRedis
  let caches: RedisSharedCache[] = []
  const errors: unknown[] = []

  const open = async (serverName = 'one.example'): Promise<RedisSharedCache> => {
    const settings = { host: '127.0.0.1', port: redis.port }
    const cache = new RedisSharedCache({ settings, serverName, onError: (error) => errors.push(error) })
    caches.push(cache)
    await expect.poll(() => cache.takeToken('opened', { perSecond: 100, burstCount: 100 }, false), SOON).toBe(0)
    return cache
  }

  beforeAll(async () => {
    redis = await startTestRedis()
  })

  beforeEach(async () => {
    await Promise.all(caches.map((cache) => cache.close()))
    caches = []
    await redis.restart()
  })

  afterAll(async () => {
    await Promise.all(caches.map((cache) => cache.close()))
    await redis.stop()
  })

  it('a limit holds exactly over all processes, however they compete', async () => {
    const limiters = (await Promise.all([open(), open(), open()])).map(
      (shared) => new RateLimiter({ clock: systemClock, shared }),
    )
    const attempts = Array.from({ length: 60 }, (_, index) => limiters[index % 3]?.consume('message:@a:one.example', TEN))
    const results = await Promise.allSettled(attempts)
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    const [refused] = results.filter((result) => result.status === 'rejected')
    expect(refused?.reason).toMatchObject({ errcode: 'M_LIMIT_EXCEEDED' })
    // Who has only looked has taken nothing, and others' keys are their own.
    await limiters[0]?.check('message:@b:one.example', TEN)
    await limiters[1]?.consume('message:@b:one.example', { ...TEN, burstCount: 1 })
    await expect(limiters[2]?.check('message:@b:one.example', { ...TEN, burstCount: 1 })).rejects.toThrow('Too Many Requests')
  })

  it('tokens come back as time goes by', async () => {
    const [one, two] = [await open(), await open()]
    const limit = { perSecond: 20, burstCount: 1 }
    expect(await one.takeToken('k', limit, true)).toBe(0)
    const waitMs = await two.takeToken('k', limit, true)
    expect(waitMs).toBeGreaterThan(0)
    expect(waitMs).toBeLessThanOrEqual(50)
    await expect.poll(() => two.takeToken('k', limit, true), SOON).toBe(0)
  })

  it('without Redis each process counts for itself, and nobody waits', async () => {
    const limiters = (await Promise.all([open(), open()])).map((shared) => new RateLimiter({ clock: systemClock, shared }))
    await redis.kill()
    for (const limiter of limiters) {
      const results = await Promise.allSettled(Array.from({ length: 15 }, () => limiter.consume('k', TEN)))
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    }
    await redis.restart()
    const fresh = new RateLimiter({ clock: systemClock, shared: caches[0] as RedisSharedCache })
    await expect.poll(() => caches[0]?.takeToken('other', TEN, false), SOON).toBe(0)
    await fresh.consume('k', TEN)
  })

  it('a Redis that hangs is not waited for', async () => {
    const cache = await open()
    const admin = new Redis({ host: '127.0.0.1', port: redis.port, protocol: 2 })
    await admin.call('CLIENT', 'PAUSE', '60000', 'ALL')
    // Both end long before the pause does, and the test with them.
    expect(await cache.takeToken('k', TEN, true)).toBeUndefined()
    expect(await cache.get('k')).toBeUndefined()
    admin.disconnect()
  })

  it('values are there for others until they expire, and for no other server', async () => {
    const [one, two, foreign] = [await open(), await open(), await open('two.example')]
    one.set('greeting', 'hello', 60_000)
    await expect.poll(() => two.get('greeting'), SOON).toBe('hello')
    expect(await foreign.get('greeting')).toBeUndefined()
    one.set('short', 'gone soon', 30)
    await expect.poll(() => two.get('short'), SOON).toBeUndefined()
    one.set('huge', 'x'.repeat(1024 * 1024), 60_000)
    expect(await one.get('huge')).toBeUndefined()
  })
})
