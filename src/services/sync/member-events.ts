import type { LRUCache } from 'lru-cache'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getMemberEvents } from '../../storage/tables/sync-state.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfBytes } from '../../util/lru-cache.ts'
import { stateRecordToClientJson } from '../events/state-records.ts'

const BYTES_MAX = 16 * 1024 * 1024

/** Current member events in client format, for lazy loading: whoever speaks is looked up once. */
export class MemberEvents {
  readonly #database: Database
  readonly #cache: LRUCache<string, string>

  /** `cacheFactor` multiplies the memory it may take. */ #changes = 0

  constructor(deps: { database: Database; hub: StreamHub; cacheFactor?: number }) {
    this.#cache = cacheOfBytes(BYTES_MAX * (deps.cacheFactor ?? 1), (json, key) => json.length + key.length)
    this.#database = deps.database
    deps.hub.onRow('events', (row) => {
      for (const { stateKey, eventId } of memberChangesOf(row)) {
        // Only the unsigned part is missing, and state sections do without it.
        if (eventId === row.eventId) this.#cache.set(keyOf(row.roomId, stateKey), `${row.clientJson}}`)
        else this.#cache.delete(keyOf(row.roomId, stateKey))
      }
      this.#changes++
    })
    deps.hub.onReset('events', () => {
      this.#cache.clear()
      this.#changes++
    })
    deps.hub.onPurge(({ roomId, isGone }) => {
      this.#changes++
      if (isGone) for (const key of this.#cache.keys()) if (key.startsWith(keyOf(roomId, ''))) this.#cache.delete(key)
    })
  }

  /** Gets the member events of the pairs, in one query for those not in memory. */
  async get(pairs: readonly { readonly roomId: RoomId; readonly userId: UserId }[]): Promise<Map<string, string>> {
    const found = new Map<string, string>()
    const missing: { roomId: RoomId; userId: UserId }[] = []
    for (const pair of pairs) {
      const key = keyOf(pair.roomId, pair.userId)
      const cached = this.#cache.get(key)
      if (cached === undefined) missing.push(pair)
      else found.set(key, cached)
    }
    if (missing.length === 0) return found
    const changesBefore = this.#changes
    for (const record of await getMemberEvents(this.#database, missing)) {
      const key = keyOf(record.roomId, record.stateKey)
      const json = stateRecordToClientJson(record)
      found.set(key, json)
      // Read while a member changed, it may be the event of before: it is used once.
      if (this.#changes === changesBefore) this.#cache.set(key, json)
    }
    return found
  }
}

/** The key of a member in the map that `get` returns. */
export function keyOf(roomId: string, userId: string): string {
  return `${roomId}\u0000${userId}`
}
