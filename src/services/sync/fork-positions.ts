import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const ROOMS_MAX = 20_000

/** Knows where rooms' state changed otherwise than by an event coming to stand in its slot: there a timeline does not tell all. */
export class ForkPositions {
  readonly #hub: StreamHub
  readonly #last = cacheOfEntries<string, number>(ROOMS_MAX)
  /** What happened up to here is not known for rooms that are not in memory. */
  #unknownUpTo: number | undefined

  constructor(deps: { hub: StreamHub }) {
    this.#hub = deps.hub
    deps.hub.onRow('events', (row, position) => {
      this.#unknownUpTo ??= this.#hub.head('events')
      if (row.stateDelta) this.#last.set(row.roomId, position)
    })
    deps.hub.onReset('events', (head) => {
      this.#last.clear()
      this.#unknownUpTo = head
    })
  }

  /** Tells whether the state may have changed by a resolution after the position; only "no" is certain. */
  hasForked(roomId: string, after: number): boolean {
    const last = this.#last.get(roomId)
    return (last !== undefined && last > after) || after < (this.#unknownUpTo ?? this.#hub.head('events'))
  }
}
