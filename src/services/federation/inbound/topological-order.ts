import type { EventId } from '../../../protocol/ids.ts'
import type { ForeignEvent } from '../../events/foreign-events.ts'

/** Sorts events so that each comes after those of its prev_events that are among them; otherwise the order stays. */
export function sortByPrevEvents<Item extends Pick<ForeignEvent, 'event'>>(items: readonly Item[]): Item[] {
  const byId = new Map(items.map((item) => [item.event.eventId, item]))
  const sorted: Item[] = []
  const state = new Map<EventId, 'open' | 'done'>()
  // Without recursion: a chain may be long. An event is left when all before it are.
  for (const start of byId.values()) {
    const stack: Item[] = [start]
    for (let item = stack.at(-1); item; item = stack.at(-1)) {
      const { eventId, prevEventIds } = item.event
      const known = state.get(eventId)
      if (known === undefined) {
        state.set(eventId, 'open')
        for (const prevId of prevEventIds.toReversed()) {
          const prev = byId.get(prevId)
          if (prev && !state.has(prevId)) stack.push(prev)
        }
        continue
      }
      stack.pop()
      if (known === 'done') continue
      state.set(eventId, 'done')
      sorted.push(item)
    }
  }
  return sorted
}
