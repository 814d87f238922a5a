import type { Database, Queryable } from '../../storage/database.ts'
import { persistEvents } from '../../storage/operations/persist-events.ts'
import type { EventBatch, NewInterval } from '../../storage/operations/persist-events.ts'
import { insertPushActions } from '../../storage/tables/event-push-actions.ts'
import { writeTail } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { PendingEvent } from './event-building.ts'
import type { BuiltJob } from './event-persister.ts'
import type { RoomModel } from './room-model.ts'

export interface CommittedEvents {
  /** The lane's head before. */
  readonly prev: number
  readonly positions: ReadonlyMap<PendingEvent, StreamPosition>
}

/** Commits the events of several jobs in one tail: BEGIN, lane claim, one statement for each table, COMMIT, in one packet. */
export async function commitEvents(
  deps: { readonly database: Database; readonly hub: StreamHub },
  batch: { readonly lane: number; readonly jobs: readonly BuiltJob[]; readonly nowMs: number },
): Promise<CommittedEvents> {
  const events = batch.jobs.flatMap((job) => job.pending)
  const rows = toBatch(batch, events)
  const claim = { stream: 'events', lane: batch.lane, count: events.length } as const
  const { claim: claimed } = await writeTail(deps.database, deps.hub, claim, (tx) => writeRows(tx, rows, events))
  for (const head of new Set(batch.jobs.map((job) => job.model))) head.version += 1
  return {
    prev: claimed.prev,
    positions: new Map(events.map((event, index) => [event, claimed.positions[index] as StreamPosition])),
  }
}

function writeRows(tx: Queryable, rows: EventBatch, events: readonly PendingEvent[]): Promise<unknown>[] {
  const statements = persistEvents(tx, rows)
  const actions = events.flatMap((pending, index) =>
    pending.push.actions.map((action) => ({
      ...action,
      positionIndex: index + 1,
      roomId: pending.event.roomId,
      eventId: pending.event.eventId,
      threadId: pending.push.threadId,
    })),
  )
  if (actions.length > 0) statements.push(insertPushActions(tx, actions))
  return statements
}

function toBatch(
  batch: { readonly lane: number; readonly jobs: readonly BuiltJob[]; readonly nowMs: number },
  events: readonly PendingEvent[],
): EventBatch {
  const nidOfRoom = new Map<string, number>(batch.jobs.map((job) => [job.model.roomId, job.model.roomNid]))
  const roomNid = (pending: PendingEvent): number => nidOfRoom.get(pending.event.roomId) as number
  const models = new Set<RoomModel>(batch.jobs.map((job) => job.model))
  return {
    lane: batch.lane,
    rooms: batch.jobs
      .filter((job) => job.isNewRoom)
      .map((job) => ({
        roomNid: job.model.roomNid,
        roomId: job.model.roomId,
        roomVersion: job.model.roomVersion.id,
        creator: job.pending[0]?.event.sender ?? '',
        createdTsMs: batch.nowMs,
      })),
    heads: [...models].map((model) => ({
      roomNid: model.roomNid,
      version: model.version,
      extremities: model.extremities.map((extremity) => extremity.eventNid),
      depth: model.depth,
      joinedCount: model.joinedCount,
      invitedCount: model.invitedCount,
      notifyOrdinal: model.notifyOrdinal,
    })),
    events: events.map((pending, index) => toRow(pending, index + 1, roomNid(pending))),
    intervals: toIntervals(events, roomNid),
    memberships: lastPerSlot(
      events.filter((pending) => pending.event.type === 'm.room.member' && pending.event.stateKey !== undefined),
    ).map((pending) => ({
      roomNid: roomNid(pending),
      userId: pending.event.stateKey ?? '',
      membership: String(pending.event.content['membership']),
      eventId: pending.event.eventId,
      index: events.indexOf(pending) + 1,
      sender: pending.event.sender,
    })),
    redactions: events.flatMap((pending) =>
      pending.redacts === undefined
        ? []
        : [{ target: pending.redacts, redaction: pending.event.eventId, roomNid: roomNid(pending) }],
    ),
  }
}

function toRow(pending: PendingEvent, index: number, roomNid: number): EventBatch['events'][number] {
  const { event, intent, relation } = pending
  return {
    index,
    eventNid: pending.eventNid,
    roomNid,
    eventId: event.eventId,
    depth: event.depth,
    type: event.type,
    stateKey: event.stateKey,
    sender: event.sender,
    originServerTs: event.originServerTs,
    relationType: relation?.type,
    relatesTo: relation?.eventId,
    redacts: event.redacts,
    notifyOrdinal: pending.notifyOrdinal,
    threadId: pending.push.threadId,
    replacesNid: pending.replaced?.eventNid,
    txnDevice: intent.transaction?.device,
    txnId: intent.transaction?.id,
    txnScope: intent.transaction?.scope,
    json: pending.json,
  }
}

/** An interval for each state event; where one batch sets a slot twice, the first ends at the second. */
function toIntervals(events: readonly PendingEvent[], roomNid: (pending: PendingEvent) => number): NewInterval[] {
  const intervals: NewInterval[] = []
  const nextIndex = new Map<string, number>()
  const firstOfSlot = new Map<string, NewInterval>()
  for (let index = events.length; index >= 1; index--) {
    const pending = events[index - 1]
    const { event } = pending as PendingEvent
    if (!pending || event.stateKey === undefined) continue
    const slot = slotOf(pending)
    const interval: NewInterval = {
      roomNid: roomNid(pending),
      type: event.type,
      stateKey: event.stateKey,
      eventNid: pending.eventNid,
      index,
      endIndex: nextIndex.get(slot),
      isReplacing: false,
    }
    nextIndex.set(slot, index)
    firstOfSlot.set(slot, pending.replaced ? { ...interval, isReplacing: true } : interval)
    intervals.push(interval)
  }
  // Only the earliest event of a slot ends the interval that was open before the batch.
  return intervals.map((interval) => {
    const first = firstOfSlot.get(`${interval.roomNid}\u0000${interval.type}\u0000${interval.stateKey}`)
    return first?.index === interval.index ? first : interval
  })

  function slotOf(pending: PendingEvent): string {
    return `${roomNid(pending)}\u0000${pending.event.type}\u0000${pending.event.stateKey ?? ''}`
  }
}

function lastPerSlot(events: readonly PendingEvent[]): PendingEvent[] {
  const last = new Map<string, PendingEvent>()
  for (const pending of events) last.set(`${pending.event.roomId}\u0000${pending.event.stateKey ?? ''}`, pending)
  return [...last.values()]
}
