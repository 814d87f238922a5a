import type { RoomId, UserId } from '../../protocol/ids.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, StreamPosition } from '../../streams/streams.ts'
import type { Background } from '../../util/background.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Memberships } from '../rooms/memberships.ts'

/** Users whose place in their rooms is followed. An idle one costs a few entries, no timer. */
const FEEDS_MAX = 50_000

/** What happened in the rooms of one user since the feed began; parked requests hang on it. */
export class UserFeed {
  readonly userId: UserId
  /** The feed knows of every change after this position. */
  readonly beganAt: StreamPosition
  readonly rooms = new Set<RoomId>()
  /** Rooms by the position of their newest event, in that order: the last changed is the last. */
  readonly #changedRooms = new Map<RoomId, StreamPosition>()
  readonly #waiters = new Set<() => void>()

  constructor(userId: UserId, beganAt: StreamPosition) {
    this.userId = userId
    this.beganAt = beganAt
  }

  markChanged(roomId: RoomId, position: StreamPosition): void {
    this.#changedRooms.delete(roomId)
    this.#changedRooms.set(roomId, position)
  }

  /** The rooms with events after a position; undefined where the feed began later. */
  getChangedRooms(after: StreamPosition): RoomId[] | undefined {
    if (after < this.beganAt) return undefined
    const changed: RoomId[] = []
    // Insertion order is position order, so that one pass from the end would do; Map only goes forward, and is short.
    for (const [roomId, position] of this.#changedRooms) if (position > after) changed.push(roomId)
    return changed
  }

  /** Forgets changes that no token in use asks for any more. */
  trim(before: StreamPosition): void {
    for (const [roomId, position] of this.#changedRooms) {
      if (position > before) break
      this.#changedRooms.delete(roomId)
    }
    Object.assign(this, { beganAt: before > this.beganAt ? before : this.beganAt })
  }

  get size(): number {
    return this.#changedRooms.size
  }

  get hasWaiters(): boolean {
    return this.#waiters.size > 0
  }

  wake(): void {
    for (const waiter of this.#waiters) waiter()
  }

  /** Settles at the next change, after `timeoutMs`, or when the signal aborts. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<'changed' | 'timeout' | 'aborted'> {
    return new Promise((resolve) => {
      const end = (outcome: 'changed' | 'timeout' | 'aborted'): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        this.#waiters.delete(onChange)
        resolve(outcome)
      }
      const onChange = (): void => end('changed')
      const onAbort = (): void => end('aborted')
      const timer = setTimeout(() => end('timeout'), timeoutMs)
      this.#waiters.add(onChange)
      signal.addEventListener('abort', onAbort)
      if (signal.aborted) onAbort()
    })
  }
}

const WAKING_STREAMS = [
  'events',
  'receipts',
  'typing',
  'account_data',
  'push_rules',
  'to_device',
  'device_lists',
  'presence',
] as const

/** A feed remembers this many changed rooms before it forgets the oldest. */
const CHANGED_ROOMS_MAX = 2000

/**
 * Follows for each syncing user what concerns them: wakes parked requests, and knows which rooms changed since a token.
 * Feeds outlive requests, so that parking one costs the same for a user of two rooms and of two thousand.
 */
export class UserFeeds {
  readonly #hub: StreamHub
  readonly #memberships: Memberships
  readonly #background: Background
  readonly #byRoom = new Map<RoomId, Set<UserFeed>>()
  readonly #feeds = cacheOfEntries<UserId, Promise<UserFeed>>(FEEDS_MAX, {
    onRemoved: (feed) => void feed.then((known) => this.#end(known)),
  })
  #isFlushing = false
  readonly #toWake = new Set<UserFeed>()

  constructor(deps: { hub: StreamHub; memberships: Memberships; background: Background }) {
    this.#hub = deps.hub
    this.#memberships = deps.memberships
    this.#background = deps.background
    deps.hub.onRow('events', (row, position) => this.#onEvent(row, position))
    deps.hub.onRow('receipts', (row) => this.#wakeRoom(row.roomId as RoomId))
    deps.hub.onRow('typing', (row) => this.#wakeRoom(row.roomId as RoomId))
    deps.hub.onRow('account_data', (row) => this.#wakeUser(row.userId as UserId))
    deps.hub.onRow('push_rules', (row) => this.#wakeUser(row.userId as UserId))
    deps.hub.onRow('to_device', (row) => this.#wakeUser(row.userId as UserId))
    deps.hub.onRow('device_lists', (row) =>
      row.viewerId === undefined ? this.#wakeSharing(row.userId as UserId) : this.#wakeUser(row.viewerId as UserId),
    )
    deps.hub.onRow('presence', (row) => this.#wakeSharing(row.userId as UserId))
    for (const stream of WAKING_STREAMS) deps.hub.onReset(stream, () => this.#startAnew())
  }

  /** The user's feed, made when it is not there yet. */
  get(userId: UserId): Promise<UserFeed> {
    const known = this.#feeds.get(userId)
    if (known) return known
    const loading = this.#memberships.getJoinedRooms(userId).then((rooms) => {
      // From here on every change is seen: nothing runs between this and the subscriptions.
      const feed = new UserFeed(userId, this.#hub.head('events'))
      for (const roomId of rooms) this.#subscribe(feed, roomId)
      return feed
    })
    this.#feeds.set(userId, loading)
    loading.catch(() => this.#feeds.delete(userId))
    return loading
  }

  #subscribe(feed: UserFeed, roomId: RoomId): void {
    feed.rooms.add(roomId)
    const feeds = this.#byRoom.get(roomId)
    if (feeds) feeds.add(feed)
    else this.#byRoom.set(roomId, new Set([feed]))
  }

  /** Who waits on the feed gets another one. */
  #end(feed: UserFeed): void {
    for (const roomId of feed.rooms) this.#leave(feed, roomId)
    feed.wake()
  }

  /** Feeds that have missed changes are thrown away, and everybody who waits looks for themselves. */
  #startAnew(): void {
    this.#feeds.clear()
  }

  #leave(feed: UserFeed, roomId: RoomId): void {
    feed.rooms.delete(roomId)
    const feeds = this.#byRoom.get(roomId)
    feeds?.delete(feed)
    if (feeds?.size === 0) this.#byRoom.delete(roomId)
  }

  #onEvent(row: EventRow, position: StreamPosition): void {
    const roomId = row.roomId as RoomId
    for (const { stateKey, membership } of memberChangesOf(row)) {
      void this.#feeds.get(stateKey as UserId)?.then((feed) => {
        if (membership === 'join') this.#subscribe(feed, roomId)
        else this.#leave(feed, roomId)
        feed.markChanged(roomId, position)
        this.#wake(feed)
      })
    }
    const feeds = this.#byRoom.get(roomId)
    if (!feeds) return
    for (const feed of feeds) {
      feed.markChanged(roomId, position)
      if (feed.size > CHANGED_ROOMS_MAX) feed.trim((position - CHANGED_ROOMS_MAX) as StreamPosition)
      this.#wake(feed)
    }
  }

  #wakeRoom(roomId: RoomId): void {
    for (const feed of this.#byRoom.get(roomId) ?? []) this.#wake(feed)
  }

  #wakeUser(userId: UserId): void {
    void this.#feeds.get(userId)?.then((feed) => this.#wake(feed))
  }

  #wakeSharing(userId: UserId): void {
    this.#wakeUser(userId)
    this.#background.run('wake users that share rooms', async () => {
      for (const roomId of await this.#memberships.getJoinedRooms(userId)) this.#wakeRoom(roomId)
    })
  }

  /** Gathers wake-ups until the batch is applied and the head has moved: one answer for all of it. */
  #wake(feed: UserFeed): void {
    if (!feed.hasWaiters) return
    this.#toWake.add(feed)
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => {
      this.#isFlushing = false
      const feeds = [...this.#toWake]
      this.#toWake.clear()
      for (const each of feeds) each.wake()
    })
  }
}
