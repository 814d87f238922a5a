import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getUsersWithPushers } from '../../storage/tables/push-queue.ts'
import type { RoutedPush } from '../../storage/tables/push-queue.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventPush } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Memberships } from '../rooms/memberships.ts'
import { EVERYBODY } from './push-actions.ts'
import type { PushRules } from './push-rules.ts'
import { pusherShardOf } from './push-shards.ts'

const ROOMS_MAX = 20_000

/** What of an event decides who is pushed. */
export interface NotifyingEvent {
  readonly position: number
  readonly eventId: string
  readonly roomId: string
  readonly sender: string
  readonly push: EventPush
}

/**
 * Finds who is pushed an event: those for whom a row says so, and members on default rules with a pusher. Who of a room has
 * pushers is kept in memory, so that an event costs nothing for members without.
 */
export class PushRecipients {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #memberships: Memberships
  readonly #pushRules: PushRules
  readonly #isAlone: boolean
  readonly #kinds: readonly string[]
  readonly #rooms = cacheOfEntries<RoomId, Promise<ReadonlySet<UserId>>>(ROOMS_MAX)
  #users: Promise<Set<string>> | undefined

  /** `isAlone`: no other process sets pushers. `kinds`: of pushers that are sent to. */
  constructor(deps: {
    database: Database
    hub: StreamHub
    memberships: Memberships
    pushRules: PushRules
    isAlone: boolean
    kinds: readonly string[]
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#memberships = deps.memberships
    this.#pushRules = deps.pushRules
    this.#isAlone = deps.isAlone
    this.#kinds = deps.kinds
    deps.hub.onRow('events', (row) => {
      if (memberChangesOf(row).length > 0) this.#rooms.delete(row.roomId as RoomId)
    })
    // Users whose last pusher went stay in the set: the database has the last word.
    deps.hub.onRow('pushers', ({ userId }) => this.#add(userId))
    deps.hub.onReset('events', () => this.#rooms.clear())
    deps.hub.onPurge(({ roomId }) => void this.#rooms.delete(roomId as RoomId))
    deps.hub.onReset('pushers', () => this.forget())
  }

  /** Drops what is in memory. */
  forget(): void {
    this.#users = undefined
    this.#rooms.clear()
  }

  #add(userId: string): void {
    this.#users?.then(
      (users) => {
        if (users.has(userId)) return
        users.add(userId)
        this.#rooms.clear()
      },
      // Whoever asked for the users has the error; the next one loads them anew.
      () => undefined,
    )
  }

  #load(): Promise<Set<string>> {
    if (this.#users) return this.#users
    const loading = getUsersWithPushers(this.#database, this.#kinds).then((users) => new Set(users))
    this.#users = loading
    loading.catch(() => {
      if (this.#users === loading) this.#users = undefined
    })
    return loading
  }

  /** Lists who is pushed the events. */
  async find(events: readonly NotifyingEvent[]): Promise<RoutedPush[]> {
    if (events.length === 0) return []
    // Who set a pusher before an event was sent is told of the event, however messages between processes overtake each other.
    if (!this.#isAlone) await this.#hub.catchUpTo('pushers', 0, Infinity)
    const users = await this.#load()
    const pushes: RoutedPush[] = []
    if (users.size > 0) for (const event of events) pushes.push(...(await this.#findOf(event, users)))
    return pushes
  }

  /** Those of the users that have pushers. */
  async withPushers(userIds: ReadonlySet<string>): Promise<string[]> {
    if (userIds.size === 0) return []
    const users = await this.#load()
    return [...userIds].filter((userId) => users.has(userId))
  }

  async #findOf(event: NotifyingEvent, users: ReadonlySet<string>): Promise<RoutedPush[]> {
    const { push, sender, position, eventId, roomId } = event
    const common = { position, eventId, roomId, threadId: push.threadId ?? '' }
    const pushes: RoutedPush[] = []
    const decided = new Set<string>([sender])
    let isClassHighlight = false
    for (const action of push.actions) {
      if (action.userId === EVERYBODY) isClassHighlight ||= action.isHighlight
      else if (action.kind === 'action') {
        decided.add(action.userId)
        if (action.isNotify && users.has(action.userId) && action.userId !== sender) {
          const { userId, isHighlight } = action
          pushes.push({ ...common, userId, shard: pusherShardOf(userId), isHighlight, isAsMember: false })
        }
      }
    }
    if (!push.isNotifying) return pushes
    const members = [...(await this.#membersWithPushers(roomId as RoomId, users))].filter((userId) => !decided.has(userId))
    for (const rules of await this.#pushRules.getMany(members)) {
      const { userId } = rules
      if (rules.profileFor(roomId as RoomId).baseline === 'class')
        pushes.push({ ...common, userId, shard: pusherShardOf(userId), isHighlight: isClassHighlight, isAsMember: true })
    }
    return pushes
  }

  #membersWithPushers(roomId: RoomId, users: ReadonlySet<string>): Promise<ReadonlySet<UserId>> {
    const known = this.#rooms.get(roomId)
    if (known) return known
    const loading = this.#memberships
      .getOfRoom(roomId)
      .then(
        (members) => new Set([...members].flatMap(([id, membership]) => (membership === 'join' && users.has(id) ? [id] : []))),
      )
    this.#rooms.set(roomId, loading)
    loading.catch(() => {
      if (this.#rooms.peek(roomId) === loading) this.#rooms.delete(roomId)
    })
    return loading
  }
}
