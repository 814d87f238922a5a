/*
 * Both sets here are found by walking `auth_events` in memory. A server that keeps an index of auth chains gives them to
 * the resolution instead, and none of this runs.
 *
 * An auth chain counts here together with the event it belongs to, as all deployed servers count it and against the
 * letter of the specification: an event that all states agree on is then never part of the difference. For events that they
 * do not agree on it makes no difference, they are in the full conflicted set anyway.
 */
import type { StateMap } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { EventSource } from './event-source.ts'
import type { SplitStates } from './state-conflicts.ts'
import { conflictedEventIds } from './state-conflicts.ts'

/**
 * Finds the events that are in the auth chain of some state but not of every one. Incomplete while the source misses
 * events. Spec: rooms/v2 § Auth difference.
 */
export function computeAuthDifference(
  stateSets: readonly StateMap<EventId>[],
  split: SplitStates,
  source: EventSource,
): Set<EventId> {
  // What the agreed events need is in every chain: found once, and not entered again.
  const common = new Set<EventId>()
  walkAuthChain(split.unconflictedState.values(), source, common)
  const setCounts = new Map<EventId, number>()
  for (const stateSet of stateSets) {
    const starts: EventId[] = []
    for (const slotKey of split.conflicted.keys()) {
      const eventId = stateSet.get(slotKey)
      if (eventId !== undefined) starts.push(eventId)
    }
    const chain = new Set<EventId>()
    walkAuthChain(starts, source, chain, common)
    for (const eventId of chain) setCounts.set(eventId, (setCounts.get(eventId) ?? 0) + 1)
  }
  const difference = new Set<EventId>()
  for (const [eventId, count] of setCounts) {
    if (count < stateSets.length) difference.add(eventId)
  }
  return difference
}

/** Adds the events and all that they reach to `found`, leaving out `excluded`, which must be closed under auth events. */
function walkAuthChain(
  starts: Iterable<EventId>,
  source: EventSource,
  found: Set<EventId>,
  excluded: ReadonlySet<EventId> = new Set<EventId>(),
): void {
  const stack = [...starts]
  for (let eventId = stack.pop(); eventId !== undefined; eventId = stack.pop()) {
    if (found.has(eventId) || excluded.has(eventId)) continue
    found.add(eventId)
    const event = source.get(eventId)
    if (event !== undefined) stack.push(...event.authEventIds)
  }
}

/**
 * Finds the events on paths along `auth_events` from one conflicted event to another, ends included. Incomplete while
 * the source misses events. Spec: rooms/v12 § Conflicted state subgraph.
 */
export function computeConflictedSubgraph(
  conflicted: ReadonlyMap<string, ReadonlySet<EventId>>,
  source: EventSource,
): Set<EventId> {
  const starts = conflictedEventIds(conflicted)
  const chain = new Set<EventId>()
  walkAuthChain(starts, source, chain)
  // Everything found is reachable from a conflicted event; what can reach one itself lies on a path. So the links are
  // followed backwards from the conflicted events, inside the chain.
  const citedBy = new Map<EventId, EventId[]>()
  for (const eventId of chain) {
    for (const authEventId of source.get(eventId)?.authEventIds ?? []) {
      const citing = citedBy.get(authEventId)
      if (citing === undefined) citedBy.set(authEventId, [eventId])
      else citing.push(eventId)
    }
  }
  const subgraph = new Set<EventId>()
  const stack = [...starts]
  for (let eventId = stack.pop(); eventId !== undefined; eventId = stack.pop()) {
    if (subgraph.has(eventId)) continue
    subgraph.add(eventId)
    stack.push(...(citedBy.get(eventId) ?? []))
  }
  return subgraph
}
