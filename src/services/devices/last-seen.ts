import type { Database } from '../../storage/database.ts'
import { deleteSightsBefore, upsertSights } from '../../storage/tables/devices.ts'
import type { SightRow } from '../../storage/tables/devices.ts'
import type { Clock } from '../../util/clock.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Requester } from '../accounts/requester.ts'

/** A device's last sight may be this much out of date. */
const GRANULARITY_MS = 120_000
const FLUSH_DELAY_MS = 5_000
const PRUNE_EVERY_MS = 3600_000
const RECENT_MAX = 100_000
/** Sights that wait at the most; more are dropped, the next request of the device brings another one. */
const PENDING_MAX = 20_000
const ADDRESS_CHARS_MAX = 100
const USER_AGENT_CHARS_MAX = 500

/** Remembers when and from where devices were seen: noted in memory on each request, stored in batches. */
export class LastSeen {
  readonly #database: Database
  readonly #clock: Clock
  readonly #onError: (error: unknown) => void
  readonly #keptMs: number | undefined
  readonly #recent = cacheOfEntries<string, number>(RECENT_MAX)
  #pending = new Map<string, SightRow>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()
  #prunedMs = 0

  constructor(deps: {
    database: Database
    clock: Clock
    /** Option `user_ips_max_age`: how long addresses are kept; undefined is for ever. */
    keptMs: number | undefined
    onError: (error: unknown) => void
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#keptMs = deps.keptMs
    this.#onError = deps.onError
  }

  /** Notes a request. Costs no query. */
  note(requester: Requester, seen: { readonly remoteAddress: string; readonly userAgent: string | undefined }): void {
    const nowMs = this.#clock.nowMs()
    const key = `${requester.userId}\n${requester.deviceId ?? ''}\n${seen.remoteAddress}\n${seen.userAgent ?? ''}`
    const lastMs = this.#recent.get(key)
    if (lastMs !== undefined && nowMs - lastMs < GRANULARITY_MS) return
    this.#recent.set(key, nowMs)
    if (this.#pending.size >= PENDING_MAX) return
    this.#pending.set(key, {
      userId: requester.userId,
      deviceId: requester.deviceId ?? '',
      ip: clean(seen.remoteAddress, ADDRESS_CHARS_MAX),
      userAgent: clean(seen.userAgent ?? '', USER_AGENT_CHARS_MAX),
      lastSeenTsMs: nowMs,
    })
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_DELAY_MS).unref()
  }

  /** Stores what is noted. Settles when it is stored; a failure is reported and drops the batch. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const sights = [...distinct(this.#pending.values())]
    this.#pending = new Map()
    if (sights.length > 0) this.#flushing = this.#flushing.then(() => this.#store(sights)).catch(this.#onError)
    return this.#flushing
  }

  async #store(sights: readonly SightRow[]): Promise<void> {
    await upsertSights(this.#database, sights)
    const nowMs = this.#clock.nowMs()
    if (this.#keptMs === undefined || nowMs - this.#prunedMs < PRUNE_EVERY_MS) return
    this.#prunedMs = nowMs
    await deleteSightsBefore(this.#database, nowMs - this.#keptMs)
  }
}

/** Two keys may become one row when they are cut; PostgreSQL refuses a row that comes twice in one statement. */
function distinct(sights: Iterable<SightRow>): Iterable<SightRow> {
  const rows = new Map<string, SightRow>()
  for (const sight of sights) rows.set(`${sight.userId}\n${sight.deviceId}\n${sight.ip}\n${sight.userAgent}`, sight)
  return rows.values()
}

function clean(text: string, charsMax: number): string {
  return text.replaceAll('\u0000', '').slice(0, charsMax).toWellFormed()
}
