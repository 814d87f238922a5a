import type { MatrixEvent } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { PartialState } from './iterative-auth-checks.ts'
import { applyAllowed, prefetchForChecks, readSlot } from './iterative-auth-checks.ts'
import { sortByMainline } from './mainline-ordering.ts'
import { sortByPower } from './power-ordering.ts'
import type { ResolutionContext } from './room-context.ts'
import { POWER_LEVELS_SLOT } from './room-context.ts'

/**
 * Resolves conflicts as room versions 2 to 11 do. Gives the slots that differ from the unconflicted state; means
 * nothing while the source misses events. Spec: rooms/v2 § State resolution.
 */
export function resolveV2(context: ResolutionContext, fullConflictedSet: ReadonlySet<EventId>): Map<string, EventId> {
  return resolveFrom(context.unconflicted, context, fullConflictedSet)
}

/** Resolves conflicts by the steps that versions 2 and 2.1 share, from the given state on. */
export function resolveFrom(
  base: PartialState['base'],
  context: ResolutionContext,
  fullConflictedSet: ReadonlySet<EventId>,
): Map<string, EventId> {
  const { source } = context
  const events = source.getAll(fullConflictedSet)
  prefetchForChecks(events, base, context)
  if (source.hasMissing) return new Map()
  const state: PartialState = { base, changes: new Map() }
  // 1. and 2. What may take away someone's power, and what it stands on.
  const powerEvents = selectPowerEvents(events, fullConflictedSet, context)
  applyAllowed(sortByPower([...powerEvents.values()], context), state, context)
  // 3. and 4. The rest, along the power levels that came out.
  const powerLevelsId = readSlot(state, POWER_LEVELS_SLOT)
  const powerLevels = powerLevelsId === undefined ? undefined : source.get(powerLevelsId)
  const others = events.filter((event) => !powerEvents.has(event.eventId))
  applyAllowed(sortByMainline(others, powerLevels, source), state, context)
  // 5. What was never in conflict stays.
  for (const slotKey of state.changes.keys()) {
    if (context.unconflicted(slotKey) !== undefined) state.changes.delete(slotKey)
  }
  return state.changes
}

/**
 * The power events of the full conflicted set with what their auth chains have of it. The chains are followed inside the
 * set, as all deployed servers do: the auth difference and the subgraph of version 2.1 have no gaps.
 */
function selectPowerEvents(
  events: readonly MatrixEvent[],
  fullConflictedSet: ReadonlySet<EventId>,
  context: ResolutionContext,
): Map<EventId, MatrixEvent> {
  const selected = new Map<EventId, MatrixEvent>()
  const stack = events.filter(isPowerEvent)
  for (let event = stack.pop(); event !== undefined; event = stack.pop()) {
    if (selected.has(event.eventId)) continue
    selected.set(event.eventId, event)
    stack.push(...context.source.getAll(event.authEventIds.filter((eventId) => fullConflictedSet.has(eventId))))
  }
  return selected
}

/** Tells whether the event might take away someone's ability to do something. Spec: rooms/v2 § Power events. */
export function isPowerEvent(event: MatrixEvent): boolean {
  if (event.stateKey === undefined) return false
  if (event.type === 'm.room.power_levels' || event.type === 'm.room.join_rules') return true
  if (event.type !== 'm.room.member' || event.sender === event.stateKey) return false
  const membership = event.content['membership']
  return membership === 'leave' || membership === 'ban'
}
