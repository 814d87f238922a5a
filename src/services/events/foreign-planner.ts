import { selectAuthSlots } from '../../protocol/auth-rules/auth-slots.ts'
import { checkAuthEventSelection } from '../../protocol/auth-rules/auth-slots.ts'
import { checkAuthRules } from '../../protocol/auth-rules/check-auth-rules.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId } from '../../protocol/ids.ts'
import { impliedCreateEventId } from '../../protocol/state-resolution/room-context.ts'
import type { Database } from '../../storage/database.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import { getStateEvents } from '../../storage/tables/event-graph.ts'
import type { EventReader } from './event-reader.ts'
import type { ForeignEvent, ForeignResult } from './foreign-events.ts'
import { loadGraph, loadMissing } from './graph-loading.ts'
import type { NidAllocator } from './nid-allocator.ts'
import { RoomDraft } from './room-draft.ts'
import type { SlotChange } from './room-draft.ts'
import type { Extremity, RoomModel } from './room-model.ts'
import { isSameValue, splitSlotKey, stateRef } from './state-ref.ts'
import type { SlotValue, StateRef } from './state-ref.ts'
import type { LoadedEvent, LoadEvents, StateResolver } from './state-resolver.ts'

/**
 * How events come in: `append` them to the timeline; `import` a room with its join, whatever our extremities are; fill its
 * `history`; set a membership in a room that nobody here is in, from `outside`.
 */
export type ForeignMode = 'append' | 'import' | 'history' | 'outside'

/** An event with everything that its commit needs. */
export interface PlannedEvent {
  readonly event: MatrixEvent
  readonly json: string
  readonly eventNid: number
  readonly flags: number
  readonly isPromoted: boolean
  /** State before it; undefined: the room's state as of the position before its own. */
  readonly before: StateRef | undefined
  readonly prevNids: readonly number[]
  readonly missingPrevIds: readonly EventId[]
  readonly authNids: readonly number[]
  readonly isAwaited: boolean
  /** What it changes in the room's current state, and the extremities after it; undefined where it is not in the timeline. */
  readonly effect: { readonly changes: readonly SlotChange[]; readonly extremities: readonly Extremity[] } | undefined
  /** The event that it redacts, where that is known. */
  readonly redactionTarget: MatrixEvent | undefined
  /** The redaction that was here before it. */
  readonly redaction: MatrixEvent | undefined
}

export interface ForeignPlan {
  readonly model: RoomModel
  readonly events: readonly PlannedEvent[]
  readonly results: readonly ForeignResult[]
}

/** What dropped out of a state although no event says so. */
export interface StateReset {
  readonly roomId: string
  readonly eventId: string
  readonly slots: readonly { readonly type: string; readonly stateKey: string }[]
}

export interface ForeignPlannerDeps {
  readonly database: Database
  readonly events: EventReader
  readonly nids: NidAllocator
  readonly resolver: StateResolver
  readonly onStateReset: (reset: StateReset) => void
}

interface Verdict {
  readonly flags: number
  readonly before: StateRef | undefined
  /** Before is the room's current state. */
  readonly isNext: boolean
}

/** Judges events of other servers and works out states and extremities. Spec: server-server-api § Checks performed on receipt of a PDU. */
export class ForeignPlanner {
  readonly #deps: ForeignPlannerDeps

  constructor(deps: ForeignPlannerDeps) {
    this.#deps = deps
  }

  /** Plans the events in their order on top of the model, which must be as committed and must not change meanwhile. */
  async plan(
    model: RoomModel,
    events: readonly ForeignEvent[],
    mode: ForeignMode,
  ): Promise<{ plan: ForeignPlan; draft: RoomDraft }> {
    const draft = new RoomDraft(model)
    const facts = await loadGraph(this.#deps.database, draft, events)
    const loadEvents = this.#loader(draft)
    const planned: PlannedEvent[] = []
    const results: ForeignResult[] = []
    for (const foreign of events) {
      const { event } = foreign
      const known = draft.graph.get(event.eventId)
      if (known && (known.flags & EVENT_FLAGS.outlier) === 0) {
        results.push('known')
        continue
      }
      const missing = findMissing(draft, foreign)
      if (missing.length > 0) {
        results.push({ missing })
        continue
      }
      const before = await this.#stateBefore(draft, foreign, mode, loadEvents)
      if ('missing' in before) {
        results.push(before)
        continue
      }
      const verdict = await this.#judge(draft, event, before, mode, loadEvents)
      const one = await this.#add(draft, foreign, verdict, { mode, facts, loadEvents })
      planned.push(one)
      results.push(resultOf(one.flags))
    }
    return { plan: { model, events: planned, results }, draft }
  }

  /** Plans one event of our own whose prev_events are some of the extremities: it joins them. */
  async planMerge(
    draft: RoomDraft,
    extremities: readonly Extremity[],
    build: (
      state: (type: string, stateKey: string) => MatrixEvent | undefined,
    ) => { event: MatrixEvent; json: string } | undefined,
  ): Promise<PlannedEvent | undefined> {
    const loadEvents = this.#loader(draft)
    const states = extremities.flatMap(({ event }) => draft.stateAfter(event.eventId) ?? [])
    const before = await this.#deps.resolver.resolve(draft, states, loadEvents)
    const isNext = extremities.length === draft.extremities.length
    // The sender's own slots and power levels are alike in all states, or the event is not made.
    const built = build(draft.lookup)
    if (!built) return undefined
    await loadMissing(this.#deps.database, draft, built.event.authEventIds)
    const verdict = await this.#judge(draft, built.event, { before, isNext }, 'append', loadEvents)
    if ((verdict.flags & ~EVENT_FLAGS.hidden) !== 0) return undefined
    const facts = {
      awaited: new Set<EventId>(),
      redactions: new Map<EventId, MatrixEvent>(),
      targets: new Map<EventId, MatrixEvent>(),
    }
    return this.#add(draft, built, verdict, { mode: 'append', facts, loadEvents })
  }

  #loader(draft: RoomDraft): LoadEvents {
    return async (eventIds) => {
      const found = new Map<EventId, LoadedEvent>()
      const missing: EventId[] = []
      for (const eventId of eventIds) {
        const event = draft.graph.get(eventId)
        if (event) found.set(eventId, event)
        else missing.push(eventId)
      }
      if (missing.length > 0)
        for (const [eventId, stored] of await this.#deps.events.getEvents(missing)) found.set(eventId, stored)
      return found
    }
  }

  /** The state before an event: of its prev_events, or as another server told it. */
  async #stateBefore(
    draft: RoomDraft,
    { event, stateBefore }: ForeignEvent,
    mode: ForeignMode,
    loadEvents: LoadEvents,
  ): Promise<{ before: StateRef; isNext: boolean } | { missing: readonly EventId[] }> {
    if (mode === 'append' && draft.areExtremities(event.prevEventIds)) return { before: draft.current, isNext: true }
    const states = event.prevEventIds.flatMap((eventId) => draft.stateAfter(eventId) ?? [])
    const isKnown = mode !== 'import' && states.length === event.prevEventIds.length && states.length > 0
    if (isKnown) return { before: await this.#deps.resolver.resolve(draft, states, loadEvents), isNext: false }
    if (!stateBefore) return { before: stateRef(0), isNext: false }
    const rows = await getStateEvents(this.#deps.database, { roomNid: draft.roomNid, eventIds: stateBefore })
    const found = new Map(rows.map((row) => [row.eventId, row]))
    const missing = stateBefore.filter((eventId) => !found.has(eventId) && !draft.graph.has(eventId))
    if (missing.length > 0) return { missing }
    const slots = new Map<string, SlotValue>()
    for (const row of rows) {
      if (row.stateKey !== null && (row.flags & EVENT_FLAGS.rejected) === 0)
        slots.set(stateSlotKey(row.type, row.stateKey), { eventId: row.eventId, eventNid: row.eventNid })
    }
    for (const eventId of stateBefore) {
      const planned = found.has(eventId) ? undefined : draft.graph.get(eventId)
      if (planned?.event.stateKey !== undefined && (planned.flags & EVENT_FLAGS.rejected) === 0)
        slots.set(stateSlotKey(planned.event.type, planned.event.stateKey), { eventId, eventNid: planned.eventNid })
    }
    return { before: asDifference(draft, slots), isNext: false }
  }

  async #judge(
    draft: RoomDraft,
    event: MatrixEvent,
    { before, isNext }: { before: StateRef; isNext: boolean },
    mode: ForeignMode,
    loadEvents: LoadEvents,
  ): Promise<Verdict> {
    const hidden = event.type === 'org.matrix.dummy_event' && event.stateKey === undefined ? EVENT_FLAGS.hidden : 0
    const rejected = { flags: EVENT_FLAGS.rejected | hidden, before, isNext: false }
    // 4. by its auth events
    if (!isAllowedByAuthEvents(draft, event)) return rejected
    // 5. by the state before it
    const lookup = isNext ? draft.lookup : await this.#lookupIn(draft, before, event, loadEvents)
    if (!checkAuthRules(draft.roomVersion, event, lookup).allowed) return rejected
    // 6. by the current state
    const isOutdated = mode === 'append' && !isNext && !checkAuthRules(draft.roomVersion, event, draft.lookup).allowed
    return { flags: hidden | (isOutdated ? EVENT_FLAGS.softFailed : 0), before, isNext: isNext && !isOutdated }
  }

  async #lookupIn(
    draft: RoomDraft,
    ref: StateRef,
    event: MatrixEvent,
    loadEvents: LoadEvents,
  ): Promise<(type: string, stateKey: string) => MatrixEvent | undefined> {
    const slotKeys = selectAuthSlots(draft.roomVersion, event).map((slot) => stateSlotKey(slot.type, slot.stateKey))
    const slots = await this.#deps.resolver.getSlots(draft, ref, new Set([stateSlotKey('m.room.create', ''), ...slotKeys]))
    const events = await loadEvents([...slots.values()].map((value) => value.eventId))
    return (type, stateKey) => {
      const value = slots.get(stateSlotKey(type, stateKey))
      return value && events.get(value.eventId)?.event
    }
  }

  async #add(
    draft: RoomDraft,
    { event, json }: ForeignEvent,
    verdict: Verdict,
    context: { mode: ForeignMode; facts: Awaited<ReturnType<typeof loadGraph>>; loadEvents: LoadEvents },
  ): Promise<PlannedEvent> {
    const { mode, facts } = context
    const { flags } = verdict
    const before = verdict.before ?? draft.current
    const known = draft.graph.get(event.eventId)
    await this.#deps.nids.ensure(1)
    const eventNid = known?.eventNid ?? this.#deps.nids.take()
    const prevNids: number[] = []
    const missingPrevIds: EventId[] = []
    for (const prevId of event.prevEventIds) {
      const prev = draft.graph.get(prevId)
      if (prev?.before) prevNids.push(prev.eventNid)
      else missingPrevIds.push(prevId)
    }
    const isRejected = (flags & EVENT_FLAGS.rejected) !== 0
    const value = { eventId: event.eventId, eventNid }
    const after =
      event.stateKey === undefined || isRejected
        ? before
        : stateRef(before.basePos, new Map(before.overlay).set(stateSlotKey(event.type, event.stateKey), value))
    draft.add({ event, eventNid, flags, before, after, position: undefined })
    const isAppended = mode !== 'history' && (flags & ~EVENT_FLAGS.hidden) === 0
    const isAwaited = facts.awaited.has(event.eventId)
    const effect = isAppended
      ? await this.#append(draft, { event, eventNid }, { after, isNext: verdict.isNext, isReferenced: isAwaited, ...context })
      : undefined
    return {
      event,
      json,
      eventNid,
      flags,
      isPromoted: known !== undefined,
      before: verdict.isNext && effect && !isAwaited ? undefined : before,
      prevNids,
      missingPrevIds,
      authNids: event.stateKey === undefined ? [] : event.authEventIds.flatMap((id) => draft.graph.get(id)?.eventNid ?? []),
      isAwaited,
      effect,
      redactionTarget:
        event.redacts === undefined ? undefined : (facts.targets.get(event.redacts) ?? draft.graph.get(event.redacts)?.event),
      redaction: facts.redactions.get(event.eventId),
    }
  }

  /** Moves extremities and current state on by an accepted event. */
  async #append(
    draft: RoomDraft,
    added: LoadedEvent,
    context: { mode: ForeignMode; after: StateRef; isNext: boolean; isReferenced: boolean; loadEvents: LoadEvents },
  ): Promise<NonNullable<PlannedEvent['effect']>> {
    const { event } = added
    const extremity: Extremity = { eventNid: added.eventNid, event }
    let extremities: readonly Extremity[]
    if (context.mode === 'import') extremities = [extremity]
    else {
      const covered = await this.#coveredBy(draft, event)
      const left = draft.extremities.filter((one) => !covered.has(one.event.eventId))
      extremities = context.isReferenced && left.length > 0 ? left : [...left, extremity]
    }
    let changes: SlotChange[] = []
    if (context.isNext && !context.isReferenced) {
      if (event.stateKey !== undefined) changes = [{ type: event.type, stateKey: event.stateKey, value: added }]
    } else {
      const before = draft.current
      const states = extremities.flatMap((one) =>
        one === extremity ? context.after : (draft.stateAfter(one.event.eventId) ?? []),
      )
      const state = await this.#deps.resolver.resolve(draft, states, context.loadEvents)
      changes = await this.#changesBetween(draft, before, state, context.loadEvents)
      if (context.mode === 'append') this.#alarm(draft, event, changes)
    }
    draft.extremities = extremities
    draft.change(changes)
    return { changes, extremities }
  }

  async #changesBetween(draft: RoomDraft, from: StateRef, to: StateRef, loadEvents: LoadEvents): Promise<SlotChange[]> {
    const difference = await this.#deps.resolver.getDifference(draft, from, to)
    const values = [...difference.values()].flatMap((value) => (value.to ? [value.to.eventId] : []))
    const events = await loadEvents(values)
    return [...difference].map(([slotKey, { to: value }]) => ({
      ...splitSlotKey(slotKey),
      value: value ? events.get(value.eventId) : undefined,
    }))
  }

  /** The event's prev_events, and what stands before those of them that are no part of the timeline. */
  async #coveredBy(draft: RoomDraft, event: MatrixEvent): Promise<Set<EventId>> {
    const covered = new Set<EventId>()
    let next = [...event.prevEventIds]
    while (next.length > 0) {
      await loadMissing(this.#deps.database, draft, next)
      const further: EventId[] = []
      for (const eventId of next) {
        if (covered.has(eventId)) continue
        covered.add(eventId)
        const prev = draft.graph.get(eventId)
        if (prev?.before && (prev.flags & (EVENT_FLAGS.rejected | EVENT_FLAGS.softFailed)) !== 0)
          further.push(...prev.event.prevEventIds)
      }
      next = further
    }
    return covered
  }

  /** Tells of what an honest room hardly ever loses: members, power levels, join rules, with no event that takes them away. */
  #alarm(draft: RoomDraft, event: MatrixEvent, changes: readonly SlotChange[]): void {
    const slots = changes.filter(({ type, stateKey, value }) => {
      if (value) return false
      if (type === 'm.room.power_levels' || type === 'm.room.join_rules') return true
      return type === 'm.room.member' && draft.lookup(type, stateKey)?.content['membership'] === 'join'
    })
    if (slots.length > 0)
      this.#deps.onStateReset({
        roomId: draft.roomId,
        eventId: event.eventId,
        slots: slots.map(({ type, stateKey }) => ({ type, stateKey })),
      })
  }
}

function resultOf(flags: number): ForeignResult {
  if ((flags & EVENT_FLAGS.rejected) !== 0) return 'rejected'
  return (flags & EVENT_FLAGS.softFailed) === 0 ? 'accepted' : 'softFailed'
}

/** What an event needs and is not here. */
function findMissing(draft: RoomDraft, { event, stateBefore }: ForeignEvent): EventId[] {
  const missing = event.authEventIds.filter((eventId) => !draft.graph.has(eventId))
  if (!stateBefore) missing.push(...event.prevEventIds.filter((eventId) => !draft.graph.get(eventId)?.before))
  return [...new Set(missing)]
}

/** Check 4 of a received event. Spec: server-server-api § Checks performed on receipt of a PDU. */
function isAllowedByAuthEvents(draft: RoomDraft, event: MatrixEvent): boolean {
  const entryOf = (eventId: EventId) => {
    const found = draft.graph.get(eventId)
    return found ? [{ event: found.event, isRejected: (found.flags & EVENT_FLAGS.rejected) !== 0 }] : []
  }
  const entries = event.authEventIds.flatMap(entryOf)
  const implied = impliedCreateEventId(draft.roomVersion, event)
  const create = implied === undefined ? undefined : entryOf(implied)[0]
  if (!checkAuthEventSelection(draft.roomVersion, event, entries, create).allowed) return false
  const slots = new Map(entries.map((entry) => [stateSlotKey(entry.event.type, entry.event.stateKey ?? ''), entry.event]))
  if (create) slots.set(stateSlotKey('m.room.create', ''), create.event)
  return checkAuthRules(draft.roomVersion, event, (type, stateKey) => slots.get(stateSlotKey(type, stateKey))).allowed
}

/** Writes a whole state as difference to the current one, or to nothing where that is shorter. */
function asDifference(draft: RoomDraft, slots: ReadonlyMap<string, SlotValue>): StateRef {
  const overlay = new Map<string, SlotValue>()
  for (const [slotKey, value] of slots) if (!isSameValue(draft.committedSlot(slotKey), value)) overlay.set(slotKey, value)
  for (const entry of draft.model.entries()) {
    const slotKey = stateSlotKey(entry.type, entry.stateKey)
    if (!slots.has(slotKey)) overlay.set(slotKey, null)
  }
  return overlay.size < slots.size ? stateRef(draft.statePos, overlay) : stateRef(0, slots)
}
