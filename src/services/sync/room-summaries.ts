import type { RoomId, UserId } from '../../protocol/ids.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Memberships } from '../rooms/memberships.ts'

const ROOMS_MAX = 20_000
const HEROES_MAX = 5

interface Summary {
  readonly joinedCount: number
  readonly invitedCount: number
  /** Longest in the room first; one more than a hero list has, because the reader is taken out. */
  readonly active: readonly UserId[]
  readonly gone: readonly UserId[]
}

/** Counts members and names heroes, once for each change of a room's members, for all readers. Spec: sync.yaml RoomSummary. */
export class RoomSummaries {
  readonly #memberships: Memberships
  readonly #summaries = cacheOfEntries<RoomId, Summary>(ROOMS_MAX)
  readonly #lastChange = cacheOfEntries<RoomId, StreamPosition>(ROOMS_MAX)
  readonly #hub: StreamHub
  #beganAt: StreamPosition | undefined

  constructor(deps: { memberships: Memberships; hub: StreamHub }) {
    this.#memberships = deps.memberships
    this.#hub = deps.hub
    deps.hub.onRow('events', (row, position) => {
      this.#beganAt ??= this.#hub.head('events')
      if (memberChangesOf(row).length === 0) return
      this.#summaries.delete(row.roomId as RoomId)
      this.#lastChange.set(row.roomId as RoomId, position)
    })
    deps.hub.onReset('events', (head) => {
      this.#summaries.clear()
      this.#lastChange.clear()
      this.#beganAt = head
    })
    deps.hub.onPurge(({ roomId }) => void this.#summaries.delete(roomId as RoomId))
  }

  /** Tells whether the room's members may have changed after the position. */
  hasChanged(roomId: RoomId, after: StreamPosition): boolean {
    const last = this.#lastChange.get(roomId)
    return last === undefined ? after < (this.#beganAt ?? this.#hub.head('events')) : last > after
  }

  /** Writes the `summary` of a room for one reader. */
  async getJson(roomId: RoomId, reader: UserId): Promise<string> {
    const summary = this.#summaries.get(roomId) ?? (await this.#load(roomId))
    const others = summary.active.filter((userId) => userId !== reader)
    const heroes = (others.length > 0 ? others : summary.gone.filter((userId) => userId !== reader)).slice(0, HEROES_MAX)
    return `{"m.heroes":${JSON.stringify(heroes)},"m.joined_member_count":${summary.joinedCount},"m.invited_member_count":${summary.invitedCount}}`
  }

  async getCounts(roomId: RoomId): Promise<{ readonly joinedCount: number; readonly invitedCount: number }> {
    return this.#summaries.get(roomId) ?? (await this.#load(roomId))
  }

  async getHeroes(roomId: RoomId, reader: UserId): Promise<UserId[]> {
    const summary = this.#summaries.get(roomId) ?? (await this.#load(roomId))
    const others = summary.active.filter((userId) => userId !== reader)
    return (others.length > 0 ? others : summary.gone.filter((userId) => userId !== reader)).slice(0, HEROES_MAX)
  }

  async #load(roomId: RoomId): Promise<Summary> {
    const users = await this.#memberships.getOfRoom(roomId)
    let joinedCount = 0
    let invitedCount = 0
    const active: UserId[] = []
    const gone: UserId[] = []
    for (const [userId, membership] of users) {
      if (membership === 'join') joinedCount++
      if (membership === 'invite') invitedCount++
      const list = membership === 'join' || membership === 'invite' ? active : gone
      if (list.length <= HEROES_MAX && membership !== 'knock') list.push(userId)
    }
    const summary = { joinedCount, invitedCount, active, gone }
    this.#summaries.set(roomId, summary)
    return summary
  }
}
