import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getErasedUsers } from '../../storage/tables/users.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const CACHE = 'erased_users'
const USERS_MAX = 50_000

/** Knows who asked for their messages to be erased. Spec: account_deactivation.yaml, `erase`. */
export class ErasedUsers {
  readonly #database: Database
  readonly #caches: CacheInvalidation
  readonly #users = cacheOfEntries<UserId, boolean>(USERS_MAX)

  constructor(deps: { database: Database; caches: CacheInvalidation }) {
    this.#database = deps.database
    this.#caches = deps.caches
    deps.caches.onForget(CACHE, (keys) => {
      if (keys === null) this.#users.clear()
      else for (const key of keys) this.#users.delete(key as UserId)
    })
  }

  /** Those of the users who are erased, in one query for the ones not in memory. */
  async getErased(userIds: Iterable<UserId>): Promise<ReadonlySet<UserId>> {
    const erased = new Set<UserId>()
    const missing = new Set<UserId>()
    for (const userId of userIds) {
      const known = this.#users.get(userId)
      if (known === undefined) missing.add(userId)
      else if (known) erased.add(userId)
    }
    if (missing.size === 0) return erased
    const found = new Set(await getErasedUsers(this.#database, [...missing]))
    for (const userId of missing) {
      this.#users.set(userId, found.has(userId))
      if (found.has(userId)) erased.add(userId)
    }
    return erased
  }

  /** Tells all processes that the user is erased now. */
  changed(userId: UserId): Promise<void> {
    return this.#caches.forget(CACHE, [userId])
  }
}
