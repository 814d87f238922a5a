import { LRUCache } from 'lru-cache'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../../storage/database.ts'
import { getAuthChains } from '../../storage/tables/event-graph.ts'

/** Events of auth chains in memory over all rooms. */
const EVENTS_MAX = 500_000

/** Events on their way to the database, whose links are known only here. */
export type PendingLinks = ReadonlyMap<EventId, readonly EventId[]>

/**
 * The auth chains of rooms in which states had to be compared. What it holds of a room is closed: with an event it has the whole
 * chain. So only new events are read, all that are wanted in one query.
 */
export class AuthGraphs {
  readonly #database: Queryable
  readonly #rooms = new LRUCache<RoomId, Map<EventId, readonly EventId[]>>({ max: 1000, maxSize: EVENTS_MAX, sizeCalculation })

  constructor(deps: { database: Queryable }) {
    this.#database = deps.database
  }

  /** Loads the chains of the events. `pending` events need not be stored; their auth events must be, or be pending too. */
  async load(roomId: RoomId, eventIds: Iterable<EventId>, pending: PendingLinks): Promise<AuthGraph> {
    const known = this.#rooms.get(roomId) ?? new Map<EventId, readonly EventId[]>()
    const missing = new Set<EventId>()
    const seen = new Set<EventId>()
    const stack = [...eventIds]
    for (let eventId = stack.pop(); eventId !== undefined; eventId = stack.pop()) {
      if (seen.has(eventId) || known.has(eventId)) continue
      seen.add(eventId)
      const links = pending.get(eventId)
      if (links) stack.push(...links)
      else missing.add(eventId)
    }
    if (missing.size > 0) {
      const rows = await getAuthChains(this.#database, [...missing])
      const idOf = new Map(rows.map((row) => [row.eventNid, row.eventId]))
      for (const row of rows) {
        known.set(
          row.eventId,
          row.authNids.flatMap((nid) => idOf.get(nid) ?? []),
        )
      }
    }
    // Set anew, so that its size is counted anew.
    this.#rooms.delete(roomId)
    this.#rooms.set(roomId, known)
    return new AuthGraph((eventId) => pending.get(eventId) ?? known.get(eventId) ?? [])
  }
}

function sizeCalculation(room: ReadonlyMap<EventId, readonly EventId[]>): number {
  return room.size + 1
}

/** Auth chains in memory. An event's chain counts here together with the event (see protocol/state-resolution/auth-difference.ts). */
export class AuthGraph {
  readonly #authEventsOf: (eventId: EventId) => readonly EventId[]

  constructor(authEventsOf: (eventId: EventId) => readonly EventId[]) {
    this.#authEventsOf = authEventsOf
  }

  /** The events and their chains. */
  chainOf(eventIds: Iterable<EventId>): Set<EventId> {
    const found = new Set<EventId>()
    const stack = [...eventIds]
    for (let eventId = stack.pop(); eventId !== undefined; eventId = stack.pop()) {
      if (found.has(eventId)) continue
      found.add(eventId)
      stack.push(...this.#authEventsOf(eventId))
    }
    return found
  }

  /** What is in the chain of some of the sets but not of every one. */
  differenceOf(sets: readonly Iterable<EventId>[]): Set<EventId> {
    const counts = new Map<EventId, number>()
    for (const set of sets) for (const eventId of this.chainOf(set)) counts.set(eventId, (counts.get(eventId) ?? 0) + 1)
    return new Set([...counts].flatMap(([eventId, count]) => (count < sets.length ? [eventId] : [])))
  }

  /** The events on paths from one of the events to another, ends included. Spec: rooms/v12 § Conflicted state subgraph. */
  subgraphOf(eventIds: ReadonlySet<EventId>): Set<EventId> {
    const citedBy = new Map<EventId, EventId[]>()
    for (const eventId of this.chainOf(eventIds)) {
      for (const authEventId of this.#authEventsOf(eventId)) {
        const citing = citedBy.get(authEventId)
        if (citing) citing.push(eventId)
        else citedBy.set(authEventId, [eventId])
      }
    }
    const subgraph = new Set<EventId>()
    const stack = [...eventIds]
    for (let eventId = stack.pop(); eventId !== undefined; eventId = stack.pop()) {
      if (subgraph.has(eventId)) continue
      subgraph.add(eventId)
      stack.push(...(citedBy.get(eventId) ?? []))
    }
    return subgraph
  }
}
