import type { UserId } from '../../protocol/ids.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { Database } from '../../storage/database.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import { ensureRoom, upsertOutsideRoomState } from '../../storage/tables/outside-rooms.ts'
import type { Clock } from '../../util/clock.ts'
import type { ForeignEvent, OutsideMembership } from './foreign-events.ts'
import type { ForeignPlan } from './foreign-planner.ts'
import { loadMissing } from './graph-loading.ts'
import type { NidAllocator } from './nid-allocator.ts'
import { RoomDraft } from './room-draft.ts'
import type { RoomModel } from './room-model.ts'
import { stateRef } from './state-ref.ts'

/** Makes the room's row, and keeps what the user is shown of the room: it counts once the member event is stored. */
export async function prepareOutsideRoom(
  deps: { readonly database: Database; readonly nids: NidAllocator; readonly clock: Clock },
  { roomId, roomVersion, event, strippedState }: OutsideMembership,
): Promise<void> {
  const { database, nids, clock } = deps
  if (event.event.type !== 'm.room.member' || event.event.stateKey === undefined || event.event.roomId !== roomId)
    throw new MatrixError('M_BAD_JSON', 'The event is no member event of the room')
  await nids.ensure(1)
  await ensureRoom(database, { roomNid: nids.take(), roomId, roomVersion, createdTsMs: clock.nowMs() })
  if (!strippedState) return
  await upsertOutsideRoomState(database, {
    roomId,
    userId: event.event.stateKey as UserId,
    eventId: event.event.eventId,
    stateJson: JSON.stringify(strippedState),
  })
}

/**
 * Plans a member event of a room that nobody here is in: it comes to stand in its slot of what is known of the state, for /sync to
 * find it there, and leads nowhere in the graph.
 */
export async function planOutside(
  deps: { readonly database: Database; readonly nids: NidAllocator },
  model: RoomModel,
  { event, json }: ForeignEvent,
): Promise<ForeignPlan> {
  const draft = new RoomDraft(model)
  await loadMissing(deps.database, draft, [event.eventId])
  const known = draft.graph.get(event.eventId)
  if (known && (known.position !== undefined || (known.flags & EVENT_FLAGS.outlier) === 0))
    return { model, events: [], results: ['known'] }
  await deps.nids.ensure(2)
  const eventNid = known?.eventNid ?? deps.nids.take()
  const value = { event, eventNid }
  const planned = {
    event,
    json,
    eventNid,
    flags: EVENT_FLAGS.outlier,
    isPromoted: known !== undefined,
    before: stateRef(0),
    prevNids: [],
    missingPrevIds: [],
    authNids: [],
    isAwaited: false,
    effect: {
      changes: [{ type: event.type, stateKey: event.stateKey ?? '', value }],
      extremities: model.extremities,
    },
    redactionTarget: undefined,
    redaction: undefined,
  }
  return { model, events: [planned], results: ['accepted'] }
}
