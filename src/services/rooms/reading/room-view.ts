import type { LRUCache } from 'lru-cache'
import { parseHistoryVisibility, parseMembership } from '../../../protocol/history-visibility.ts'
import type { Membership } from '../../../protocol/history-visibility.ts'
import type { EventId, RoomId, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Database } from '../../../storage/database.ts'
import { getVisibilityHistory } from '../../../storage/tables/room-state.ts'
import type { SlotInterval } from '../../../storage/tables/room-state.ts'
import { stateChangesOf } from '../../../streams/event-rows.ts'
import { placeOf } from '../../../streams/history-place.ts'
import type { StreamHub } from '../../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../../util/lru-cache.ts'
import type { StoredEvent } from '../../events/event-reader.ts'
import { filterVisible } from '../../sync/timeline-loader.ts'

/** What one user may see of one room, worked out from how visibility and membership changed over time. */
export class RoomView {
  readonly #userId: UserId
  readonly #history: readonly SlotInterval[]
  readonly #memberships: readonly { readonly fromPos: number; readonly membership: Membership }[]
  /** It is an administrator's, who sees every event. */
  readonly seesAll: boolean

  constructor(userId: UserId, history: readonly SlotInterval[], options: { readonly seesAll?: boolean } = {}) {
    this.#userId = userId
    this.seesAll = options.seesAll ?? false
    this.#history = history
    this.#memberships = history
      .filter((interval) => interval.type === 'm.room.member')
      .map((interval) => ({ fromPos: interval.fromPos, membership: parseMembership(contentOf(interval)) }))
  }

  get userId(): UserId {
    return this.#userId
  }

  /** Tells whether the user is joined, or was after the position. */
  hasJoinedAfter(position: number): boolean {
    const lastJoin = this.#memberships.findLastIndex((entry) => entry.membership === 'join')
    return lastJoin !== -1 && (this.#memberships[lastJoin + 1]?.fromPos ?? Infinity) >= position
  }

  /**
   * Leaves out events that the user may not see, those outside the timeline (rejected, soft-failed, only known) and those from before
   * the stream, of which `filterHistory` knows.
   */
  filter(events: readonly StoredEvent[]): StoredEvent[] {
    if (this.seesAll) return events.filter((stored) => stored.position !== undefined && stored.flags === 0)
    const items = events.flatMap((stored) =>
      stored.position === undefined || stored.flags !== 0 || stored.ordinal !== 0
        ? []
        : [{ position: stored.position, type: stored.event.type, stateKey: stored.event.stateKey, stored }],
    )
    return filterVisible(items, this.#history, { userId: this.#userId }).map((item) => item.stored)
  }

  /** The user's membership after the event at the position, for `unsigned.membership`. Spec: § Room event format (MSC4115). */
  membershipAt(position: number): Membership {
    return this.#memberships.findLast((entry) => entry.fromPos <= position)?.membership ?? 'leave'
  }

  /** Memberships at the events, as ClientEvents wants them. */
  membershipsAt(events: readonly StoredEvent[]): ReadonlyMap<EventId, string> {
    if (this.seesAll) return new Map()
    return new Map(events.map((stored) => [stored.event.eventId, this.membershipAt(placeOf(stored))]))
  }

  /** Where the user, who is not joined, stopped to be joined for the last time; undefined for who never was. */
  get lastLeftPosition(): number | undefined {
    const lastJoin = this.#memberships.findLastIndex((entry) => entry.membership === 'join')
    return lastJoin === -1 ? undefined : this.#memberships[lastJoin + 1]?.fromPos
  }

  get isWorldReadableNow(): boolean {
    const last = this.#history.findLast((interval) => interval.type === 'm.room.history_visibility')
    return last !== undefined && parseHistoryVisibility(contentOf(last)) === 'world_readable'
  }
}

/** Rooms whose members' views are kept, and views of each. */
const ROOMS_MAX = 5000
const VIEWS_PER_ROOM_MAX = 1000

/** Reads views, each from one query, and keeps them until the visibility or the user's membership changes. */
export class RoomViews {
  readonly #database: Database
  readonly #rooms = cacheOfEntries<string, LRUCache<string, Promise<RoomView>>>(ROOMS_MAX)

  constructor(deps: { database: Database; hub: StreamHub }) {
    this.#database = deps.database
    deps.hub.onRow('events', (row) => {
      const changes = stateChangesOf(row)
      if (row.redacts !== undefined || changes.some((change) => change.type === 'm.room.history_visibility'))
        this.#rooms.delete(row.roomId)
      else for (const { type, stateKey } of changes) if (type === 'm.room.member') this.#rooms.get(row.roomId)?.delete(stateKey)
    })
    deps.hub.onReset('events', () => this.#rooms.clear())
    deps.hub.onPurge(({ roomId }) => void this.#rooms.delete(roomId))
  }

  /** What the user may see of a room. */
  get(userId: UserId, roomId: RoomId): Promise<RoomView> {
    let views = this.#rooms.get(roomId)
    if (!views) {
      views = cacheOfEntries<string, Promise<RoomView>>(VIEWS_PER_ROOM_MAX)
      this.#rooms.set(roomId, views)
    }
    const cached = views.get(userId)
    if (cached) return cached
    const loading = getVisibilityHistory(this.#database, { roomIds: [roomId], userId }).then(
      (history) => new RoomView(userId, history),
    )
    const loadingInto = views
    // A change while this loads takes the entry out: who comes later loads anew.
    loadingInto.set(userId, loading)
    loading.catch(() => loadingInto.delete(userId))
    return loading
  }

  /** What the user may see of several rooms, in one query. */
  async getOfRooms(userId: UserId, roomIds: readonly RoomId[]): Promise<Map<RoomId, RoomView>> {
    const intervals = await getVisibilityHistory(this.#database, { roomIds, userId })
    const byRoom = Map.groupBy(intervals, (interval) => interval.roomId)
    return new Map(roomIds.map((roomId) => [roomId, new RoomView(userId, byRoom.get(roomId) ?? [])]))
  }
}

function contentOf(interval: SlotInterval): JsonObject | undefined {
  const parsed: unknown = JSON.parse(interval.json)
  const content = isJsonObject(parsed) ? parsed['content'] : undefined
  return isJsonObject(content) ? content : undefined
}
