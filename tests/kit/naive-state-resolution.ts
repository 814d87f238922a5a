/*
 * State resolution written down as the specification says it, with whole sets and whole states and no thought of speed.
 * Two readings are those of all deployed servers, see src/protocol/state-resolution/: an auth chain counts with the
 * event it belongs to, and the chains of power events are followed inside the full conflicted set.
 */
import { createHash } from 'node:crypto'
import { checkAuthRules } from '../../src/protocol/auth-rules/check-auth-rules.ts'
import { getPowerLevels, userPowerLevel } from '../../src/protocol/auth-rules/power-levels.ts'
import type { MatrixEvent, StateMap } from '../../src/protocol/events/event.ts'
import { stateSlotKey } from '../../src/protocol/events/event.ts'
import type { EventId } from '../../src/protocol/ids.ts'
import type { RoomVersion } from '../../src/protocol/room-versions/room-version.ts'

type State = Map<string, EventId>

/** Resolves states by the algorithm of the room version. */
export class NaiveResolver {
  readonly #version: RoomVersion
  readonly #events: ReadonlyMap<EventId, MatrixEvent>
  readonly #hasStrictChains: boolean

  constructor(
    version: RoomVersion,
    events: ReadonlyMap<EventId, MatrixEvent>,
    options: { hasStrictChains: boolean } = { hasStrictChains: false },
  ) {
    this.#version = version
    this.#events = events
    this.#hasStrictChains = options.hasStrictChains
  }

  resolve(stateSets: readonly StateMap<EventId>[]): State {
    return this.#version.stateResolution === 'v1' ? this.#resolveV1(stateSets) : this.#resolveV2(stateSets)
  }

  #event(eventId: EventId): MatrixEvent {
    const event = this.#events.get(eventId)
    if (event === undefined) throw new Error(`${eventId} is not known`)
    return event
  }

  #chain(eventId: EventId): Set<EventId> {
    const parents = this.#event(eventId).authEventIds
    return new Set(parents.flatMap((parent) => [parent, ...this.#chain(parent)]))
  }

  #isAllowed(event: MatrixEvent, slots: (slotKey: string) => EventId | undefined): boolean {
    return checkAuthRules(this.#version, event, (type, key) => {
      const eventId = slots(stateSlotKey(type, key))
      return eventId === undefined ? undefined : this.#event(eventId)
    }).allowed
  }

  // ---- version 2 and 2.1

  #resolveV2(stateSets: readonly StateMap<EventId>[]): State {
    const isV21 = this.#version.stateResolution === 'v2.1'
    const keys = new Set(stateSets.flatMap((state) => [...state.keys()]))
    const unconflicted: State = new Map()
    const conflictedSet = new Set<EventId>()
    for (const key of keys) {
      const values = new Set(stateSets.map((state) => state.get(key)))
      const [only] = values
      if (values.size === 1 && only !== undefined) unconflicted.set(key, only)
      else for (const value of values) if (value !== undefined) conflictedSet.add(value)
    }
    if (conflictedSet.size === 0) return unconflicted
    const subgraph = isV21 ? this.#subgraph(conflictedSet) : []
    const full = new Set([...conflictedSet, ...this.#authDifference(stateSets), ...subgraph])
    const events = [...full].map((eventId) => this.#event(eventId))
    const x = this.#powerEvents(events, full)
    const partial = this.#iterate(isV21 ? new Map() : new Map(unconflicted), this.#reverseTopological(x))
    const rest = events.filter((event) => !x.includes(event))
    const resolved = this.#iterate(partial, this.#mainlineOrder(rest, partial.get(stateSlotKey('m.room.power_levels', ''))))
    for (const [key, eventId] of unconflicted) resolved.set(key, eventId)
    return resolved
  }

  #authDifference(stateSets: readonly StateMap<EventId>[]): Set<EventId> {
    const chains = stateSets.map((state) => {
      const ids = [...state.values()]
      return new Set(ids.flatMap((eventId) => [...(this.#hasStrictChains ? [] : [eventId]), ...this.#chain(eventId)]))
    })
    const union = new Set(chains.flatMap((chain) => [...chain]))
    return new Set([...union].filter((eventId) => !chains.every((chain) => chain.has(eventId))))
  }

  #subgraph(conflicted: ReadonlySet<EventId>): Set<EventId> {
    const found = new Set<EventId>()
    for (const from of conflicted) {
      for (const between of [from, ...this.#chain(from)]) {
        const reached = new Set([between, ...this.#chain(between)])
        if ([...conflicted].some((to) => to !== from && reached.has(to))) found.add(between)
      }
    }
    return found
  }

  #powerEvents(events: readonly MatrixEvent[], full: ReadonlySet<EventId>): MatrixEvent[] {
    const isPower = (event: MatrixEvent): boolean =>
      event.type === 'm.room.power_levels' ||
      event.type === 'm.room.join_rules' ||
      (event.type === 'm.room.member' &&
        event.sender !== event.stateKey &&
        ['leave', 'ban'].includes(String(event.content['membership'])))
    const x = new Set(events.filter(isPower))
    // Walking a set goes on to what is added meanwhile.
    for (const event of x) {
      for (const eventId of event.authEventIds) if (full.has(eventId)) x.add(this.#event(eventId))
    }
    return [...x]
  }

  #reverseTopological(events: readonly MatrixEvent[]): MatrixEvent[] {
    const left = new Set(events)
    const sorted: MatrixEvent[] = []
    while (left.size > 0) {
      const free = [...left].filter((event) => ![...left].some((other) => event.authEventIds.includes(other.eventId)))
      const [next] = free.toSorted((a, b) => {
        const [levelA, levelB] = [this.#levelOfSender(a), this.#levelOfSender(b)]
        if (levelA !== levelB) return levelA > levelB ? -1 : 1
        return this.#compareTsAndId(a, b)
      })
      if (next === undefined) throw new Error('The auth events have a cycle')
      left.delete(next)
      sorted.push(next)
    }
    return sorted
  }

  #compareTsAndId(a: MatrixEvent, b: MatrixEvent): number {
    return a.originServerTs - b.originServerTs || (a.eventId < b.eventId ? -1 : 1)
  }

  #levelOfSender(event: MatrixEvent): number {
    const auth = event.authEventIds.map((eventId) => this.#event(eventId))
    const create = [...this.#events.values()].find((other) => other.type === 'm.room.create')
    return userPowerLevel(getPowerLevels(this.#version, auth.find(isPowerLevels), create), event.sender)
  }

  #powerLevelsBehind(event: MatrixEvent): MatrixEvent[] {
    const next = event.authEventIds.map((eventId) => this.#event(eventId)).find(isPowerLevels)
    return next === undefined ? [] : [next, ...this.#powerLevelsBehind(next)]
  }

  #mainlineOrder(events: readonly MatrixEvent[], powerLevels: EventId | undefined): MatrixEvent[] {
    const p0 = powerLevels === undefined ? undefined : this.#event(powerLevels)
    const mainline = p0 === undefined ? [] : [p0, ...this.#powerLevelsBehind(p0)]
    const position = (event: MatrixEvent): number => {
      const found = this.#powerLevelsBehind(event).find((other) => mainline.includes(other))
      return found === undefined ? Infinity : mainline.indexOf(found)
    }
    return events.toSorted((a, b) => {
      const [positionA, positionB] = [position(a), position(b)]
      if (positionA !== positionB) return positionA > positionB ? -1 : 1
      return this.#compareTsAndId(a, b)
    })
  }

  #iterate(start: State, events: readonly MatrixEvent[]): State {
    const state = new Map(start)
    for (const event of events) {
      const fallback: State = new Map()
      for (const authEventId of event.authEventIds) fallback.set(slotOf(this.#event(authEventId)), authEventId)
      if (this.#version.hashRoomId) fallback.set(stateSlotKey('m.room.create', ''), `$${event.roomId.slice(1)}` as EventId)
      if (this.#isAllowed(event, (key) => state.get(key) ?? fallback.get(key))) state.set(slotOf(event), event.eventId)
    }
    return state
  }

  // ---- version 1

  #resolveV1(stateSets: readonly StateMap<EventId>[]): State {
    const bySlot = new Map<string, Set<EventId>>()
    for (const state of stateSets) {
      for (const [key, eventId] of state) bySlot.set(key, (bySlot.get(key) ?? new Set()).add(eventId))
    }
    const r: State = new Map()
    const conflicts: [string, MatrixEvent[]][] = []
    for (const [key, eventIds] of bySlot) {
      const events = [...eventIds].map((eventId) => this.#event(eventId)).toSorted(compareDepthThenHash)
      const [first] = events
      if (events.length === 1 && first !== undefined) r.set(key, first.eventId)
      else conflicts.push([key, events])
    }
    for (const type of ['m.room.power_levels', 'm.room.join_rules', 'm.room.member']) {
      const before = new Map(r)
      for (const [key, events] of conflicts.filter(([slot]) => slot.startsWith(`${type}\u0000`))) {
        const state = new Map(before)
        const stop = events.findIndex((event, index) => {
          if (index > 0 && !this.#isAllowed(event, (slot) => state.get(slot))) return true
          state.set(key, event.eventId)
          return false
        })
        const last = stop === -1 ? events.at(-1) : events[stop - 1]
        if (last !== undefined) r.set(key, last.eventId)
      }
    }
    const authState = new Map(r)
    for (const [key, events] of conflicts) {
      if (r.has(key)) continue
      const best = events.toReversed().find((event) => this.#isAllowed(event, (slot) => authState.get(slot))) ?? events[0]
      if (best !== undefined) r.set(key, best.eventId)
    }
    return r
  }
}

function isPowerLevels(event: MatrixEvent): boolean {
  return event.type === 'm.room.power_levels' && event.stateKey === ''
}

function slotOf(event: MatrixEvent): string {
  return stateSlotKey(event.type, event.stateKey ?? '')
}

function compareDepthThenHash(a: MatrixEvent, b: MatrixEvent): number {
  const [hashA, hashB] = [a, b].map((event) => createHash('sha1').update(event.eventId).digest('hex')) as [string, string]
  return a.depth - b.depth || (hashA > hashB ? -1 : 1)
}
