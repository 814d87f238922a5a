import type { RoomId } from '../protocol/ids.ts'
import type { CacheInvalidation } from './cache-invalidation.ts'
import type { RoomPurge, StreamHub } from './stream-hub.ts'

const HISTORY_CACHE = 'room_history'
const ROOM_CACHE = 'rooms'

/** Tells every process to forget rooms of which something was purged. */
export class RoomPurges {
  readonly #caches: CacheInvalidation

  constructor(deps: { caches: CacheInvalidation; hub: StreamHub }) {
    this.#caches = deps.caches
    for (const [cache, isGone] of [
      [HISTORY_CACHE, false],
      [ROOM_CACHE, true],
    ] as const) {
      deps.caches.onForget(cache, (roomIds) => {
        if (roomIds === null) deps.hub.purged(undefined)
        else for (const roomId of roomIds) deps.hub.purged({ roomId, isGone })
      })
    }
  }

  /** Settles when this process has forgotten it, and the others are told. */
  async tell({ roomId, isGone }: RoomPurge & { readonly roomId: RoomId }): Promise<void> {
    await this.#caches.forget(isGone ? ROOM_CACHE : HISTORY_CACHE, [roomId])
  }
}
