import { LRUCache } from 'lru-cache'
import type { FederationConfig } from '../../config/federation.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { clearDestinationFailure, getDestinationRetries, recordDestinationFailure } from '../../storage/tables/destinations.ts'
import type { DestinationRetry } from '../../storage/tables/destinations.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'

const CACHE = 'destination_backoff'
const ENTRIES_MAX = 20_000
/** An entry is asked for anew after this long, should an invalidation ever be missed. */
const ENTRY_MS = 600_000
/** Pauses differ by a factor from 0.8 to 1.4, so that servers which failed together are not asked together. */
const JITTER = { min: 0.8, span: 0.6 } as const
/** Times in milliseconds that fit everywhere. */
const INTERVAL_MS_MAX = 10 * 365 * 24 * 3600_000

/** Told of a destination that is there again. Must not throw. */
export type OnServerUp = (destination: ServerName) => void

const HEALTHY: DestinationRetry = { retryLastTsMs: 0, retryIntervalMs: 0, failureTsMs: undefined }

/**
 * Remembers which servers could not be reached, and leaves them alone for longer and longer: first for
 * `destination_min_retry_interval`, then `destination_retry_multiplier` times as long each time. All processes share it (table
 * destinations); a request from a server ends its pause at once, everywhere.
 */
export class DestinationBackoff {
  readonly #database: Database
  readonly #caches: CacheInvalidation
  readonly #clock: Clock
  readonly #random: Random
  readonly #config: FederationConfig['federation']
  readonly #entries = new LRUCache<ServerName, Promise<DestinationRetry>>({ max: ENTRIES_MAX, ttl: ENTRY_MS })
  readonly #onServerUp: OnServerUp[] = []

  constructor(deps: {
    database: Database
    caches: CacheInvalidation
    clock: Clock
    random: Random
    config: FederationConfig['federation']
  }) {
    this.#database = deps.database
    this.#caches = deps.caches
    this.#clock = deps.clock
    this.#random = deps.random
    this.#config = deps.config
    deps.caches.onForget(CACHE, (keys) => this.#forget(keys))
  }

  /** Registers who is told, in every process, when a destination that failed is there again: senders wake up. */
  onServerUp(handler: OnServerUp): void {
    this.#onServerUp.push(handler)
  }

  /** When the destination may be asked again; 0 when it may at once. */
  async retryAtTsMs(destination: ServerName): Promise<number> {
    const { retryLastTsMs, retryIntervalMs } = await this.#get(destination)
    const atTsMs = retryLastTsMs + retryIntervalMs
    return retryIntervalMs > 0 && atTsMs > this.#clock.nowMs() ? atTsMs : 0
  }

  /** How the destination has been reached lately. */
  async getRetry(destination: ServerName): Promise<DestinationRetry> {
    return this.#get(destination)
  }

  /** Notes that a request to the destination, begun at `startedTsMs`, failed. */
  async recordFailure(destination: ServerName, startedTsMs: number): Promise<void> {
    const { destinationMinRetryIntervalMs, destinationMaxRetryIntervalMs, destinationRetryMultiplier } = this.#config
    const jitter = JITTER.min + JITTER.span * (this.#random.bytes(2).readUInt16BE() / 0xffff)
    const intervalMaxMs = Math.min(destinationMaxRetryIntervalMs, INTERVAL_MS_MAX)
    const changed = await recordDestinationFailure(this.#database, {
      destination,
      startedTsMs,
      nowMs: this.#clock.nowMs(),
      firstIntervalMs: Math.round(Math.min(destinationMinRetryIntervalMs, intervalMaxMs)),
      factor: Math.max(1, destinationRetryMultiplier * jitter),
      intervalMaxMs: Math.round(intervalMaxMs),
    })
    if (changed !== undefined) await this.#caches.forget(CACHE, [destination])
  }

  /** Notes that the destination answered, or that a request came from it. Costs nothing when all was well. */
  async recordSuccess(destination: ServerName): Promise<void> {
    const { retryIntervalMs, failureTsMs } = await this.#get(destination)
    if (retryIntervalMs === 0 && failureTsMs === undefined) return
    if (await clearDestinationFailure(this.#database, destination)) await this.#caches.forget(CACHE, [destination, UP])
    else this.#entries.delete(destination)
  }

  #get(destination: ServerName): Promise<DestinationRetry> {
    const known = this.#entries.get(destination)
    if (known) return known
    const loading = getDestinationRetries(this.#database, [destination]).then((rows) => rows.get(destination) ?? HEALTHY)
    this.#entries.set(destination, loading)
    loading.catch(() => this.#entries.delete(destination))
    return loading
  }

  #forget(keys: readonly string[] | null): void {
    if (keys === null) {
      this.#entries.clear()
      return
    }
    const [destination, isUp] = keys as readonly [ServerName, string | undefined]
    this.#entries.delete(destination)
    if (isUp === UP) for (const handler of this.#onServerUp) handler(destination)
  }
}

/** Stands behind a destination's name in the invalidation when it came up again. No server name looks like it. */
const UP = '+up'
