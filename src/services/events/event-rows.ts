import { toClientEventJson } from '../../protocol/events/client-event.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import { redactMatrixEvent } from '../../protocol/redaction.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import type { EventRow, StateChange } from '../../streams/streams.ts'
import { assert } from '../../util/assert.ts'
import type { PendingEvent } from './event-building.ts'

/** What a row of the events stream takes from the event itself. */
export function eventRowBase(
  event: MatrixEvent,
): Pick<
  EventRow,
  'roomId' | 'eventId' | 'type' | 'stateKey' | 'sender' | 'depth' | 'originServerTs' | 'membership' | 'clientJson'
> {
  const membership = event.type === 'm.room.member' ? event.content['membership'] : undefined
  return {
    roomId: event.roomId,
    eventId: event.eventId,
    type: event.type,
    stateKey: event.stateKey,
    sender: event.sender,
    depth: event.depth,
    originServerTs: event.originServerTs,
    membership: typeof membership === 'string' ? membership : undefined,
    clientJson: toClientEventJson(event, { omitRoomId: true }).slice(0, -1),
  }
}

/** What the events stream tells its readers about the event. */
export function toEventRow(pending: PendingEvent): EventRow {
  const { event, transaction, replaced, foreign } = pending
  const shown = foreign?.redaction ? redactMatrixEvent(roomVersionOf(event), event) : event
  return {
    ...eventRowBase(shown),
    redacts: pending.redacts,
    relation: pending.relation,
    replacesState: replaced && {
      eventId: replaced.eventId,
      contentJson: JSON.stringify(replaced.event.content),
      sender: replaced.event.sender,
    },
    transaction: transaction && { deviceId: transaction.device, transactionId: transaction.id },
    push: pending.push,
    isHidden: foreign !== undefined && (foreign.flags & EVENT_FLAGS.hidden) !== 0,
    stateDelta: foreign && stateDeltaOf(pending),
  }
}

/** The changes of state in the order of their slots, where there are others than that the event came to stand in its slot. */
export function toStateDelta(event: MatrixEvent, changes: readonly StateChange[]): readonly StateChange[] | undefined {
  const isPlain =
    event.stateKey === undefined ? changes.length === 0 : changes.length === 1 && changes[0]?.eventId === event.eventId
  if (isPlain) return undefined
  return changes.toSorted((a, b) => (stateSlotKey(a.type, a.stateKey) < stateSlotKey(b.type, b.stateKey) ? -1 : 1))
}

function stateDeltaOf({ event, changes }: PendingEvent): readonly StateChange[] | undefined {
  if (event.stateKey === undefined && changes.length === 0) return undefined
  return toStateDelta(
    event,
    changes.map(({ type, stateKey, before, after }) => ({
      type,
      stateKey,
      eventId: after?.eventId,
      sender: after?.event.sender,
      membership: membershipIn(type, after?.event),
      membershipBefore: membershipIn(type, before?.event),
    })),
  )
}

function membershipIn(type: string, event: MatrixEvent | undefined): string | undefined {
  const membership = type === 'm.room.member' ? event?.content['membership'] : undefined
  return typeof membership === 'string' ? membership : undefined
}

function roomVersionOf(event: MatrixEvent): RoomVersion {
  const roomVersion = getRoomVersion(event.roomVersion)
  assert(roomVersion, 'only events of known room versions are appended')
  return roomVersion
}
