import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId } from '../../protocol/ids.ts'
import { impliedCreateEventId } from '../../protocol/state-resolution/room-context.ts'
import type { Queryable } from '../../storage/database.ts'
import {
  EVENT_FLAGS,
  getAwaitedEvents,
  getGraphEvents,
  getOverlayEntries,
  getRedactionsOf,
} from '../../storage/tables/event-graph.ts'
import type { GraphEventRecord, OverlayEntryRecord } from '../../storage/tables/event-graph.ts'
import { parseEventRecord } from './event-reader.ts'
import type { ForeignEvent } from './foreign-events.ts'
import type { RoomDraft } from './room-draft.ts'
import { stateRef, storedStateRef, withSlot } from './state-ref.ts'
import type { SlotValue, StateRef } from './state-ref.ts'

/** What else the database knows of events that are to be appended. */
export interface GraphFacts {
  /** Events that accepted ones name in their prev_events. */
  readonly awaited: ReadonlySet<EventId>
  /** Redactions that were here before what they redact. */
  readonly redactions: ReadonlyMap<EventId, MatrixEvent>
  /** Events that are to be redacted. */
  readonly targets: ReadonlyMap<EventId, MatrixEvent>
}

/** Loads everything that judging the events asks for, but for states on forks: three queries at once, a fourth for overlays. */
export async function loadGraph(database: Queryable, draft: RoomDraft, events: readonly ForeignEvent[]): Promise<GraphFacts> {
  const ownIds = events.map(({ event }) => event.eventId)
  const wanted = new Set<EventId>(ownIds)
  for (const { event } of events) {
    for (const eventId of event.prevEventIds) wanted.add(eventId)
    for (const eventId of event.authEventIds) wanted.add(eventId)
    if (event.redacts !== undefined) wanted.add(event.redacts)
    const create = impliedCreateEventId(draft.roomVersion, event)
    if (create !== undefined) wanted.add(create)
  }
  for (const { event } of draft.extremities) wanted.add(event.eventId)
  const [, awaited, redactions] = await Promise.all([
    loadMissing(database, draft, wanted),
    getAwaitedEvents(database, ownIds),
    getRedactionsOf(database, ownIds),
  ])
  const notAccepted = EVENT_FLAGS.outlier | EVENT_FLAGS.rejected | EVENT_FLAGS.softFailed
  const targets = new Map<EventId, MatrixEvent>()
  for (const { event } of events) {
    const target = event.redacts === undefined ? undefined : draft.graph.get(event.redacts)
    if (target) targets.set(target.event.eventId, target.event)
  }
  return {
    awaited: new Set(awaited.filter((row) => (row.flags & notAccepted) === 0).map((row) => row.prevId)),
    redactions: new Map(
      redactions.map((record) => {
        const { event } = parseEventRecord(record)
        return [event.redacts as EventId, event]
      }),
    ),
    targets,
  }
}

/** Loads events of the room's graph that the draft does not have yet. */
export async function loadMissing(database: Queryable, draft: RoomDraft, eventIds: Iterable<EventId>): Promise<void> {
  const missing = [...eventIds].filter((eventId) => !draft.graph.has(eventId))
  if (missing.length === 0) return
  const records = (await getGraphEvents(database, missing)).filter((record) => record.roomId === draft.roomId)
  const overlayIds = [...new Set(records.flatMap((record) => record.overlayId ?? []))]
  const entries = overlayIds.length === 0 ? [] : await getOverlayEntries(database, overlayIds)
  const overlays = overlaysOf(overlayIds, entries)
  const refs = new Map<string, StateRef>()
  for (const record of records) {
    const { event, eventNid, flags, position } = parseEventRecord(record)
    const before = (flags & EVENT_FLAGS.outlier) === 0 ? refOf(record, overlays, refs) : undefined
    draft.graph.set(event.eventId, {
      event,
      eventNid,
      flags,
      position,
      before,
      after: before && stateAfter(record, event, before),
    })
  }
}

function overlaysOf(overlayIds: readonly number[], entries: readonly OverlayEntryRecord[]): Map<number, Map<string, SlotValue>> {
  const overlays = new Map(overlayIds.map((overlayId) => [overlayId, new Map<string, SlotValue>()]))
  for (const { overlayId, type, stateKey, eventNid, eventId } of entries)
    overlays.get(overlayId)?.set(stateSlotKey(type, stateKey), eventId === null ? null : { eventId, eventNid })
  return overlays
}

/** Events with the same state share one object, and so one row of those that come after them. */
function refOf(
  record: GraphEventRecord,
  overlays: ReadonlyMap<number, ReadonlyMap<string, SlotValue>>,
  refs: Map<string, StateRef>,
): StateRef {
  const key = `${record.basePos} ${record.overlayId}`
  let ref = refs.get(key)
  if (!ref) {
    const overlay = record.overlayId === null ? undefined : overlays.get(record.overlayId)
    ref =
      record.overlayId === null || !overlay ? stateRef(record.basePos) : storedStateRef(record.basePos, overlay, record.overlayId)
    refs.set(key, ref)
  }
  return ref
}

function stateAfter(record: GraphEventRecord, event: MatrixEvent, before: StateRef): StateRef {
  if (event.stateKey === undefined || (record.flags & EVENT_FLAGS.rejected) !== 0) return before
  // Events without an overlay were appended to all extremities: the room's state was theirs at once.
  const isCurrent = record.overlayId === null && record.position !== null && record.basePos === record.position - 1
  if (isCurrent) return stateRef(record.position)
  return withSlot(before, stateSlotKey(event.type, event.stateKey), { eventId: event.eventId, eventNid: record.eventNid })
}
