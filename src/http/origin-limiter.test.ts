import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { MatrixError } from '../protocol/errors.ts'
import { systemClock } from '../util/clock.ts'
import { OriginLimiter } from './origin-limiter.ts'
import type { OriginLimits } from './origin-limiter.ts'

const LIMITS: OriginLimits = { windowSizeMs: 1000, sleepLimit: 100, sleepDelayMs: 20, rejectLimit: 2, concurrent: 2 }

function makeLimiter(limits: Partial<OriginLimits> = {}): OriginLimiter {
  return new OriginLimiter({ clock: systemClock, limits: { ...LIMITS, ...limits } })
}

/** Tasks that end when told to. */
function makeTasks() {
  const ends: (() => void)[] = []
  const started: string[] = []
  const task = (name: string) => (): Promise<string> => {
    started.push(name)
    return new Promise((resolve) => ends.push(() => resolve(name)))
  }
  return { ends, started, task }
}

describe('the limiter of other servers', () => {
  const signal = new AbortController().signal

  it('works on a few requests of a server at once, in their order, and does not mix servers', async () => {
    const limiter = makeLimiter()
    const { ends, started, task } = makeTasks()
    const runs = ['a', 'b', 'c', 'd'].map((name) => limiter.run('one', signal, task(name)))
    runs.push(limiter.run('two', signal, task('x')))
    await turn()
    expect(started).toEqual(['a', 'b', 'x'])
    ends[0]?.()
    await turn()
    expect(started).toEqual(['a', 'b', 'x', 'c'])
    for (let index = 1; index < 5; index++) {
      ends[index]?.()
      await turn()
    }
    expect(await Promise.all(runs)).toEqual(['a', 'b', 'c', 'd', 'x'])
  })

  it('refuses requests where too many wait', async () => {
    const limiter = makeLimiter()
    const { ends, task } = makeTasks()
    const runs = ['a', 'b', 'c', 'd'].map((name) => limiter.run('one', signal, task(name)))
    await turn()
    const error = await limiter.run('one', signal, task('e')).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(MatrixError)
    expect((error as MatrixError).errcode).toBe('M_LIMIT_EXCEEDED')
    for (let index = 0; index < 4; index++) {
      ends[index]?.()
      await turn()
    }
    await Promise.all(runs)
  })

  it('delays requests beyond the window’s limit', async () => {
    const limiter = makeLimiter({ sleepLimit: 1 })
    const startMs = performance.now()
    await limiter.run('one', signal, () => Promise.resolve())
    await limiter.run('one', signal, () => Promise.resolve())
    expect(performance.now() - startMs).toBeGreaterThan(15)
  })

  it('forgets who gives up, and goes on after failures', async () => {
    const limiter = makeLimiter({ concurrent: 1 })
    const { ends, started, task } = makeTasks()
    const first = limiter.run('one', signal, task('a'))
    const abort = new AbortController()
    const second = limiter.run('one', abort.signal, task('b')).catch((reason: unknown) => reason)
    const third = limiter.run('one', signal, () => Promise.reject(new Error('broken'))).catch((reason: unknown) => reason)
    await turn()
    abort.abort()
    expect(await second).toMatchObject({ name: 'AbortError' })
    ends[0]?.()
    await first
    expect(await third).toMatchObject({ message: 'broken' })
    await limiter.run('one', signal, () => Promise.resolve())
    expect(started).toEqual(['a'])
  })
})
