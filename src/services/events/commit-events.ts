import type { Database, Queryable } from '../../storage/database.ts'
import { persistEvents } from '../../storage/operations/persist-events.ts'
import type { EventBatch, NewInterval, NewMembership } from '../../storage/operations/persist-events.ts'
import { insertPushActions } from '../../storage/tables/event-push-actions.ts'
import { writeTail } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { PendingEvent } from './event-building.ts'
import type { BuiltJob } from './persister-jobs.ts'
import type { RoomModel, StateEntry } from './room-model.ts'
import { splitSlotKey } from './state-ref.ts'

export interface CommittedEvents {
  /** The lane's head before. */
  readonly prev: number
  /** Of the events that are part of the timeline. */
  readonly positions: ReadonlyMap<PendingEvent, StreamPosition>
}

/** Commits the events of several jobs in one tail: BEGIN, lane claim, one statement for each table, COMMIT, in one packet. */
export async function commitEvents(
  deps: { readonly database: Database; readonly hub: StreamHub },
  batch: { readonly lane: number; readonly jobs: readonly BuiltJob[]; readonly nowMs: number },
): Promise<CommittedEvents> {
  const events = batch.jobs.flatMap((job) => job.pending)
  const indexes = new Map<PendingEvent, number>()
  for (const pending of events) if (!pending.foreign || pending.foreign.isInTimeline) indexes.set(pending, indexes.size + 1)
  const rows = toBatch(batch, events, indexes)
  const claim = { stream: 'events', lane: batch.lane, count: indexes.size } as const
  const { claim: claimed } = await writeTail(deps.database, deps.hub, claim, (tx) => writeRows(tx, rows, events, indexes))
  const last = claimed.positions.at(-1)
  for (const model of new Set(batch.jobs.map((job) => job.model))) {
    model.version += 1
    // Later than the model's own last change, which is as good: nobody else changed the room.
    if (last !== undefined) model.statePos = last
  }
  return {
    prev: claimed.prev,
    positions: new Map([...indexes].map(([pending, index]) => [pending, claimed.positions[index - 1] as StreamPosition])),
  }
}

function writeRows(
  tx: Queryable,
  rows: EventBatch,
  events: readonly PendingEvent[],
  indexes: ReadonlyMap<PendingEvent, number>,
): Promise<unknown>[] {
  const statements = persistEvents(tx, rows)
  const actions = events.flatMap((pending) =>
    pending.push.actions.map((action) => ({
      ...action,
      // Only events of the timeline notify.
      positionIndex: indexes.get(pending) as number,
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
  indexes: ReadonlyMap<PendingEvent, number>,
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
    events: events.map((pending) => toRow(pending, indexes.get(pending), roomNid(pending))),
    ...toStateRows(events, indexes, roomNid),
    redactions: events.flatMap((pending) => redactionsOf(pending).map((pair) => ({ ...pair, roomNid: roomNid(pending) }))),
    overlays: toOverlays(events, roomNid),
    links: events.flatMap((pending) => {
      const { eventNid, event, authNids, foreign } = pending
      if (authNids.length === 0 && !foreign) return []
      const { missingPrevIds = [], isAwaited = false } = foreign ?? {}
      return [{ eventNid, eventId: event.eventId, roomNid: roomNid(pending), authNids, missingPrevIds, isAwaited }]
    }),
  }
}

function redactionsOf({ event, redacts, foreign }: PendingEvent): { target: string; redaction: string }[] {
  const pairs: { target: string; redaction: string }[] = []
  if (redacts !== undefined) pairs.push({ target: redacts, redaction: event.eventId })
  if (foreign?.redaction) pairs.push({ target: event.eventId, redaction: foreign.redaction.eventId })
  return pairs
}

function toRow(pending: PendingEvent, index: number | undefined, roomNid: number): EventBatch['events'][number] {
  const { event, transaction, relation, foreign } = pending
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
    txnDevice: transaction?.device,
    txnId: transaction?.id,
    txnScope: transaction?.scope,
    json: pending.json,
    basePos: foreign?.before?.basePos,
    overlayId: foreign?.before?.overlayId,
    flags: foreign?.flags ?? 0,
    prevNids: pending.prevNids,
    isPromoted: foreign?.isPromoted ?? false,
    position: foreign?.history?.position,
    ordinal: foreign?.history?.ordinal ?? 0,
  }
}

/** The overlays that have a number and no row yet. */
function toOverlays(events: readonly PendingEvent[], roomNid: (pending: PendingEvent) => number): EventBatch['overlays'] {
  const overlays = new Map<number, EventBatch['overlays'][number]>()
  for (const pending of events) {
    const before = pending.foreign?.before
    if (before?.overlayId === undefined || before.isStored) continue
    const slots = [...before.overlay].map(([slotKey, value]) => ({ ...splitSlotKey(slotKey), eventNid: value?.eventNid ?? 0 }))
    overlays.set(before.overlayId, { overlayId: before.overlayId, roomNid: roomNid(pending), slots })
  }
  return [...overlays.values()]
}

/** Intervals and memberships: one for each change; where one batch changes a slot twice, the first ends at the second. */
function toStateRows(
  events: readonly PendingEvent[],
  indexes: ReadonlyMap<PendingEvent, number>,
  roomNidOf: (pending: PendingEvent) => number,
): Pick<EventBatch, 'intervals' | 'memberships' | 'goneMembers'> {
  const intervals: NewInterval[] = []
  const lastOfSlot = new Map<string, number>()
  const memberships = new Map<string, NewMembership>()
  const goneMembers = new Map<string, { roomNid: number; userId: string }>()
  for (const pending of events) {
    const index = indexes.get(pending)
    if (index === undefined) continue
    for (const { type, stateKey, before, after } of pending.changes) {
      const roomNid = roomNidOf(pending)
      const slot = `${roomNid}\u0000${type}\u0000${stateKey}`
      const earlier = lastOfSlot.get(slot)
      const former = earlier === undefined ? undefined : intervals[earlier]
      // A slot that was emptied before in this batch has no interval to end.
      if (earlier !== undefined && former && former.eventNid !== 0) intervals[earlier] = { ...former, endIndex: index }
      lastOfSlot.set(slot, intervals.length)
      const isReplacing = former === undefined && before !== undefined
      const endIndex = after ? undefined : index
      intervals.push({ roomNid, type, stateKey, eventNid: after?.eventNid ?? 0, index, endIndex, isReplacing })
      if (type !== 'm.room.member') continue
      memberships.delete(slot)
      goneMembers.delete(slot)
      if (after) memberships.set(slot, { roomNid, userId: stateKey, ...membershipOf(after), index })
      else goneMembers.set(slot, { roomNid, userId: stateKey })
    }
  }
  return { intervals, memberships: [...memberships.values()], goneMembers: [...goneMembers.values()] }
}

function membershipOf({ event }: StateEntry): { membership: string; eventId: string; sender: string } {
  return { membership: String(event.content['membership']), eventId: event.eventId, sender: event.sender }
}
