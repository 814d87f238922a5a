import type { StateMap } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { computeAuthDifference, computeConflictedSubgraph } from './auth-difference.ts'
import type { EventLookup } from './event-source.ts'
import { EventSource } from './event-source.ts'
import type { StateConflicts } from './state-conflicts.ts'
import { conflictedEventIds, splitStates } from './state-conflicts.ts'
import { resolveV1 } from './v1.ts'
import { resolveV2 } from './v2.ts'
import { resolveV21 } from './v2-1.ts'

/** What a resolution is asked with, beside the states. */
export interface ResolutionInput {
  readonly roomVersion: RoomVersion
  readonly events: EventLookup
  /** Tells whether an event was rejected by its auth chain; such events give no authority. Default: none was. */
  readonly isRejected?: (eventId: EventId) => boolean
}

/**
 * Either the state, or events without which it cannot be found: load them all, best with their auth chains, which are
 * walked next, and ask again.
 */
export type StateResolution = { readonly resolved: Map<string, EventId> } | { readonly missing: EventId[] }

/** What an index of auth chains can tell of the states, by room version; see `auth-difference.ts`. */
export interface AuthGraphFacts {
  /** Events in the auth chain of some state, itself included, but not of all. Not asked for in room version 1. */
  readonly authDifference: Iterable<EventId>
  /** Asked for since room version 12. */
  readonly conflictedSubgraph: Iterable<EventId>
}

/**
 * Resolves full states of a room into one, by the algorithm of its version. The order of the states does not matter.
 * The key of a slot is that of `stateSlotKey`.
 */
export function resolveState(input: ResolutionInput & { readonly stateSets: readonly StateMap<EventId>[] }): StateResolution {
  const { roomVersion, stateSets } = input
  const split = splitStates(stateSets, { absenceConflicts: roomVersion.stateResolution !== 'v1' })
  if (split.conflicted.size === 0) return { resolved: new Map(split.unconflictedState) }
  const source = new EventSource(input.events)
  const graph = {
    authDifference: roomVersion.stateResolution === 'v1' ? [] : computeAuthDifference(stateSets, split, source),
    conflictedSubgraph: roomVersion.stateResolution === 'v2.1' ? computeConflictedSubgraph(split.conflicted, source) : [],
  }
  if (source.hasMissing) return { missing: source.missing }
  const resolution = resolveConflicts({ ...input, ...split, ...graph })
  if ('missing' in resolution) return resolution
  return { resolved: new Map([...split.unconflictedState, ...resolution.resolved]) }
}

/**
 * Resolves what states disagree on, where the caller knows already what that is. The agreed state is only asked for
 * single slots. Gives the slots that the agreed state does not have; one in conflict that is not among them is empty.
 */
export function resolveConflicts(input: ResolutionInput & StateConflicts & AuthGraphFacts): StateResolution {
  const source = new EventSource(input.events)
  const resolved = runAlgorithm(input, source)
  return source.hasMissing ? { missing: source.missing } : { resolved }
}

function runAlgorithm(input: ResolutionInput & StateConflicts & AuthGraphFacts, source: EventSource): Map<string, EventId> {
  const { roomVersion, unconflicted, conflicted, isRejected = () => false } = input
  const context = { roomVersion, source, unconflicted, conflicted, isRejected }
  if (roomVersion.stateResolution === 'v1') return resolveV1(context)
  const fullConflictedSet = conflictedEventIds(conflicted)
  for (const eventId of input.authDifference) fullConflictedSet.add(eventId)
  if (roomVersion.stateResolution === 'v2') return resolveV2(context, fullConflictedSet)
  for (const eventId of input.conflictedSubgraph) fullConflictedSet.add(eventId)
  return resolveV21(context, fullConflictedSet)
}
