import type { StateMap } from '../events/event.ts'
import type { EventId } from '../ids.ts'

/** Several states of a room, split into what they agree on and what they do not. */
export interface StateConflicts {
  /** The event in a slot that all states agree on. */
  readonly unconflicted: (slotKey: string) => EventId | undefined
  /** The candidates for each slot that they do not agree on. */
  readonly conflicted: ReadonlyMap<string, ReadonlySet<EventId>>
}

/** The same with the agreed state as a map. */
export interface SplitStates extends StateConflicts {
  readonly unconflictedState: ReadonlyMap<string, EventId>
}

/**
 * Splits states. Since version 2 a slot that one state lacks is in conflict; in version 1 only different events are.
 * Spec: rooms/v2 § Unconflicted state map and conflicted state set; rooms/v1 § State resolution.
 */
export function splitStates(
  stateSets: readonly StateMap<EventId>[],
  options: { readonly absenceConflicts: boolean },
): SplitStates {
  const unconflictedState = new Map<string, EventId>()
  const conflicted = new Map<string, Set<EventId>>()
  for (const stateSet of stateSets) {
    for (const [slotKey, eventId] of stateSet) {
      // Each slot is looked at once, at the first state that has it.
      if (unconflictedState.has(slotKey) || conflicted.has(slotKey)) continue
      if (isAgreed(stateSets, slotKey, eventId, options.absenceConflicts)) unconflictedState.set(slotKey, eventId)
      else conflicted.set(slotKey, collectCandidates(stateSets, slotKey))
    }
  }
  return { unconflictedState, unconflicted: (slotKey) => unconflictedState.get(slotKey), conflicted }
}

function isAgreed(
  stateSets: readonly StateMap<EventId>[],
  slotKey: string,
  eventId: EventId,
  absenceConflicts: boolean,
): boolean {
  for (const stateSet of stateSets) {
    const other = stateSet.get(slotKey)
    if (other === undefined ? absenceConflicts : other !== eventId) return false
  }
  return true
}

function collectCandidates(stateSets: readonly StateMap<EventId>[], slotKey: string): Set<EventId> {
  const candidates = new Set<EventId>()
  for (const stateSet of stateSets) {
    const eventId = stateSet.get(slotKey)
    if (eventId !== undefined) candidates.add(eventId)
  }
  return candidates
}

/** Lists all candidates of all slots in conflict: the conflicted state set. */
export function conflictedEventIds(conflicted: ReadonlyMap<string, ReadonlySet<EventId>>): Set<EventId> {
  const eventIds = new Set<EventId>()
  for (const candidates of conflicted.values()) {
    for (const eventId of candidates) eventIds.add(eventId)
  }
  return eventIds
}
