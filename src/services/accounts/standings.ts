import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getStanding } from '../../storage/tables/admission.ts'
import type { StandingRow } from '../../storage/tables/admission.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const STANDINGS_MAX = 20_000
const CACHE = 'account_standings'

/** Remembers what decides whether accounts may be used: agreement, end, kind. */
export class Standings {
  readonly #database: Database
  readonly #caches: CacheInvalidation
  readonly #standings = cacheOfEntries<UserId, Promise<StandingRow | undefined>>(STANDINGS_MAX)

  constructor(deps: { database: Database; caches: CacheInvalidation }) {
    this.#database = deps.database
    this.#caches = deps.caches
    deps.caches.onForget(CACHE, (keys) => {
      if (keys === null) this.#standings.clear()
      else for (const key of keys) this.#standings.delete(key as UserId)
    })
  }

  get(userId: UserId): Promise<StandingRow | undefined> {
    const known = this.#standings.get(userId)
    if (known) return known
    const loading = getStanding(this.#database, userId)
    this.#standings.set(userId, loading)
    loading.catch(() => {
      if (this.#standings.peek(userId) === loading) this.#standings.delete(userId)
    })
    return loading
  }

  /** Makes all processes read it anew. */
  changed(userId: UserId): Promise<void> {
    return this.#caches.forget(CACHE, [userId])
  }
}
