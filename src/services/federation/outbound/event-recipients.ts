import { LRUCache } from 'lru-cache'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { Database } from '../../../storage/database.ts'
import { getMemberChangesFrom } from '../../../storage/tables/destination-queues.ts'
import type { MemberChangeRecord } from '../../../storage/tables/destination-queues.ts'
import { memberChangesOf } from '../../../streams/event-rows.ts'
import type { StreamHub } from '../../../streams/stream-hub.ts'
import type { Memberships } from '../../rooms/memberships.ts'

const ROOMS_MAX = 20_000

/** The other servers in a room now; good for events after the last change of its members. */
interface RoomNow {
  readonly servers: ReadonlySet<ServerName>
  /** Where its members last changed, as far as this process was told; the head when it was loaded otherwise. */
  changedAt: number
}

/** Looks up which other servers were in a room when an event came: before it, so that who is sent away is still told. */
export class EventRecipients {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #memberships: Memberships
  readonly #serverName: ServerName
  readonly #isAllowed: (serverName: ServerName) => boolean
  readonly #rooms = new LRUCache<RoomId, Promise<RoomNow>>({ max: ROOMS_MAX })

  constructor(deps: {
    database: Database
    hub: StreamHub
    memberships: Memberships
    serverName: ServerName
    /** `federation_domain_whitelist`. */
    isAllowed: (serverName: ServerName) => boolean
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#memberships = deps.memberships
    this.#serverName = deps.serverName
    this.#isAllowed = deps.isAllowed
    deps.hub.onRow('events', (row) => {
      if (memberChangesOf(row).some(isComingOrGoing)) this.#rooms.delete(row.roomId as RoomId)
    })
    deps.hub.onReset('events', () => this.#rooms.clear())
    deps.hub.onPurge(({ roomId }) => void this.#rooms.delete(roomId as RoomId))
  }

  /** The other servers in the room as of the newest that this process knows. */
  async getNow(roomId: RoomId): Promise<ReadonlySet<ServerName>> {
    return (await this.#loadNow(roomId)).servers
  }

  /** The other servers that share a room with the user now. */
  async getSharing(userId: UserId, excludedRooms?: ReadonlySet<string>): Promise<ReadonlySet<ServerName>> {
    const rooms = (await this.#memberships.getJoinedRooms(userId)).filter((roomId) => excludedRooms?.has(roomId) !== true)
    return new Set((await Promise.all(rooms.map((roomId) => this.getNow(roomId)))).flatMap((servers) => [...servers]))
  }

  /** Whether anything is sent to a server at all: not to ourselves, nor outside `federation_domain_whitelist`. */
  mayReceive(server: ServerName | undefined): server is ServerName {
    return server !== undefined && server !== this.#serverName && this.#isAllowed(server)
  }

  /**
   * The other servers in the rooms just before events of theirs; `events` are in order of position. Where nobody came or went since,
   * from memory.
   */
  async getAt(events: readonly { readonly roomId: RoomId; readonly position: number }[]): Promise<ReadonlySet<ServerName>[]> {
    const roomIds = [...new Set(events.map((event) => event.roomId))]
    const now = new Map(await Promise.all(roomIds.map(async (roomId) => [roomId, await this.#loadNow(roomId)] as const)))
    const first = events[0]?.position ?? 0
    const moved = roomIds.filter((roomId) => (now.get(roomId)?.changedAt ?? 0) >= first)
    const past = await this.#loadPast(moved, first)
    return events.map(({ roomId, position }) => past.get(roomId)?.at(position) ?? now.get(roomId)?.servers ?? new Set())
  }

  #loadNow(roomId: RoomId): Promise<RoomNow> {
    const cached = this.#rooms.get(roomId)
    if (cached) return cached
    const loading = this.#memberships.getOfRoom(roomId).then((members) => {
      const servers = new Set<ServerName>()
      for (const [userId, membership] of members) {
        const server = membership === 'join' ? serverNameOf(userId) : undefined
        if (this.mayReceive(server)) servers.add(server)
      }
      return { servers, changedAt: this.#hub.head('events') }
    })
    this.#rooms.set(roomId, loading)
    loading.catch(() => this.#rooms.delete(roomId))
    return loading
  }

  async #loadPast(roomIds: readonly RoomId[], from: number): Promise<Map<RoomId, RoomPast>> {
    if (roomIds.length === 0) return new Map()
    // The members first, then what changed: a change that comes between is undone all the same.
    const members = await Promise.all(
      roomIds.map(async (roomId) => [roomId, joinedOf(await this.#memberships.getOfRoom(roomId))] as const),
    )
    const changes = Map.groupBy(await getMemberChangesFrom(this.#database, roomIds, from), (change) => change.roomId)
    const mayReceive = (server: ServerName | undefined): server is ServerName => this.mayReceive(server)
    return new Map(members.map(([roomId, joined]) => [roomId, new RoomPast(joined, changes.get(roomId) ?? [], mayReceive)]))
  }
}

function isComingOrGoing(change: {
  readonly membership: string | undefined
  readonly membershipBefore: string | undefined
}): boolean {
  return (change.membership === 'join') !== (change.membershipBefore === 'join')
}

function joinedOf(members: ReadonlyMap<UserId, string>): Set<string> {
  const joined = new Set<string>()
  for (const [userId, membership] of members) if (membership === 'join') joined.add(userId)
  return joined
}

/** Goes back in time from the members of now by undoing changes. */
class RoomPast {
  readonly #joined: ReadonlySet<string>
  readonly #changes: readonly MemberChangeRecord[]
  readonly #mayReceive: (server: ServerName | undefined) => server is ServerName
  #known: { position: number; servers: ReadonlySet<ServerName> } | undefined

  constructor(
    joined: ReadonlySet<string>,
    changes: readonly MemberChangeRecord[],
    mayReceive: (server: ServerName | undefined) => server is ServerName,
  ) {
    this.#joined = joined
    this.#changes = changes
    this.#mayReceive = mayReceive
  }

  /** The other servers in the room just before the position. */
  at(position: number): ReadonlySet<ServerName> {
    const next = this.#changes.findIndex((change) => change.position >= position)
    const place = next === -1 ? Infinity : (this.#changes[next]?.position ?? Infinity)
    if (this.#known?.position === place) return this.#known.servers
    const joined = new Set(this.#joined)
    // Of several changes of one user the first after the position says what was before.
    for (const change of next === -1 ? [] : this.#changes.slice(next).toReversed()) {
      if (membershipIn(change.jsonBefore) === 'join') joined.add(change.userId)
      else joined.delete(change.userId)
    }
    const servers = new Set<ServerName>()
    for (const userId of joined) {
      const server = serverNameOf(userId)
      if (this.#mayReceive(server)) servers.add(server)
    }
    this.#known = { position: place, servers }
    return servers
  }
}

function membershipIn(json: string | null): string | undefined {
  const event: unknown = json === null ? undefined : JSON.parse(json)
  const content = isJsonObject(event) ? event['content'] : undefined
  const membership = isJsonObject(content) ? content['membership'] : undefined
  return typeof membership === 'string' ? membership : undefined
}
