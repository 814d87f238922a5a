import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { BuiltEvent } from '../../protocol/events/event-builder.ts'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { Deferred } from '../../util/deferred.ts'
import type { PendingEvent } from './event-building.ts'
import type { AppendedEvent, EventIntent } from './event-intent.ts'
import type { ForeignEvent, ForeignResult } from './foreign-events.ts'
import type { ForeignMode, ForeignPlan } from './foreign-planner.ts'
import { RoomModel } from './room-model.ts'

/** advance_room_heads: another writer was faster. */
export const ROOM_HEAD_MOVED = 'MX002'

/** What a job of intents answers. */
export type IntentResult = { roomId: RoomId; events: readonly AppendedEvent[] }

interface BaseJob {
  attempts: number
  /** Its batch failed: from now on it commits alone, so that it can not spoil others. */
  isSuspect: boolean
}

/** Intents that become events together, or not at all. */
export interface IntentJob extends BaseJob {
  readonly kind: 'intents'
  readonly intents: readonly EventIntent[]
  readonly roomId: RoomId | undefined
  /** Set for a room that does not exist yet. */
  readonly newRoomVersion: RoomVersion | undefined
  readonly done: Deferred<IntentResult>
  model: RoomModel | undefined
  redactionTargets: ReadonlyMap<EventId, MatrixEvent>
}

/** Events of other servers, on their way through plan and commit. */
export interface ForeignJob extends BaseJob {
  readonly kind: 'foreign'
  readonly roomId: RoomId
  readonly events: readonly ForeignEvent[]
  readonly mode: ForeignMode
  /** Whose gap a history fills. */
  readonly gap: EventId | undefined
  readonly done: Deferred<readonly ForeignResult[]>
  plan: (ForeignPlan & { readonly history: { readonly position: number; readonly ordinal: number } | undefined }) | undefined
}

export type Job = IntentJob | ForeignJob

/** A job whose events stand in the model and wait for the commit. */
export interface BuiltJob {
  readonly job: Job
  readonly model: RoomModel
  readonly isNewRoom: boolean
  readonly pending: readonly PendingEvent[]
  /** Answers the job's caller. */
  settle(positions: ReadonlyMap<PendingEvent, number>): void
}

/** Names the request that a job repeats, if it has a transaction id. */
export function transactionKeyOf(job: IntentJob): string | undefined {
  const [intent] = job.intents
  if (job.intents.length !== 1 || !intent?.transaction) return undefined
  const { device, id, scope } = intent.transaction
  return JSON.stringify([job.roomId, intent.sender, device, scope, id])
}

/** The model of a room that has nothing yet but a create event that is on its way. */
export function newModel(built: BuiltEvent, roomNid: number, roomVersion: RoomVersion): RoomModel {
  return new RoomModel({
    roomNid,
    roomId: built.event.roomId,
    roomVersion,
    version: 0,
    extremities: [],
    depth: 0,
    joinedCount: 0,
    invitedCount: 0,
    notifyOrdinal: 0,
    statePos: 0,
  })
}
