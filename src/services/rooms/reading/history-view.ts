import { canSeeEvent, parseHistoryVisibility, parseMembership } from '../../../protocol/history-visibility.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Queryable } from '../../../storage/database.ts'
import { getVisibilityBefore } from '../../../storage/tables/events.ts'
import type { StoredEvent } from '../../events/event-reader.ts'
import type { RoomView } from './room-view.ts'

/**
 * Leaves out events that the user may not see. Those from before the stream are judged by their own states, which costs one
 * query; pages without such events cost none.
 */
export async function filterHistory(database: Queryable, view: RoomView, events: readonly StoredEvent[]): Promise<StoredEvent[]> {
  if (view.seesAll) return view.filter(events)
  const history = events.filter((stored) => stored.ordinal !== 0 && stored.flags === 0)
  const visible = new Set(view.filter(events))
  if (history.length === 0) return [...visible]
  const rows = await getVisibilityBefore(database, { eventNids: history.map((stored) => stored.eventNid), userId: view.userId })
  const slots = Map.groupBy(rows, (row) => row.eventNid)
  for (const stored of history) {
    const contentOf = (type: string): JsonObject | undefined =>
      contentIn(slots.get(stored.eventNid)?.find((row) => row.type === type)?.json)
    const { event } = stored
    const isOwn = event.type === 'm.room.member' && event.stateKey === view.userId
    const isVisibility = event.type === 'm.room.history_visibility' && event.stateKey === ''
    const canSee = canSeeEvent({
      visibilityBefore: parseHistoryVisibility(contentOf('m.room.history_visibility')),
      visibilityAfter: isVisibility ? parseHistoryVisibility(event.content) : undefined,
      membershipBefore: parseMembership(contentOf('m.room.member')),
      membershipAfter: isOwn ? parseMembership(event.content) : undefined,
      hasJoinedAfter: view.hasJoinedAfter(stored.position ?? 0),
    })
    if (canSee) visible.add(stored)
  }
  return events.filter((stored) => visible.has(stored))
}

function contentIn(json: string | undefined): JsonObject | undefined {
  const pdu: unknown = json === undefined ? undefined : JSON.parse(json)
  const content = isJsonObject(pdu) ? pdu['content'] : undefined
  return isJsonObject(content) ? content : undefined
}
