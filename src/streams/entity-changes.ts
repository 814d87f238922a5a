import type { LRUCache } from 'lru-cache'
import { cacheOfEntries } from '../util/lru-cache.ts'
import type { StreamPosition } from './streams.ts'

const ENTITIES_MAX = 100_000

/**
 * Remembers at which position each entity (user, room) changed last, so that "did anything change since?" needs no query.
 * What it has forgotten, or what happened before the process started, counts as changed at `#floor`.
 */
export class EntityChanges<Id extends string> {
  readonly #last: LRUCache<Id, StreamPosition>
  #floor = 0

  constructor(options: { entitiesMax?: number } = {}) {
    this.#last = cacheOfEntries<Id, StreamPosition>(options.entitiesMax ?? ENTITIES_MAX, {
      onRemoved: (position, _id, reason) => {
        if (reason === 'evict' && position > this.#floor) this.#floor = position
      },
    })
  }

  /** Sets the stream's head at start: about entities that did not change since, nothing is known before it. */
  start(head: StreamPosition): void {
    if (head > this.#floor) this.#floor = head
  }

  /** Forgets everything before the position: changes up to there were not told. */
  reset(head: StreamPosition): void {
    this.#last.clear()
    this.start(head)
  }

  /** Notes a change; positions come in ascending order. */
  note(id: Id, position: StreamPosition): void {
    this.#last.set(id, position)
  }

  /** Tells whether the entity may have changed after the position. False is certain. */
  hasChanged(id: Id, after: StreamPosition): boolean {
    return this.lastChanged(id) > after
  }

  /** The newest position at which the entity may have changed. */
  lastChanged(id: Id): StreamPosition {
    // Peeking keeps the order of changes: asking often must not push out those that changed more recently.
    return this.#last.peek(id) ?? (this.#floor as StreamPosition)
  }
}
