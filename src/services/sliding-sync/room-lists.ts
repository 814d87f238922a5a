import type { RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import { EntityChanges } from '../../streams/entity-changes.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { currentSyncToken } from '../../streams/sync-token.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Membership, Memberships } from '../rooms/memberships.ts'
import type { AccountDataSet, SyncSources } from '../sync/sync-sources.ts'
import type { UserFeed, UserFeeds } from '../sync/user-feeds.ts'
import { UNKNOWN_FACTS } from './room-facts.ts'
import type { RoomFactsCache } from './room-facts.ts'
import type { ListRequest } from './sliding-request.ts'
import { UserRooms } from './user-rooms.ts'
import type { RoomMarks } from './user-rooms.ts'
import type { UserPredicate } from '../user-data/account-data.ts'

const USERS_MAX = 10_000
/** How often loading is begun anew because something changed meanwhile; then the next request sees the rest. */
const ROUNDS_MAX = 20

/** The user's rooms and lists at one moment. */
export interface ListsNow {
  /** Everything here is as of this token. */
  readonly now: SyncToken
  readonly feed: UserFeed
  /** Live: read before the next await. */
  readonly places: ReadonlyMap<RoomId, Membership>
  readonly rooms: UserRooms
  readonly ignoredUsers: ReadonlySet<string>
  /** By name of the list: how many rooms it has, and those in its ranges. */
  readonly lists: ReadonlyMap<string, { readonly count: number; readonly roomIds: readonly RoomId[] }>
}

/** Keeps for each user of sliding sync the rooms in the order of lists, and cuts the lists of requests out of them. */
export class RoomLists {
  readonly #hub: StreamHub
  readonly #feeds: UserFeeds
  readonly #memberships: Memberships
  readonly #facts: RoomFactsCache
  readonly #accountData: SyncSources['accountData']
  readonly #excluded: ReadonlySet<string>
  readonly #users = cacheOfEntries<UserId, UserRooms>(USERS_MAX)
  readonly #accountChanges = new EntityChanges<string>()

  constructor(deps: {
    hub: StreamHub
    feeds: UserFeeds
    memberships: Memberships
    facts: RoomFactsCache
    accountData: SyncSources['accountData']
    excludedRooms: readonly string[]
  }) {
    this.#hub = deps.hub
    this.#feeds = deps.feeds
    this.#memberships = deps.memberships
    this.#facts = deps.facts
    this.#accountData = deps.accountData
    this.#excluded = new Set(deps.excludedRooms)
    deps.hub.onRow('account_data', (row, position) => this.#accountChanges.note(row.userId, position))
    deps.hub.onReset('account_data', (head) => this.#accountChanges.reset(head))
    deps.hub.onReset('events', () => this.#users.clear())
    deps.hub.onPurge(({ isGone }) => {
      if (isGone) this.#users.clear()
    })
  }

  getFeed(userId: UserId): Promise<UserFeed> {
    return this.#feeds.get(userId)
  }

  /** Everything that a request about lists needs, at one moment. Costs no query where the user is known. */
  async resolve(userId: UserId, lists: ReadonlyMap<string, ListRequest>): Promise<ListsNow> {
    let loaded: UserRooms | undefined
    for (let round = 1; ; round++) {
      const head = this.#hub.head('events')
      const feed = await this.#feeds.get(userId)
      const ignoredUsers = await this.#accountData.getIgnoredUsers(userId)
      const unwanted = await this.#accountData.getUnwantedInviters(userId)
      const rooms: UserRooms = await this.#roomsOf(userId, loaded)
      loaded = rooms
      const spaces = await this.#loadSpaces(lists)
      const places = await this.#memberships.getOfUser(userId)
      const changed = (rooms.asOf === 0 ? undefined : feed.getChangedRooms(rooms.asOf as StreamPosition)) ?? [
        ...new Set([...places.keys(), ...rooms.rooms.keys()]),
      ]
      const isListed = (roomId: RoomId): boolean => this.#isListed(roomId, places.get(roomId), { userId, unwanted })
      const missing = changed.filter((roomId) => isListed(roomId) && !this.#facts.get(roomId))
      if (round < ROUNDS_MAX && (missing.length > 0 || this.#hub.head('events') !== head)) {
        await this.#facts.load(missing)
        continue
      }
      // From here on nothing waits: the rooms, the places and the token belong together.
      for (const roomId of changed) {
        const place = places.get(roomId)
        rooms.place(roomId, place && isListed(roomId) ? this.#describe(roomId, place) : undefined)
      }
      const now = currentSyncToken(this.#hub)
      rooms.asOf = now.events
      this.#users.set(userId, rooms)
      const windows = new Map([...lists].map(([name, list]) => [name, cutOut(rooms, list, spaces.get(name), places)]))
      return { now, feed, places, rooms, ignoredUsers, lists: windows }
    }
  }

  #describe(roomId: RoomId, place: Membership): { membership: string; facts: typeof UNKNOWN_FACTS; sortKey: number } {
    const facts = this.#facts.get(roomId) ?? UNKNOWN_FACTS
    const { membership, position } = place
    return { membership, facts, sortKey: membership === 'join' && facts.bumpStamp > 0 ? facts.bumpStamp : position }
  }

  /** As Synapse has it: rooms that the user left on their own are in no list, those that they were removed from are. */
  #isListed(
    roomId: RoomId,
    place: Membership | undefined,
    reader: { readonly userId: UserId; readonly unwanted: UserPredicate },
  ): boolean {
    if (!place || this.#excluded.has(roomId) || place.isForgotten) return false
    if (place.membership === 'leave') return place.sender !== reader.userId
    return place.membership !== 'invite' || !reader.unwanted.has(place.sender)
  }

  async #roomsOf(userId: UserId, loaded: UserRooms | undefined): Promise<UserRooms> {
    const known = loaded ?? this.#users.get(userId)
    if (known && !this.#accountChanges.hasChanged(userId, known.marksAsOf as StreamPosition)) return known
    const asOf = this.#hub.head('account_data')
    return new UserRooms(readMarks(await this.#accountData.getAll(userId)), asOf)
  }

  async #loadSpaces(lists: ReadonlyMap<string, ListRequest>): Promise<Map<string, readonly ReadonlySet<string>[]>> {
    const spaces = new Map<string, readonly ReadonlySet<string>[]>()
    for (const [name, { filters }] of lists) {
      if (!filters.spaces) continue
      spaces.set(name, await Promise.all(filters.spaces.map((spaceId) => this.#facts.getSpaceChildren(spaceId as RoomId))))
    }
    return spaces
  }
}

function cutOut(
  rooms: UserRooms,
  list: ListRequest,
  spaces: readonly ReadonlySet<string>[] | undefined,
  places: ReadonlyMap<RoomId, Membership>,
): { readonly count: number; readonly roomIds: readonly RoomId[] } {
  // Only spaces that the user is in are looked into.
  const known = spaces?.filter(
    (_children, index) => places.get((list.filters.spaces?.[index] ?? '') as RoomId)?.membership === 'join',
  )
  const sorted = rooms.getSorted(list.filters, known)
  const ranges = list.ranges ?? [[0, sorted.length]]
  const roomIds = new Set<RoomId>()
  for (const [first, last] of ranges) for (const room of sorted.slice(first, last + 1)) roomIds.add(room.roomId)
  return { count: sorted.length, roomIds: [...roomIds] }
}

function readMarks(data: AccountDataSet): RoomMarks {
  const directRooms = new Set<string>()
  const direct = parseObject(data.global.find((item) => item.type === 'm.direct')?.contentJson)
  for (const rooms of Object.values(direct))
    if (Array.isArray(rooms)) for (const roomId of rooms) if (typeof roomId === 'string') directRooms.add(roomId)
  const tags = new Map<RoomId, ReadonlySet<string>>()
  for (const [roomId, items] of data.rooms) {
    const content = parseObject(items.find((item) => item.type === 'm.tag')?.contentJson)['tags']
    if (isJsonObject(content)) tags.set(roomId, new Set(Object.keys(content)))
  }
  return { directRooms, tags }
}

function parseObject(json: string | undefined): Readonly<Record<string, unknown>> {
  const value: unknown = json === undefined ? {} : JSON.parse(json)
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
