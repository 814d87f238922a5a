import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { countKeys } from '../../storage/tables/one-time-keys.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const USERS_MAX = 50_000
const COUNTED_ALWAYS = 'signed_curve25519'

/** The name of the cache in rows of the stream `caches`; its keys are those of `keyCountsKey`. */
export const KEY_COUNTS_CACHE = 'key_counts'

/** What a device has left of the keys that it uploaded. */
export interface KeyCount {
  /** Unclaimed one-time keys by algorithm; signed_curve25519 is there even with 0. */
  readonly oneTimeKeyCounts: Readonly<Record<string, number>>
  /** Algorithms whose fallback key nobody has used. */
  readonly unusedFallbackKeyTypes: readonly string[]
}

/** Names a device in the cache. User ids hold no spaces. */
export function keyCountsKey(userId: UserId, deviceId: DeviceId): string {
  return `${userId} ${deviceId}`
}

/** Counts each device's keys, from memory. Every upload and claim commits a row that makes all processes count again. */
export class KeyCounts {
  readonly #database: Database
  readonly #users = cacheOfEntries<UserId, Map<DeviceId, Promise<KeyCount>>>(USERS_MAX)

  constructor(deps: { database: Database; hub: StreamHub; cacheInvalidation: CacheInvalidation }) {
    this.#database = deps.database
    deps.cacheInvalidation.onForget(KEY_COUNTS_CACHE, (keys) => {
      if (keys === null) this.#users.clear()
      else for (const key of keys) this.#forget(key)
    })
    // Covers deleted devices, whose ids may come again.
    deps.hub.onRow('device_lists', (row) => this.#users.delete(row.userId as UserId))
    deps.hub.onReset('device_lists', () => this.#users.clear())
  }

  #forget(key: string): void {
    const space = key.indexOf(' ')
    this.#users.get(key.slice(0, space) as UserId)?.delete(key.slice(space + 1) as DeviceId)
  }

  /** What the device has left now. */
  get(device: { readonly userId: UserId; readonly deviceId: DeviceId }): Promise<KeyCount> {
    let devices = this.#users.get(device.userId)
    if (!devices) {
      devices = new Map()
      this.#users.set(device.userId, devices)
    }
    const cached = devices.get(device.deviceId)
    if (cached) return cached
    // When the keys change while this loads, the entry is taken out: who waits gets the old count, who comes later the new one.
    const loading = this.#load(device.userId, device.deviceId)
    const loadingInto = devices
    loadingInto.set(device.deviceId, loading)
    loading.catch(() => loadingInto.delete(device.deviceId))
    return loading
  }

  async #load(userId: UserId, deviceId: DeviceId): Promise<KeyCount> {
    const counts: [string, number][] = [[COUNTED_ALWAYS, 0]]
    const unusedFallbackKeyTypes: string[] = []
    for (const { algorithm, count, isFallback } of await countKeys(this.#database, userId, deviceId)) {
      if (isFallback) unusedFallbackKeyTypes.push(algorithm)
      else counts.push([algorithm, count])
    }
    return { oneTimeKeyCounts: Object.fromEntries(counts), unusedFallbackKeyTypes }
  }
}
