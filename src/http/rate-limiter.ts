import { MatrixError } from '../protocol/errors.ts'
import type { Clock } from '../util/clock.ts'
import { cacheOfEntries } from '../util/lru-cache.ts'

/** How often something may happen: a bucket of `burstCount` that refills at `perSecond`. Synapse's `rc_*` options. */
export interface RateLimit {
  readonly perSecond: number
  readonly burstCount: number
}

/** Buckets that several processes fill together. Returns milliseconds to wait, 0 for none; undefined where nobody can tell now. */
export interface SharedBuckets {
  takeToken(key: string, limit: RateLimit, isTaken: boolean): Promise<number | undefined>
}

const KEYS_MAX = 100_000
/** How long to wait where a bucket never empties. */
const NEVER_MS = 60_000
/** Above that, in a second, a limit is none, and not worth a question to all. */
const SHARED_PER_SECOND_MAX = 1000

/**
 * Counts actions per key in token buckets: in this process, and together with all others where there is something to share (else
 * each counts for itself). What this process alone has seen too much of is refused without asking.
 */
export class RateLimiter {
  readonly #clock: Clock
  readonly #shared: SharedBuckets | undefined
  readonly #buckets = cacheOfEntries<string, { level: number; atMs: number }>(KEYS_MAX)

  constructor(deps: { clock: Clock; shared?: SharedBuckets }) {
    this.#clock = deps.clock
    this.#shared = deps.shared
  }

  /** Takes one token of the key's bucket. Throws M_LIMIT_EXCEEDED with `retry_after_ms` when it is empty. */
  consume(key: string, limit: RateLimit): Promise<void> {
    return this.#ask(key, limit, true)
  }

  /** Throws like `consume` but takes no token: for limits that only failures use up. */
  check(key: string, limit: RateLimit): Promise<void> {
    return this.#ask(key, limit, false)
  }

  /** Takes one token where no other process counts this key. Tells whether there was one. */
  consumeHere(key: string, limit: RateLimit): boolean {
    return this.#take(key, limit, true) === 0
  }

  async #ask(key: string, limit: RateLimit, isTaken: boolean): Promise<void> {
    const hereMs = this.#take(key, limit, isTaken)
    if (hereMs > 0) throw tooMany(hereMs)
    if (!this.#shared || limit.perSecond > SHARED_PER_SECOND_MAX) return
    const sharedMs = await this.#shared.takeToken(key, limit, isTaken)
    if (sharedMs === undefined || sharedMs <= 0) return
    // Until then nobody has to be asked again.
    const level = limit.burstCount - 1 + (sharedMs / 1000) * limit.perSecond
    this.#buckets.set(key, { level, atMs: this.#clock.nowMs() })
    throw tooMany(sharedMs)
  }

  /** Returns how long to wait, in milliseconds; 0 when there is room. */
  #take(key: string, limit: RateLimit, isTaken: boolean): number {
    const nowMs = this.#clock.nowMs()
    const bucket = this.#buckets.get(key)
    const level = bucket ? Math.max(0, bucket.level - ((nowMs - bucket.atMs) / 1000) * limit.perSecond) : 0
    if (level + 1 > limit.burstCount + 1e-9) {
      return limit.perSecond > 0 ? ((level + 1 - limit.burstCount) / limit.perSecond) * 1000 : NEVER_MS
    }
    if (isTaken) this.#buckets.set(key, { level: level + 1, atMs: nowMs })
    return 0
  }
}

function tooMany(waitMs: number): MatrixError {
  return new MatrixError('M_LIMIT_EXCEEDED', 'Too Many Requests', { extra: { retry_after_ms: Math.ceil(waitMs) } })
}
