import type { RoomId } from '../../protocol/ids.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import { isSameTold, LIVE, NEVER } from './connection-state.ts'
import type { ConnectionState, RoomTold } from './connection-state.ts'
import type { RequiredState, RequiredStates } from './required-state.ts'
import type { RoomAnswer } from './room-answers.ts'
import type { RoomPlan } from './room-plan.ts'
import type { RoomConfig } from './sliding-request.ts'

/** What an answer told, as far as the connection has to remember it. */
export interface ToldFrame {
  readonly state: ConnectionState
  readonly since: SyncToken | undefined
  readonly now: SyncToken
  readonly relevant: ReadonlyMap<RoomId, RoomConfig>
  readonly answers: readonly RoomAnswer[]
  /** Rooms that the extensions covered; undefined where they are off. */
  readonly receiptRooms: ReadonlySet<RoomId> | undefined
  readonly accountDataRooms: ReadonlySet<RoomId> | undefined
}

/**
 * Works out what an answer changes of what the client was told. A room that leaves the client's sight is noted with how far it was
 * told, once; what happens in it later changes nothing.
 */
export function changesOfState(frame: ToldFrame, requiredStates: RequiredStates): Map<RoomId, RoomTold> {
  const { state, since, now, relevant, answers } = frame
  const changes = new Map<RoomId, RoomTold>()
  const answered = new Map(answers.map((answer) => [answer.plan.roomId, answer]))
  for (const roomId of new Set([...answered.keys(), ...relevant.keys(), ...state.live])) {
    const before = state.rooms.get(roomId)
    const answer = answered.get(roomId)
    const told = answer ? toldBy(answer, requiredStates) : before
    if (!told) continue
    const next: RoomTold = {
      ...told,
      events: relevant.has(roomId) ? LIVE : answer ? now.events : upTo(told.events, since?.events),
      receipts: frame.receiptRooms?.has(roomId) === true ? LIVE : upTo(told.receipts, since?.receipts),
      accountData: frame.accountDataRooms?.has(roomId) === true ? LIVE : upTo(told.accountData, since?.accountData),
    }
    if (!before || !isSameTold(before, next)) changes.set(roomId, next)
  }
  return changes
}

/** What was live until the last answer has been told up to there. */
function upTo(told: number, since: number | undefined): number {
  return told === LIVE ? (since ?? NEVER) : told
}

function toldBy({ plan, timeline, state }: RoomAnswer, requiredStates: RequiredStates): RoomTold {
  const { config, membership, isInitial } = plan
  const told = plan.told
  const members = state?.members ?? []
  const streams = { events: LIVE, receipts: told?.receipts ?? NEVER, accountData: told?.accountData ?? NEVER }
  if (isInitial || !told)
    return { membership, ...streams, timelineLimit: config.timelineLimit, required: config.required, members }
  const isShortened = timeline.isLimited && config.timelineLimit < told.timelineLimit
  return {
    membership,
    ...streams,
    timelineLimit: isShortened ? config.timelineLimit : Math.max(told.timelineLimit, config.timelineLimit),
    required: requiredAfter(plan, told.required, state?.hasUntold === true, requiredStates),
    members,
  }
}

/** The client keeps what it was told before, until some of that changes without its being told. */
function requiredAfter(plan: RoomPlan, before: RequiredState, hasUntold: boolean, requiredStates: RequiredStates): RequiredState {
  const { required } = plan.config
  if (hasUntold) return required
  // What is loaded lazily now is no pair that was added, and must be known all the same.
  const hasAdded = plan.addedState.length > 0 || required.isLazy !== before.isLazy
  return hasAdded ? requiredStates.join(before, required) : before
}
