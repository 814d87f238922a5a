import type { EventFilter } from '../../../protocol/filters/event-filter.ts'
import type { RoomId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getHistory } from '../../../storage/tables/events.ts'
import { getRelationsOf } from '../../../storage/tables/relations.ts'
import { placeAfter, placeBefore, placeOf, splitPlace } from '../../../streams/history-place.ts'
import type { EventReader, StoredEvent } from '../../events/event-reader.ts'
import { filterHistory } from './history-view.ts'
import type { RoomView } from './room-view.ts'

/** A filter that keeps little may make us read this many pages for one answer. */
const PAGES_MAX = 10
const FILTERED_PAGE_EVENTS = 300

/** Which part of a room's history: from one end of [low, high], both inside; places as of streams/history-place.ts. */
export interface PageRange {
  readonly roomId: RoomId
  readonly low: number
  readonly high: number
  readonly direction: 'b' | 'f'
  readonly limit: number
}

export interface PageWish {
  readonly view: RoomView
  readonly filter: EventFilter | undefined
  readonly ignoredUsers: ReadonlySet<string>
}

export interface RoomPage {
  /** In the direction that was asked for. */
  readonly events: readonly StoredEvent[]
  /** The place after the last event that was looked at, as a token's position. */
  readonly end: number
  /** Nothing is left in the range. */
  readonly isExhausted: boolean
}

/** Reads pages of a room's timeline that a user may see and a filter keeps. */
export class RoomPages {
  readonly #database: Database
  readonly #events: EventReader

  constructor(deps: { database: Database; events: EventReader }) {
    this.#database = deps.database
    this.#events = deps.events
  }

  /** Reads one page; it may have less than `limit` events although there are more. */
  async read(range: PageRange, wish: PageWish): Promise<RoomPage> {
    const { roomId, direction, limit } = range
    const isPlain = wish.filter === undefined || wish.filter.matchesEverything
    const pageSize = isPlain ? limit + 1 : Math.max(FILTERED_PAGE_EVENTS, limit + 1)
    const found: StoredEvent[] = []
    let { low, high } = range
    for (let page = 0; page < PAGES_MAX; page++) {
      if (low > high || wish.filter?.matchesNothing === true) break
      const between = { low: splitPlace(low), high: splitPlace(high) }
      const records = await getHistory(this.#database, { roomId, ...between, direction, limit: pageSize })
      const stored = records.map((record) => this.#events.remember(record))
      found.push(...(await this.#keep(stored, wish, roomId)))
      if (found.length > limit) return cut(found, limit, direction)
      if (records.length < pageSize) break
      const last = records.at(-1)
      if (last && direction === 'b') high = placeBefore(placeOf(last))
      else if (last) low = placeAfter(placeOf(last))
      if (page === PAGES_MAX - 1) return { events: found, end: direction === 'b' ? high : placeBefore(low), isExhausted: false }
    }
    return { events: found, end: direction === 'b' ? placeBefore(range.low) : range.high, isExhausted: true }
  }

  async #keep(events: readonly StoredEvent[], wish: PageWish, roomId: RoomId): Promise<StoredEvent[]> {
    const { filter } = wish
    const seen = await filterHistory(this.#database, wish.view, events)
    const visible = seen.filter((stored) => stored.event.stateKey !== undefined || !wish.ignoredUsers.has(stored.event.sender))
    if (filter === undefined || filter.matchesEverything) return visible
    const relatedBy = filter.needsRelations ? await this.#getRelated(visible) : undefined
    return visible.filter((stored) => {
      const { type, sender, content, eventId } = stored.event
      return filter.matches({ type, sender, roomId, content, relatedBy: relatedBy?.get(eventId) })
    })
  }

  async #getRelated(events: readonly StoredEvent[]): Promise<Map<string, { sender: string; relType: string }[]>> {
    const rows = await getRelationsOf(
      this.#database,
      events.map((stored) => stored.event.eventId),
    )
    return Map.groupBy(rows, (row) => row.relatesTo)
  }
}

function cut(found: readonly StoredEvent[], limit: number, direction: 'b' | 'f'): RoomPage {
  const events = found.slice(0, limit)
  const last = found[limit]
  const next = last ? placeOf(last) : 0
  // What comes next is at `next`: a token backwards stands after it, one forwards before it.
  return { events, end: direction === 'b' ? next : placeBefore(next), isExhausted: false }
}
