import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { forgetMembership, getMembershipsOfRoom, getMembershipsOfUser } from '../../storage/tables/memberships.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StateChange, StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const CACHE = 'memberships'
const USERS_MAX = 50_000
const ROOMS_MAX = 5_000

/** A user's place in one room. */
export interface Membership {
  readonly membership: string
  readonly eventId: EventId
  readonly position: StreamPosition
  readonly sender: UserId
  readonly isForgotten: boolean
}

/**
 * Answers who is where, from memory: the rooms of a user and the users of a room, kept fresh by the events stream.
 * Maps that are handed out are live: read them before the next await, or copy.
 */
export class Memberships {
  readonly #database: Database
  readonly #byUser = cacheOfEntries<UserId, Promise<Map<RoomId, Membership>>>(USERS_MAX)
  readonly #byRoom = cacheOfEntries<RoomId, Promise<Map<UserId, string>>>(ROOMS_MAX)

  #caches: CacheInvalidation | undefined
  #onForgotten: ((roomId: RoomId) => void) | undefined

  constructor(deps: { database: Database; hub: StreamHub }) {
    this.#database = deps.database
    deps.hub.onRow('events', (row, position) => {
      for (const change of memberChangesOf(row)) this.#apply(row.roomId as RoomId, change, position)
    })
    deps.hub.onReset('events', () => {
      this.#byUser.clear()
      this.#byRoom.clear()
    })
    deps.hub.onPurge(({ roomId, isGone }) => {
      if (!isGone) return
      this.#byRoom.delete(roomId as RoomId)
      for (const rooms of this.#byUser.values()) void rooms.then((known) => known.delete(roomId as RoomId))
    })
  }

  /** Says who is told of a room that a user has forgotten. */
  setForgottenListener(listener: (roomId: RoomId) => void): void {
    this.#onForgotten = listener
  }

  /** Says how other processes are told of what is no row of the events stream: forgotten rooms. */
  setCaches(caches: CacheInvalidation): void {
    this.#caches = caches
    caches.onForget(CACHE, (userIds) => {
      if (userIds === null) this.#byUser.clear()
      else for (const userId of userIds) this.#byUser.delete(userId as UserId)
    })
  }

  #apply(roomId: RoomId, change: StateChange, position: StreamPosition): void {
    const userId = change.stateKey as UserId
    const { eventId, sender, membership } = change
    // A load that is under way may have read before or after this commit; the newer position wins either way.
    void this.#byUser.get(userId)?.then((rooms) => {
      const known = rooms.get(roomId)
      if (known && known.position >= position) return
      // A resolution took the member event away.
      if (eventId === undefined) rooms.delete(roomId)
      else {
        rooms.set(roomId, {
          membership: membership ?? 'leave',
          eventId: eventId as EventId,
          position,
          sender: sender as UserId,
          isForgotten: false,
        })
      }
    })
    void this.#byRoom.get(roomId)?.then((users) => {
      if (eventId === undefined) users.delete(userId)
      else users.set(userId, membership ?? 'leave')
    })
  }

  /** Every room that the user has a membership in, left ones too. */
  getOfUser(userId: UserId): Promise<ReadonlyMap<RoomId, Membership>> {
    return this.#loadOfUser(userId)
  }

  #loadOfUser(userId: UserId): Promise<Map<RoomId, Membership>> {
    const cached = this.#byUser.get(userId)
    if (cached) return cached
    const loading = getMembershipsOfUser(this.#database, userId).then(
      (rows) => new Map<RoomId, Membership>(rows.map((row) => [row.roomId, row])),
    )
    this.#byUser.set(userId, loading)
    loading.catch(() => this.#byUser.delete(userId))
    return loading
  }

  /** Every user that has a membership in the room, with it. */
  getOfRoom(roomId: RoomId): Promise<ReadonlyMap<UserId, string>> {
    const cached = this.#byRoom.get(roomId)
    if (cached) return cached
    // A row that is applied while this loads is put on top afterwards (#apply waits for the same promise), in commit order.
    const loading = getMembershipsOfRoom(this.#database, roomId).then(
      (rows) => new Map(rows.map((row) => [row.userId, row.membership])),
    )
    this.#byRoom.set(roomId, loading)
    loading.catch(() => this.#byRoom.delete(roomId))
    return loading
  }

  /** The user's membership in the room (`join`, `invite`, `knock`, `leave`, `ban`); undefined where there never was one. */
  async getMembership(userId: UserId, roomId: RoomId): Promise<string | undefined> {
    return (await this.#loadOfUser(userId)).get(roomId)?.membership
  }

  async isJoined(userId: UserId, roomId: RoomId): Promise<boolean> {
    return (await this.getMembership(userId, roomId)) === 'join'
  }

  /** The rooms that the user is joined to now. */
  async getJoinedRooms(userId: UserId): Promise<RoomId[]> {
    const joined: RoomId[] = []
    for (const [roomId, { membership }] of await this.#loadOfUser(userId)) if (membership === 'join') joined.push(roomId)
    return joined
  }

  /** The users that are joined to the room now. */
  async getJoinedUsers(roomId: RoomId): Promise<UserId[]> {
    const joined: UserId[] = []
    for (const [userId, membership] of await this.getOfRoom(roomId)) if (membership === 'join') joined.push(userId)
    return joined
  }

  /**
   * Tells whether both are joined to some room that is not excluded; a user shares with itself.
   * Costs the smaller of their two room lists.
   */
  async sharesRoom(userId: UserId, otherId: UserId, excludedRooms?: ReadonlySet<string>): Promise<boolean> {
    if (userId === otherId) return true
    const [mine, theirs] = await Promise.all([this.#loadOfUser(userId), this.#loadOfUser(otherId)])
    const [few, many] = mine.size <= theirs.size ? [mine, theirs] : [theirs, mine]
    for (const [roomId, { membership }] of few) {
      if (membership === 'join' && many.get(roomId)?.membership === 'join' && !excludedRooms?.has(roomId)) return true
    }
    return false
  }

  /** The rooms that both users are joined to now, sorted by room id. */
  async getSharedRooms(userId: UserId, otherId: UserId): Promise<RoomId[]> {
    const [mine, theirs] = await Promise.all([this.#loadOfUser(userId), this.#loadOfUser(otherId)])
    const shared: RoomId[] = []
    for (const [roomId, { membership }] of mine)
      if (membership === 'join' && theirs.get(roomId)?.membership === 'join') shared.push(roomId)
    return shared.sort()
  }

  /** Everyone who is joined to a room that the user is joined to, the user included. */
  async getUsersSharingRooms(userId: UserId): Promise<Set<UserId>> {
    const sharing = new Set<UserId>([userId])
    const rooms = await this.getJoinedRooms(userId)
    for (const users of await Promise.all(rooms.map((roomId) => this.getOfRoom(roomId)))) {
      for (const [other, membership] of users) if (membership === 'join') sharing.add(other)
    }
    return sharing
  }

  /** Forgets a room that the user has left. Returns false where the user has not left it. */
  async forget(userId: UserId, roomId: RoomId): Promise<boolean> {
    const done = await forgetMembership(this.#database, { roomId, userId })
    this.#byUser.delete(userId)
    await this.#caches?.forget(CACHE, [userId])
    if (done) this.#onForgotten?.(roomId)
    return done
  }
}
