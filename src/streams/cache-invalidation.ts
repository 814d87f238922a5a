import type { Database, Queryable } from '../storage/database.ts'
import {
  deleteCacheInvalidationsBefore,
  getCacheInvalidations,
  insertCacheInvalidation,
} from '../storage/tables/cache-invalidations.ts'
import type { Clock } from '../util/clock.ts'
import type { LaneCommitter } from './lane-committer.ts'
import type { StreamHub } from './stream-hub.ts'

/** How long rows are kept: a process that is further behind has nothing left in its caches. */
const KEPT_MS = 24 * 3600_000
const PRUNE_EVERY_MS = 3600_000

/** Forgets the keys of one cache; null means everything. Must not throw and must not wait. */
export type Forget = (keys: readonly string[] | null) => void

/** Tells every process to forget what it has cached: rows of the stream `caches`, by the cache's name. */
export class CacheInvalidation {
  readonly #committer: LaneCommitter<'caches'>
  readonly #clock: Clock
  readonly #caches = new Map<string, Forget[]>()
  #prunedMs = 0

  constructor(deps: { database: Database; hub: StreamHub; committer: LaneCommitter<'caches'>; clock: Clock }) {
    this.#committer = deps.committer
    this.#clock = deps.clock
    deps.hub.setReadSince('caches', (_lane, after, upTo) => getCacheInvalidations(deps.database, after, upTo))
    deps.hub.onRow('caches', ({ cache, keys }) => {
      for (const forget of this.#caches.get(cache) ?? []) forget(keys)
    })
    deps.hub.onReset('caches', () => {
      for (const list of this.#caches.values()) for (const forget of list) forget(null)
    })
  }

  /** Registers what forgets the keys of the named cache in this process. */
  onForget(cache: string, forget: Forget): void {
    const list = this.#caches.get(cache)
    if (list) list.push(forget)
    else this.#caches.set(cache, [forget])
  }

  /** Makes all processes forget the keys; settles when this one has, and the others are told. */
  async forget(cache: string, keys: readonly string[] | null): Promise<void> {
    await this.#committer.commit({
      count: 1,
      write: (tx, index) =>
        Promise.all([insertCacheInvalidation(tx, index, { cache, keys, createdTsMs: this.#clock.nowMs() }), this.#prune(tx)]),
      rows: () => [{ cache, keys }],
    })
  }

  async #prune(tx: Queryable): Promise<void> {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#prunedMs < PRUNE_EVERY_MS) return
    this.#prunedMs = nowMs
    await deleteCacheInvalidationsBefore(tx, nowMs - KEPT_MS)
  }
}
