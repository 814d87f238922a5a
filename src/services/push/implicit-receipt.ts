import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'

/**
 * Tells whether sending the event marks its thread (or the main timeline) as read for the sender. State, redactions,
 * reactions and edits do not: somebody may make them without looking at the newest messages.
 * tables/unread-counts.ts says the same in SQL. Spec: client-server-api § Marking notifications as read.
 */
export function isImplicitReceipt(event: {
  readonly type: string
  readonly stateKey: string | undefined
  readonly relationType: string | undefined
}): boolean {
  if (event.stateKey !== undefined || event.type === 'm.room.redaction') return false
  return event.relationType !== 'm.annotation' && event.relationType !== 'm.replace'
}

/** Type of the event's relation; undefined where it has none. */
export function relationTypeOf(event: Pick<MatrixEvent, 'content'>): string | undefined {
  const relation = event.content['m.relates_to']
  const type = isJsonObject(relation) ? relation['rel_type'] : undefined
  return typeof type === 'string' ? type : undefined
}

/** Root of the thread that the event is in by its own relation. Spec: client-server-api § Threading. */
export function threadIdOf(event: Pick<MatrixEvent, 'content' | 'stateKey' | 'type'>): EventId | undefined {
  if (event.stateKey !== undefined || event.type === 'm.room.redaction') return undefined
  const relation = event.content['m.relates_to']
  if (!isJsonObject(relation) || relation['rel_type'] !== 'm.thread') return undefined
  const root = relation['event_id']
  return typeof root === 'string' && isEventIdLike(root) ? (root as EventId) : undefined
}

function isEventIdLike(text: string): boolean {
  return text.startsWith('$') && Buffer.byteLength(text) <= 255 && !text.includes('\u0000') && text.isWellFormed()
}
