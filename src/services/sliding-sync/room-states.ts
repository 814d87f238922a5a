import { stateSlotKey } from '../../protocol/events/event.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getOutsideMemberEvents } from '../../storage/tables/outside-rooms.ts'
import { getSlotsAsOf, getTypesWithKeysAsOf } from '../../storage/tables/sliding-sync.ts'
import { getStatesAsOf } from '../../storage/tables/sync-state.ts'
import { stateRecordToClientJson } from '../events/state-records.ts'
import type { RoomStateRecord } from '../events/state-records.ts'
import { keyOf } from '../sync/member-events.ts'
import type { MemberEvents } from '../sync/member-events.ts'
import type { Timeline } from '../sync/timeline-loader.ts'
import { NO_DELTA } from './room-deltas.ts'
import type { RoomDelta, SlotText } from './room-deltas.ts'
import type { RoomPlan } from './room-plan.ts'

const MEMBER = 'm.room.member'
/** Lazily loaded members that are remembered for each room of a connection. Synapse: MAX_NUMBER_PREVIOUS_STATE_KEYS_TO_REMEMBER. */
const MEMBERS_TOLD_MAX = 100

/** The `required_state` of a room. */
export interface RoomStateAnswer {
  readonly texts: readonly string[]
  /** The lazily loaded members that the client knows afterwards. */
  readonly members: readonly string[]
  /** Something changed that the client was once told, and is not told now. */
  readonly hasUntold: boolean
}

interface Wanted {
  readonly roomId: RoomId
  readonly position: number
}

/** What has to be read for one room. */
interface RoomReading extends Wanted {
  readonly isEverything: boolean
  readonly withoutMembers: boolean
  readonly types: readonly string[]
  readonly slots: readonly (readonly [type: string, stateKey: string])[]
}

export interface StateWish {
  readonly plan: RoomPlan
  readonly timeline: Timeline
  readonly delta: RoomDelta
}

/** Makes the `required_state` of rooms: what changed from memory, the rest of all rooms together in at most three queries. */
export class RoomStates {
  readonly #database: Database
  readonly #memberEvents: MemberEvents

  constructor(deps: { database: Database; memberEvents: MemberEvents }) {
    this.#database = deps.database
    this.#memberEvents = deps.memberEvents
  }

  async make(wishes: readonly StateWish[], me: UserId): Promise<Map<RoomId, RoomStateAnswer>> {
    const told = wishes.map((wish) => ({ wish, slots: new Map<string, SlotText>(), ...tellChanges(wish, me) }))
    const readings: RoomReading[] = []
    const pairs: { roomId: RoomId; userId: UserId }[] = []
    for (const { wish, lazyMembers } of told) {
      const { plan } = wish
      const { roomId, end: position } = plan
      const reading = plan.config.required.getReading(me, plan.isInitial ? undefined : plan.addedState)
      const isJoined = plan.membership === 'join'
      // Current member events are in memory; who is not in the room any more must not see newer ones.
      if (isJoined) for (const userId of lazyMembers) pairs.push({ roomId, userId: userId as UserId })
      const members = isJoined ? [] : lazyMembers.map((userId): [string, string] => [MEMBER, userId])
      const slots = [...reading.slots, ...members]
      if (reading.isEverything || reading.types.length > 0 || slots.length > 0)
        readings.push({ ...reading, roomId, position, slots })
    }
    const [records, memberTexts, ends] = await Promise.all([
      this.#read(readings),
      this.#memberEvents.get(pairs),
      this.#readOutsideEnds(wishes, me),
    ])
    const recordsByRoom = Map.groupBy(records, (record) => record.roomId)
    const answers = new Map<RoomId, RoomStateAnswer>()
    for (const { wish, slots, changes, lazyMembers, members, hasUntold } of told) {
      const { roomId, config, isInitial } = wish.plan
      const lazy = new Set(lazyMembers)
      for (const record of recordsByRoom.get(roomId) ?? []) {
        const isWanted =
          config.required.matches(record.type, record.stateKey, me) || (record.type === MEMBER && lazy.has(record.stateKey))
        if (isWanted) slots.set(stateSlotKey(record.type, record.stateKey), textOf(record))
      }
      for (const userId of lazyMembers) {
        const text = memberTexts.get(keyOf(roomId, userId))
        if (text !== undefined) slots.set(stateSlotKey(MEMBER, userId), { type: MEMBER, stateKey: userId, text })
      }
      if (!isInitial) for (const change of changes) slots.set(stateSlotKey(change.type, change.stateKey), change)
      const end = ends.get(roomId)
      if (end) slots.set(stateSlotKey(MEMBER, me), textOf(end))
      answers.set(roomId, { texts: [...slots.values()].map((slot) => slot.text), members, hasUntold })
    }
    return answers
  }

  /** How invites and knocks ended whose room was never seen from inside: no state of it says so. */
  async #readOutsideEnds(wishes: readonly StateWish[], userId: UserId): Promise<Map<RoomId, RoomStateRecord>> {
    const rooms = wishes
      .filter(({ plan }) => plan.told && ['invite', 'knock'].includes(plan.told.membership) && plan.membership !== 'join')
      .map(({ plan }) => ({ roomId: plan.roomId, position: plan.end }))
    if (rooms.length === 0) return new Map()
    const records = await getOutsideMemberEvents(this.#database, { userId, rooms })
    return new Map(records.map((record) => [record.roomId, record]))
  }

  async #read(readings: readonly RoomReading[]): Promise<RoomStateRecord[]> {
    const whole = readings.filter((reading) => reading.isEverything && !reading.withoutMembers)
    const lazy = readings.filter((reading) => reading.isEverything && reading.withoutMembers)
    const rest = readings.filter((reading) => !reading.isEverything && reading.types.length > 0)
    const slots = readings
      .filter((reading) => !reading.isEverything || reading.withoutMembers)
      .flatMap(({ roomId, position, slots: ofRoom }) => ofRoom.map(([type, stateKey]) => ({ roomId, position, type, stateKey })))
    const none: RoomStateRecord[] = []
    const found = await Promise.all([
      whole.length === 0 ? none : getStatesAsOf(this.#database, { rooms: whole, members: undefined }),
      lazy.length === 0 ? none : getStatesAsOf(this.#database, { rooms: lazy, members: [] }),
      rest.length === 0
        ? none
        : getTypesWithKeysAsOf(this.#database, { rooms: rest, types: [...new Set(rest.flatMap((reading) => reading.types))] }),
      slots.length === 0 ? none : getSlotsAsOf(this.#database, slots),
    ])
    return found.flat()
  }
}

function textOf(record: RoomStateRecord): SlotText {
  return { type: record.type, stateKey: record.stateKey, text: stateRecordToClientJson(record) }
}

/** Which changes are told, which members must be loaded for the timeline, and which the client knows afterwards. */
function tellChanges(
  { plan, timeline, delta }: StateWish,
  me: UserId,
): {
  changes: readonly SlotText[]
  lazyMembers: readonly string[]
  members: readonly string[]
  hasUntold: boolean
} {
  const { config, told, isInitial } = plan
  const { required } = config
  const changes: SlotText[] = []
  const needed = required.isLazy ? membersOf(timeline) : new Set<string>()
  const known = new Set(isInitial || !required.isLazy ? [] : told?.members)
  // Who follows without gaps is told of every member, so that a client that has fetched all of them stays up to date.
  const tellsAllMembers = required.isLazy && !isInitial && !timeline.isLimited
  let hasUntold = false
  for (const slot of (isInitial ? NO_DELTA : delta).slots) {
    const isLazyMember = required.isLazy && slot.type === MEMBER
    if (required.matches(slot.type, slot.stateKey, me)) changes.push(slot)
    else if (isLazyMember && (tellsAllMembers || needed.has(slot.stateKey))) {
      changes.push(slot)
      known.add(slot.stateKey)
    } else if (isLazyMember) known.delete(slot.stateKey)
    else if (told?.required.matches(slot.type, slot.stateKey, me) === true) hasUntold = true
    // Where the user has left, the client must learn of it whatever it asked for.
    if (slot.type === MEMBER && slot.stateKey === me && plan.membership !== 'join' && !changes.includes(slot)) changes.push(slot)
  }
  const lazyMembers = [...needed].filter((userId) => !known.has(userId) && (isInitial || !required.matches(MEMBER, userId, me)))
  for (const userId of needed) known.add(userId)
  // The order stays as it is: who speaks again changes nothing of what is stored.
  return { changes, lazyMembers, members: [...known].slice(-MEMBERS_TOLD_MAX), hasUntold }
}

/** Senders, and those whose membership changed. */
function membersOf(timeline: Timeline): Set<string> {
  const members = new Set<string>()
  for (const item of timeline.items) {
    members.add(item.sender)
    if (item.type === MEMBER && item.stateKey !== undefined) members.add(item.stateKey)
  }
  return members
}
