import type { EventId } from '../ids.ts'
import type { ResolutionContext } from './room-context.ts'
import { resolveFrom } from './v2.ts'

/**
 * Resolves conflicts as room version 12 does: as version 2, but from the empty state on, and with the conflicted state
 * subgraph in the full conflicted set. Gives the slots that differ from the unconflicted state; means nothing while the
 * source misses events. Spec: rooms/v12 § State resolution, MSC4297.
 */
export function resolveV21(context: ResolutionContext, fullConflictedSet: ReadonlySet<EventId>): Map<string, EventId> {
  // No agreed event is asked while checking: an event is judged by what it and the others in conflict stand on, so
  // that a wrong but undisputed state cannot throw out what was right.
  return resolveFrom(() => undefined, context, fullConflictedSet)
}
