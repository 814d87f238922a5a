import type { MatrixEvent } from '../events/event.ts'
import type { EventId } from '../ids.ts'

/** Gives an event from memory; undefined where the caller has not loaded it. */
export type EventLookup = (eventId: EventId) => MatrixEvent | undefined

/** Looks events up and notes those that are not there, so that the caller can load all of them at once. */
export class EventSource {
  readonly #lookup: EventLookup
  readonly #missing = new Set<EventId>()

  constructor(lookup: EventLookup) {
    this.#lookup = lookup
  }

  get hasMissing(): boolean {
    return this.#missing.size > 0
  }

  get missing(): EventId[] {
    return [...this.#missing]
  }

  get(eventId: EventId): MatrixEvent | undefined {
    const event = this.#lookup(eventId)
    if (event === undefined) this.#missing.add(eventId)
    return event
  }

  getAll(eventIds: Iterable<EventId>): MatrixEvent[] {
    const events: MatrixEvent[] = []
    for (const eventId of eventIds) {
      const event = this.get(eventId)
      if (event !== undefined) events.push(event)
    }
    return events
  }
}
