import type { MatrixEvent } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { EventSource } from './event-source.ts'
import { compareIds, powerLevelsAuthEvent } from './room-context.ts'

/**
 * Sorts events by the mainline ordering based on a power levels event (undefined: no mainline), smallest first.
 * Spec: rooms/v2 § Mainline ordering.
 */
export function sortByMainline(
  events: readonly MatrixEvent[],
  powerLevels: MatrixEvent | undefined,
  source: EventSource,
): MatrixEvent[] {
  const mainline = new Mainline(powerLevels, source)
  const known = new Map<EventId, number>()
  const ranked = events.map((event) => ({ event, position: findPosition(event, mainline, known, source) }))
  ranked.sort((a, b) => {
    // Not by difference: events that reach no mainline event are at infinity, and come first.
    if (a.position !== b.position) return a.position > b.position ? -1 : 1
    if (a.event.originServerTs !== b.event.originServerTs) return a.event.originServerTs - b.event.originServerTs
    return compareIds(a.event.eventId, b.event.eventId)
  })
  return ranked.map(({ event }) => event)
}

/** The power levels events from the newest back, found only as far as someone asks: most events cite a recent one. */
class Mainline {
  readonly #source: EventSource
  readonly #indexes = new Map<EventId, number>()
  #next: MatrixEvent | undefined

  constructor(powerLevels: MatrixEvent | undefined, source: EventSource) {
    this.#next = powerLevels
    this.#source = source
  }

  indexOf(eventId: EventId): number | undefined {
    for (;;) {
      const known = this.#indexes.get(eventId)
      const next = this.#next
      if (known !== undefined || next === undefined) return known
      this.#indexes.set(next.eventId, this.#indexes.size)
      this.#next = powerLevelsAuthEvent(next, this.#source)
    }
  }
}

/** The position of the first mainline event among the power levels events behind this one. */
function findPosition(event: MatrixEvent, mainline: Mainline, known: Map<EventId, number>, source: EventSource): number {
  // Most events cite one of few power levels events, so what was found for these is kept.
  const walked: EventId[] = []
  let position = Number.POSITIVE_INFINITY
  for (let next = powerLevelsAuthEvent(event, source); next !== undefined; next = powerLevelsAuthEvent(next, source)) {
    const found = known.get(next.eventId) ?? mainline.indexOf(next.eventId)
    if (found !== undefined) {
      position = found
      break
    }
    walked.push(next.eventId)
  }
  for (const eventId of walked) known.set(eventId, position)
  return position
}
