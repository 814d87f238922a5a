import { isJsonObject } from '../../protocol/json.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getNeighbours } from '../../storage/tables/event-search.ts'
import { getMemberEvents, getStatesAsOf } from '../../storage/tables/sync-state.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { RoomAccess } from '../rooms/reading/room-access.ts'
import { writeStateRow } from '../rooms/reading/room-messages.ts'
import type { RoomMessages, RoomReader } from '../rooms/reading/room-messages.ts'
import type { SearchResults } from './message-search.ts'

const MXC = /^mxc:\/\//

/** What comes with each hit. */
export interface HitContext {
  readonly before: readonly string[]
  readonly after: readonly string[]
  readonly startPosition: number
  readonly endPosition: number
  /** Names and avatars of those who speak, as JSON text. */
  readonly profilesJson: string | undefined
}

export interface ContextWish {
  readonly beforeLimit: number
  readonly afterLimit: number
  readonly includesProfiles: boolean
}

/** Writes search results for clients: a few queries for a whole page. */
export class SearchAnswers {
  readonly #database: Database
  readonly #events: EventReader
  readonly #messages: RoomMessages
  readonly #access: RoomAccess

  constructor(deps: { database: Database; events: EventReader; messages: RoomMessages; access: RoomAccess }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#messages = deps.messages
    this.#access = deps.access
  }

  /** Writes the hits in their order. */
  writeHits(reader: RoomReader, results: SearchResults): Promise<string[]> {
    return this.#write(
      reader,
      results,
      results.hits.map((hit) => hit.stored),
    )
  }

  /** Reads what stands around each hit, in their order. */
  async getContexts(reader: RoomReader, results: SearchResults, wish: ContextWish): Promise<HitContext[]> {
    if (results.hits.length === 0) return []
    const eventNids = results.hits.map((hit) => hit.stored.eventNid)
    const records = await getNeighbours(this.#database, { eventNids, before: wish.beforeLimit, after: wish.afterLimit })
    const neighbours = records.map((record) => ({ ...record, stored: this.#events.remember(record) }))
    const visible = neighbours.filter(
      ({ stored }) =>
        (results.views.get(stored.event.roomId)?.filter([stored]).length ?? 0) > 0 &&
        !reader.ignoredUsers.has(stored.event.sender),
    )
    const texts = await this.#write(
      reader,
      results,
      visible.map(({ stored }) => stored),
    )
    const profiles = wish.includesProfiles
      ? await this.#getProfiles([...results.hits, ...visible].map(({ stored }) => stored))
      : undefined
    const byHit = Map.groupBy(
      visible.map((neighbour, index) => ({ neighbour, text: texts[index] ?? '' })),
      ({ neighbour }) => neighbour.aroundNid,
    )
    return results.hits.map(({ stored }) => {
      const around = byHit.get(stored.eventNid) ?? []
      const positions = [stored, ...around.map(({ neighbour }) => neighbour.stored)].map((one) => one.position ?? 0)
      return {
        before: around.filter(({ neighbour }) => neighbour.isBefore).map(({ text }) => text),
        after: around.filter(({ neighbour }) => !neighbour.isBefore).map(({ text }) => text),
        startPosition: Math.min(...positions) - 1,
        endPosition: Math.max(...positions),
        profilesJson:
          profiles && JSON.stringify(profilesOf(profiles, [stored, ...around.map(({ neighbour }) => neighbour.stored)])),
      }
    })
  }

  /** Reads the state of the rooms in which something was found. */
  async getStates(userId: UserId, results: SearchResults): Promise<Map<RoomId, string[]>> {
    const roomIds = [...new Set(results.hits.map((hit) => hit.stored.event.roomId))]
    const readings = await Promise.all(roomIds.map((roomId) => this.#access.findReading(userId, roomId)))
    const rooms = readings.flatMap((reading) => (reading ? [{ roomId: reading.roomId, position: reading.statePosition }] : []))
    if (rooms.length === 0) return new Map()
    const states = new Map<RoomId, string[]>()
    for (const [roomId, rows] of Map.groupBy(
      await getStatesAsOf(this.#database, { rooms, members: undefined }),
      (row) => row.roomId,
    )) {
      states.set(roomId, rows.map(writeStateRow))
    }
    return states
  }

  async #write(reader: RoomReader, results: SearchResults, events: readonly StoredEvent[]): Promise<string[]> {
    const memberships = new Map(
      events.map(
        (stored) =>
          [stored.event.eventId, results.views.get(stored.event.roomId)?.membershipAt(stored.position ?? 0) ?? 'leave'] as const,
      ),
    )
    return this.#messages.writeWith(reader.viewer, events, memberships)
  }

  async #getProfiles(events: readonly StoredEvent[]): Promise<ReadonlyMap<string, object>> {
    const pairs = new Map(
      events.map(({ event }) => [`${event.roomId} ${event.sender}`, { roomId: event.roomId, userId: event.sender }]),
    )
    const records = await getMemberEvents(this.#database, [...pairs.values()])
    return new Map(
      records.map((record) => [`${record.roomId} ${record.stateKey}`, profileOf(stateRecordToEvent(record).content)]),
    )
  }
}

function profilesOf(profiles: ReadonlyMap<string, object>, events: readonly StoredEvent[]): Record<string, object> {
  return Object.fromEntries(events.map(({ event }) => [event.sender, profiles.get(`${event.roomId} ${event.sender}`) ?? {}]))
}

function profileOf(content: unknown): object {
  if (!isJsonObject(content)) return {}
  const { displayname, avatar_url: avatarUrl } = content
  return {
    ...(typeof displayname === 'string' ? { displayname } : {}),
    ...(typeof avatarUrl === 'string' && MXC.test(avatarUrl) ? { avatar_url: avatarUrl } : {}),
  }
}
