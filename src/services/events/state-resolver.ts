import type { MatrixEvent } from '../../protocol/events/event.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { EventId } from '../../protocol/ids.ts'
import { resolveConflicts } from '../../protocol/state-resolution/resolve-state.ts'
import { conflictedEventIds } from '../../protocol/state-resolution/state-conflicts.ts'
import type { Queryable } from '../../storage/database.ts'
import { getReachedFromState } from '../../storage/tables/event-graph.ts'
import { assert } from '../../util/assert.ts'
import type { AuthGraph, AuthGraphs } from './auth-graph.ts'
import { SlotHistory } from './slot-history.ts'
import type { StateRoom } from './slot-history.ts'
import { isSameValue, splitSlotKey, stateRef } from './state-ref.ts'
import type { SlotValue, StateRef } from './state-ref.ts'

/** A resolution that asks for events more often than this does not end. */
const ROUNDS_MAX = 1000

export interface LoadedEvent {
  readonly event: MatrixEvent
  readonly eventNid: number
}

/** Gives events of one room by id; unknown ids are left out. */
export type LoadEvents = (eventIds: readonly EventId[]) => Promise<ReadonlyMap<EventId, LoadedEvent>>

/** States split by slot: those where they differ, and where they agree although they might differ. */
interface Comparison {
  readonly refs: readonly StateRef[]
  readonly history: SlotHistory
  readonly agreed: ReadonlyMap<string, SlotValue>
  readonly conflicted: ReadonlyMap<string, ReadonlySet<EventId>>
  /** The candidates of the slots in conflict, by state. */
  readonly candidates: readonly ReadonlySet<EventId>[]
}

/**
 * Resolves states that are stored as differences. What is loaded depends on what differs between them, never on the size of
 * the state (design: rooms and state, section 4).
 */
export class StateResolver {
  readonly #database: Queryable
  readonly #authGraphs: AuthGraphs

  constructor(deps: { database: Queryable; authGraphs: AuthGraphs }) {
    this.#database = deps.database
    this.#authGraphs = deps.authGraphs
  }

  /** Resolves the states into one. The order does not matter. */
  async resolve(room: StateRoom, states: readonly StateRef[], loadEvents: LoadEvents): Promise<StateRef> {
    const refs = withoutRepetition(states)
    const [only] = refs
    assert(only, 'a resolution has states')
    if (refs.length === 1) return only
    const comparison = await this.#compare(room, refs)
    const values = new Map(comparison.agreed)
    if (comparison.conflicted.size > 0) {
      const resolved = await this.#resolveConflicts(room, comparison, loadEvents)
      for (const slotKey of comparison.conflicted.keys()) values.set(slotKey, null)
      for (const [slotKey, value] of resolved) values.set(slotKey, value)
    }
    return nearest(comparison, values)
  }

  /** The slots in which two states differ, with what each holds. */
  async getDifference(room: StateRoom, from: StateRef, to: StateRef): Promise<Map<string, { from: SlotValue; to: SlotValue }>> {
    const difference = new Map<string, { from: SlotValue; to: SlotValue }>()
    if (from === to) return difference
    const history = await SlotHistory.load(this.#database, room, [from, to])
    for (const slotKey of new Set([...history.slotKeys, ...from.overlay.keys(), ...to.overlay.keys()])) {
      const values = { from: history.valueIn(from, slotKey), to: history.valueIn(to, slotKey) }
      if (!isSameValue(values.from, values.to)) difference.set(slotKey, values)
    }
    return difference
  }

  /** What a state holds in some slots; empty ones are left out. */
  async getSlots(room: StateRoom, ref: StateRef, slotKeys: Iterable<string>): Promise<Map<string, NonNullable<SlotValue>>> {
    const found = new Map<string, NonNullable<SlotValue>>()
    const missing: string[] = []
    for (const slotKey of slotKeys) {
      const value = ref.overlay.get(slotKey)
      if (value === undefined) missing.push(slotKey)
      else if (value) found.set(slotKey, value)
    }
    if (missing.length === 0) return found
    const history = await SlotHistory.load(this.#database, room, [stateRef(ref.basePos)])
    await history.loadUnchanged(this.#database, missing)
    for (const slotKey of missing) {
      const value = history.unchanged(slotKey)
      if (value) found.set(slotKey, value)
    }
    return found
  }

  async #compare(room: StateRoom, refs: readonly StateRef[]): Promise<Comparison> {
    const history = await SlotHistory.load(this.#database, room, refs)
    const doesAbsenceConflict = room.roomVersion.stateResolution !== 'v1'
    const agreed = new Map<string, SlotValue>()
    const conflicted = new Map<string, Set<EventId>>()
    const candidates = refs.map(() => new Set<EventId>())
    for (const slotKey of new Set([...history.slotKeys, ...refs.flatMap((ref) => [...ref.overlay.keys()])])) {
      const values = refs.map((ref) => history.valueIn(ref, slotKey))
      const filled = values.filter((value) => value !== null)
      const first = filled[0] ?? null
      const isAgreed =
        filled.every((value) => isSameValue(value, first)) &&
        (filled.length === 0 || filled.length === values.length || !doesAbsenceConflict)
      if (isAgreed) {
        agreed.set(slotKey, first)
        continue
      }
      conflicted.set(slotKey, new Set(filled.map((value) => value.eventId)))
      for (const [index, value] of values.entries()) if (value) candidates[index]?.add(value.eventId)
    }
    return { refs, history, agreed, conflicted, candidates }
  }

  /** Asks the protocol's resolution until it has all that it asks for. */
  async #resolveConflicts(room: StateRoom, comparison: Comparison, loadEvents: LoadEvents): Promise<Map<string, SlotValue>> {
    const { conflicted, agreed, history } = comparison
    const events = new Map(await loadEvents([...conflictedEventIds(conflicted)]))
    const facts = await this.#authFacts(room, comparison)
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const unknownSlots = new Set<string>()
      const unconflicted = (slotKey: string): EventId | undefined => {
        if (conflicted.has(slotKey)) return undefined
        const value = agreed.has(slotKey) ? agreed.get(slotKey) : history.unchanged(slotKey)
        if (value === undefined) unknownSlots.add(slotKey)
        return value?.eventId
      }
      const resolution = resolveConflicts({
        roomVersion: room.roomVersion,
        events: (eventId) => events.get(eventId)?.event,
        unconflicted,
        conflicted,
        ...facts,
      })
      const missing = 'missing' in resolution ? resolution.missing : []
      if (unknownSlots.size > 0) await history.loadUnchanged(this.#database, unknownSlots)
      if (missing.length > 0) {
        const loaded = await loadEvents(missing)
        for (const [eventId, event] of loaded) events.set(eventId, event)
        assert(
          missing.some((eventId) => loaded.has(eventId)),
          'auth chains are stored',
        )
      } else if (unknownSlots.size === 0 && 'resolved' in resolution) {
        return new Map(
          [...resolution.resolved].map(([slotKey, eventId]) => {
            const event = events.get(eventId)
            assert(event, 'what came out of a resolution went into it')
            return [slotKey, { eventId, eventNid: event.eventNid }]
          }),
        )
      }
    }
    throw new Error(`The resolution of states in ${room.roomId} does not end`)
  }

  async #authFacts(
    room: StateRoom,
    comparison: Comparison,
  ): Promise<{ authDifference: Iterable<EventId>; conflictedSubgraph: Iterable<EventId> }> {
    const { stateResolution } = room.roomVersion
    if (stateResolution === 'v1') return { authDifference: [], conflictedSubgraph: [] }
    const conflictedIds = conflictedEventIds(comparison.conflicted)
    const agreedIds = [...comparison.agreed.values()].flatMap((value) => (value ? [value.eventId] : []))
    const graph = await this.#authGraphs.load(room.roomId, [...conflictedIds, ...agreedIds], room.pendingLinks)
    const difference = graph.differenceOf(comparison.candidates)
    for (const eventId of await this.#reachedByAll(room, comparison, graph, difference)) difference.delete(eventId)
    return {
      authDifference: difference,
      conflictedSubgraph: stateResolution === 'v2.1' ? graph.subgraphOf(conflictedIds) : [],
    }
  }

  /**
   * Those of the events that stand in the auth chain of something that all states agree on, so that they are no difference. Mostly
   * the power levels that all agree on answer it; then what changed but is agreed on; the rest is asked of the database.
   */
  async #reachedByAll(
    room: StateRoom,
    comparison: Comparison,
    graph: AuthGraph,
    difference: ReadonlySet<EventId>,
  ): Promise<Set<EventId>> {
    const reached = new Set<EventId>()
    const left = new Set([...difference].filter((eventId) => !isConflicted(comparison, eventId)))
    if (left.size === 0) return reached
    const { agreed, conflicted, history } = comparison
    const note = (eventIds: Iterable<EventId>, chains: AuthGraph): void => {
      for (const eventId of chains.chainOf(eventIds)) if (left.delete(eventId)) reached.add(eventId)
    }
    note(
      [...agreed.values()].flatMap((value) => (value ? [value.eventId] : [])),
      graph,
    )
    const powerSlot = stateSlotKey('m.room.power_levels', '')
    if (left.size > 0 && !agreed.has(powerSlot) && !conflicted.has(powerSlot)) {
      await history.loadUnchanged(this.#database, [powerSlot])
      const powerLevels = history.unchanged(powerSlot)
      if (powerLevels)
        note([powerLevels.eventId], await this.#authGraphs.load(room.roomId, [powerLevels.eventId], room.pendingLinks))
    }
    if (left.size === 0) return reached
    const found = await getReachedFromState(this.#database, {
      roomNid: room.roomNid,
      eventIds: [...left],
      low: history.low,
      high: history.high,
      except: [...agreed.keys(), ...conflicted.keys()].map(splitSlotKey),
    })
    for (const eventId of found) reached.add(eventId)
    return reached
  }
}

function isConflicted({ conflicted }: Comparison, eventId: EventId): boolean {
  for (const candidates of conflicted.values()) if (candidates.has(eventId)) return true
  return false
}

function withoutRepetition(states: readonly StateRef[]): StateRef[] {
  const refs: StateRef[] = []
  for (const state of states) if (!refs.some((ref) => isSameRef(ref, state))) refs.push(state)
  return refs
}

function isSameRef(a: StateRef, b: StateRef): boolean {
  if (a === b) return true
  if (a.basePos !== b.basePos || a.overlay.size !== b.overlay.size) return false
  for (const [slotKey, value] of a.overlay) {
    const other = b.overlay.get(slotKey)
    if (other === undefined || !isSameValue(value, other)) return false
  }
  return true
}

/** Writes a state as difference to that of the bases which is nearest to it. */
function nearest({ refs, history }: Comparison, values: ReadonlyMap<string, SlotValue>): StateRef {
  let best: StateRef | undefined
  for (const basePos of new Set(refs.map((ref) => ref.basePos).sort((a, b) => b - a))) {
    const overlay = new Map<string, SlotValue>()
    for (const [slotKey, value] of values) if (!isSameValue(history.valueAt(slotKey, basePos), value)) overlay.set(slotKey, value)
    if (!best || overlay.size < best.overlay.size) best = stateRef(basePos, overlay)
  }
  assert(best, 'a comparison has states')
  for (const ref of refs) if (isSameRef(ref, best)) return ref
  return best
}
