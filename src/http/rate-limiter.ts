import { MatrixError } from '../protocol/errors.ts'
import type { Clock } from '../util/clock.ts'
import { cacheOfEntries } from '../util/lru-cache.ts'

/** How often something may happen: a bucket of `burstCount` that refills at `perSecond`. Synapse's `rc_*` options. */
export interface RateLimit {
  readonly perSecond: number
  readonly burstCount: number
}

const KEYS_MAX = 100_000

/** Counts actions per key in token buckets. */
export class RateLimiter {
  readonly #clock: Clock
  readonly #buckets = cacheOfEntries<string, { level: number; atMs: number }>(KEYS_MAX)

  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock
  }

  /** Takes one token of the key's bucket. Throws M_LIMIT_EXCEEDED with `retry_after_ms` when it is empty. */
  consume(key: string, limit: RateLimit): void {
    const waitMs = this.#take(key, limit, true)
    if (waitMs > 0) {
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too Many Requests', { extra: { retry_after_ms: Math.ceil(waitMs) } })
    }
  }

  /** Throws like `consume` but takes no token: for limits that only failures use up. */
  check(key: string, limit: RateLimit): void {
    const waitMs = this.#take(key, limit, false)
    if (waitMs > 0) {
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too Many Requests', { extra: { retry_after_ms: Math.ceil(waitMs) } })
    }
  }

  /** Returns how long to wait, in milliseconds; 0 when there is room. */
  #take(key: string, limit: RateLimit, isTaken: boolean): number {
    const nowMs = this.#clock.nowMs()
    const bucket = this.#buckets.get(key)
    const level = bucket ? Math.max(0, bucket.level - ((nowMs - bucket.atMs) / 1000) * limit.perSecond) : 0
    if (level + 1 > limit.burstCount + 1e-9) {
      return limit.perSecond > 0 ? ((level + 1 - limit.burstCount) / limit.perSecond) * 1000 : 60_000
    }
    if (isTaken) this.#buckets.set(key, { level: level + 1, atMs: nowMs })
    return 0
  }
}
