import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import type { Membership } from '../rooms/memberships.ts'
import { LIVE, NEVER } from './connection-state.ts'
import type { ConnectionState, RoomTold } from './connection-state.ts'
import type { ListsNow } from './room-lists.ts'
import type { RequiredStates, StatePair } from './required-state.ts'
import type { RoomConfig, SlidingRequest } from './sliding-request.ts'

/** What an answer tells of one room. */
export interface RoomPlan {
  readonly roomId: RoomId
  /** `leave` without a place: a state reset took the user out. */
  readonly membership: string
  readonly place: Membership | undefined
  readonly isInitial: boolean
  /** Told in (from, end]; from is 0 where the room is told from the beginning. */
  readonly from: number
  readonly end: number
  readonly config: RoomConfig
  readonly told: RoomTold | undefined
  /** More of the timeline is wanted than the client was given so far. */
  readonly isExpanded: boolean
  /** State that is wanted now and was not before. */
  readonly addedState: readonly StatePair[]
}

const NO_PAIRS: readonly StatePair[] = []
/** Rooms that one answer tells from the beginning, and events in their timelines. The others come with the next answers. */
const NEW_ROOMS_MAX = 500
const NEW_EVENTS_MAX = 10_000

/** Puts together which rooms are in sight, with the most that lists and subscriptions want of each. */
export function collectRelevant(
  request: SlidingRequest,
  { lists, places }: ListsNow,
  requiredStates: RequiredStates,
): Map<RoomId, RoomConfig> {
  const relevant = new Map<RoomId, RoomConfig>()
  const add = (roomId: RoomId, config: RoomConfig): void => {
    const known = relevant.get(roomId)
    if (!known || known === config) relevant.set(roomId, config)
    else {
      relevant.set(roomId, {
        timelineLimit: Math.max(known.timelineLimit, config.timelineLimit),
        required: requiredStates.join(known.required, config.required),
      })
    }
  }
  for (const [roomId, config] of request.subscriptions) {
    const place = places.get(roomId)
    if (place && isSubscribable(place, request.requester.userId)) add(roomId, config)
  }
  for (const [name, { roomIds }] of lists) {
    const list = request.lists.get(name)
    if (list) for (const roomId of roomIds) add(roomId, list)
  }
  return relevant
}

/** A room that the user left on their own tells nothing more. */
function isSubscribable(place: Membership, userId: UserId): boolean {
  return !place.isForgotten && (place.membership !== 'leave' || place.sender !== userId)
}

/** Rooms with events whose answer depends on whether something changed in them: asked of the database where memory does not know. */
export function roomsInQuestion(state: ConnectionState, relevant: Iterable<RoomId>): RoomId[] {
  const rooms = new Set(relevant)
  for (const [roomId, told] of state.rooms) if (isInside(told.membership)) rooms.add(roomId)
  return [...rooms]
}

/** What decides about the rooms of an answer. */
export interface PlanInput {
  readonly state: ConnectionState
  /** Rooms in sight, with what is wanted of them. Those that must wait for the next answer are taken out. */
  readonly relevant: Map<RoomId, RoomConfig>
  /** Rooms with events after `since`; undefined for a first answer. */
  readonly changed: ReadonlySet<RoomId> | undefined
  /** Rooms whose unread counts changed by what is no event. */
  readonly recounted: ReadonlySet<RoomId>
  readonly since: SyncToken | undefined
  readonly lists: ListsNow
}

/** Decides what is told of which room. */
export function planRooms(input: PlanInput): RoomPlan[] {
  const { state, relevant, changed, recounted, since, lists } = input
  const rooms = planGone(input)
  const gone = new Set(rooms.map((plan) => plan.roomId))
  let newRooms = 0
  let newEvents = 0
  for (const [roomId, config] of relevant) {
    const place = lists.places.get(roomId)
    if (!place || gone.has(roomId)) continue
    const plan = planRoom({ roomId, place, config, told: state.rooms.get(roomId), since, now: lists.now })
    if (!plan.told && (newRooms >= NEW_ROOMS_MAX || newEvents >= NEW_EVENTS_MAX)) {
      relevant.delete(roomId)
      continue
    }
    const isNews =
      plan.isInitial ||
      plan.isExpanded ||
      plan.addedState.length > 0 ||
      (plan.membership === 'join' ? plan.told?.events !== LIVE || changed?.has(roomId) === true : place.position > plan.from) ||
      recounted.has(roomId)
    if (!isNews) continue
    rooms.push(plan)
    if (plan.told) continue
    newRooms++
    newEvents += config.timelineLimit
  }
  return rooms
}

/** Rooms that the client knows the user to be in, and that they left: told wherever they are in lists. */
function planGone({ state, relevant, changed, since, lists }: PlanInput): RoomPlan[] {
  const rooms: RoomPlan[] = []
  for (const roomId of changed ?? []) {
    const told = state.rooms.get(roomId)
    const place = lists.places.get(roomId)
    if (!told || !isInside(told.membership) || (place && isInside(place.membership))) continue
    const from = told.events === LIVE ? (since?.events ?? 0) : told.events
    rooms.push({
      roomId,
      membership: place?.membership ?? 'leave',
      place,
      isInitial: place === undefined,
      from,
      end: place?.position ?? lists.now.events,
      config: relevant.get(roomId) ?? { timelineLimit: told.timelineLimit, required: told.required },
      told,
      isExpanded: false,
      addedState: NO_PAIRS,
    })
  }
  return rooms
}

function planRoom(input: {
  readonly roomId: RoomId
  readonly place: Membership
  readonly config: RoomConfig
  readonly told: RoomTold | undefined
  readonly since: SyncToken | undefined
  readonly now: SyncToken
}): RoomPlan {
  const { roomId, place, config, told, since, now } = input
  const { membership } = place
  const isInitial = !told || told.events === NEVER || (told.membership !== membership && isInside(membership))
  const end = membership === 'join' ? now.events : place.position
  if (isInitial)
    return { roomId, membership, place, isInitial, from: 0, end, config, told, isExpanded: false, addedState: NO_PAIRS }
  const hasTimeline = membership !== 'invite' && membership !== 'knock'
  return {
    roomId,
    membership,
    place,
    isInitial,
    from: told.events === LIVE ? (since?.events ?? 0) : told.events,
    end,
    config,
    told,
    isExpanded: hasTimeline && config.timelineLimit > told.timelineLimit,
    addedState: hasTimeline && config.required !== told.required ? config.required.getPairsBeyond(told.required) : NO_PAIRS,
  }
}

/** The user is in the room, or could be. */
function isInside(membership: string): boolean {
  return membership === 'join' || membership === 'invite' || membership === 'knock'
}
