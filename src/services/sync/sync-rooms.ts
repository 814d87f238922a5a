import type { RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getChangedRooms, getMembershipsAsOf } from '../../storage/tables/sync-state.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { Membership, Memberships } from '../rooms/memberships.ts'
import type { SyncRequest } from './sync-request.ts'
import type { UserFeed } from './user-feeds.ts'
import type { UserPredicate } from '../user-data/account-data.ts'

/** Which rooms an answer is about, and as what. */
export interface RoomPlan {
  /** Joined for the whole time since the token. */
  readonly joined: readonly RoomId[]
  /** Joined since the token (or all of them, in an initial sync): told from the beginning. */
  readonly newlyJoined: readonly RoomId[]
  readonly invited: readonly { readonly roomId: RoomId; readonly position: StreamPosition }[]
  readonly knocked: readonly { readonly roomId: RoomId; readonly position: StreamPosition }[]
  /** Left or banned; told up to the position of the leave. `isWhole`: told from the beginning (archived rooms of an initial sync). */
  readonly left: readonly { readonly roomId: RoomId; readonly position: StreamPosition; readonly isWhole: boolean }[]
}

/** Decides which rooms an answer tells of. In the usual case (nothing but events in joined rooms) it costs no query. */
export class SyncRooms {
  readonly #database: Database
  readonly #memberships: Memberships
  readonly #excluded: ReadonlySet<string>

  constructor(deps: { database: Database; memberships: Memberships; excludedRooms: readonly string[] }) {
    this.#database = deps.database
    this.#memberships = deps.memberships
    this.#excluded = new Set(deps.excludedRooms)
  }

  /** Plans an initial sync. */
  async planInitial(request: SyncRequest, now: SyncToken, unwanted: UserPredicate): Promise<RoomPlan> {
    const plan = newPlan()
    const { userId } = request.requester
    const moved: { roomId: RoomId; position: number }[] = []
    for (const [roomId, place] of await this.#memberships.getOfUser(userId)) {
      if (!this.#isTold(roomId, request)) continue
      if (place.position > now.events) moved.push({ roomId, position: now.events })
      else if (place.membership === 'join') plan.newlyJoined.push(roomId)
      else addPlace(plan, roomId, place, { isWhole: true, includesLeft: request.filter.room.includeLeave, unwanted })
    }
    // The place is newer than the answer. What the user was not joined to comes with the next one; a room they were joined to must
    // be told from the beginning now, because the next one takes it for told.
    const before = moved.length === 0 ? [] : await getMembershipsAsOf(this.#database, { userId, rooms: moved })
    for (const record of before) {
      if (stateRecordToEvent(record).content['membership'] === 'join') plan.newlyJoined.push(record.roomId as RoomId)
    }
    return plan
  }

  /** Plans an incremental sync. */
  async planIncremental(
    request: SyncRequest,
    feed: UserFeed,
    range: { since: SyncToken; now: SyncToken; unwanted: UserPredicate },
  ): Promise<RoomPlan> {
    const { userId } = request.requester
    const { since, now, unwanted } = range
    const places = await this.#memberships.getOfUser(userId)
    const plan = newPlan()
    const changed = await this.#changedRooms(feed, since, now, places)
    const questioned: { roomId: RoomId; place: Membership }[] = []
    for (const roomId of changed) {
      const place = places.get(roomId)
      if (!place || !this.#isTold(roomId, request)) continue
      if (place.position > since.events) questioned.push({ roomId, place })
      else if (place.membership === 'join') plan.joined.push(roomId)
    }
    if (request.isFullState) {
      const known = new Set([...plan.joined, ...questioned.map((entry) => entry.roomId)])
      for (const [roomId, place] of places) {
        if (place.membership === 'join' && !known.has(roomId) && this.#isTold(roomId, request)) plan.joined.push(roomId)
      }
    }
    await this.#answerQuestioned(questioned, plan, { userId, since, unwanted })
    return plan
  }

  /** The rooms where the user's own member event is newer than the token: were they joined before? */
  async #answerQuestioned(
    questioned: readonly { roomId: RoomId; place: Membership }[],
    plan: MutablePlan,
    reader: { userId: string; since: SyncToken; unwanted: UserPredicate },
  ): Promise<void> {
    if (questioned.length === 0) return
    const { userId, since, unwanted } = reader
    const records = await getMembershipsAsOf(this.#database, {
      userId,
      rooms: questioned.map(({ roomId }) => ({ roomId, position: since.events })),
    })
    const before = new Map(records.map((record) => [record.roomId, stateRecordToEvent(record).content['membership']]))
    for (const { roomId, place } of questioned) {
      if (place.membership !== 'join') addPlace(plan, roomId, place, { isWhole: false, includesLeft: true, unwanted })
      else if (before.get(roomId) === 'join') plan.joined.push(roomId)
      else plan.newlyJoined.push(roomId)
    }
  }

  async #changedRooms(
    feed: UserFeed,
    since: SyncToken,
    now: SyncToken,
    places: ReadonlyMap<RoomId, Membership>,
  ): Promise<readonly RoomId[]> {
    if (since.events >= now.events) return []
    const known = feed.getChangedRooms(since.events)
    if (known) return known
    return getChangedRooms(this.#database, { roomIds: [...places.keys()], after: since.events, upTo: now.events })
  }

  #isTold(roomId: RoomId, request: SyncRequest): boolean {
    return !this.#excluded.has(roomId) && request.filter.room.matchesRoom(roomId)
  }
}

interface MutablePlan {
  readonly joined: RoomId[]
  readonly newlyJoined: RoomId[]
  readonly invited: { roomId: RoomId; position: StreamPosition }[]
  readonly knocked: { roomId: RoomId; position: StreamPosition }[]
  readonly left: { roomId: RoomId; position: StreamPosition; isWhole: boolean }[]
}

function newPlan(): MutablePlan {
  return { joined: [], newlyJoined: [], invited: [], knocked: [], left: [] }
}

function addPlace(
  plan: MutablePlan,
  roomId: RoomId,
  place: Membership,
  options: { isWhole: boolean; includesLeft: boolean; unwanted: UserPredicate },
): void {
  const entry = { roomId, position: place.position }
  if (place.membership === 'invite') {
    if (!options.unwanted.has(place.sender)) plan.invited.push(entry)
  } else if (place.membership === 'knock') plan.knocked.push(entry)
  else if (options.includesLeft && !(place.isForgotten && options.isWhole)) plan.left.push({ ...entry, isWhole: options.isWhole })
}
