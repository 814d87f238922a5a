import { invalidParam } from '../../protocol/errors.ts'
import type { EventFilter } from '../../protocol/filters/event-filter.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { countTexts, findBestTexts, findRecentTexts, hasTrigrams } from '../../storage/tables/event-search.ts'
import type { SearchQuery } from '../../storage/tables/event-search.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { RoomReader } from '../rooms/reading/room-messages.ts'
import { NOW } from '../rooms/reading/room-slots.ts'
import type { RoomView, RoomViews } from '../rooms/reading/room-view.ts'
import type { RoomCards } from '../rooms/room-cards.ts'
import { findHighlights, parseSearchTerm } from './search-terms.ts'

const SCAN_EVENTS_MIN = 100
/** Pages of hits that are looked at for one answer, where the user may see few of them. */
const SCANS_MAX = 10
const COUNT_MAX = 10_000
/** How many upgrades of a room are followed back. */
const PREDECESSORS_MAX = 10

export interface MessageSearchRequest {
  readonly term: string
  readonly keys: readonly string[]
  /** Without rooms: a hit may be in a room that one of the wanted rooms replaced. */
  readonly filter: EventFilter
  /** Rooms that are wanted; undefined for all. */
  readonly roomIds: readonly string[] | undefined
  readonly excludedRoomIds: readonly string[]
  readonly order: 'recent' | 'rank'
  readonly nextBatch: string | undefined
}

export interface SearchHit {
  readonly stored: StoredEvent
  readonly rank: number
}

export interface SearchResults {
  readonly hits: readonly SearchHit[]
  readonly count: number
  readonly highlights: readonly string[]
  readonly nextBatch: string | undefined
  readonly views: ReadonlyMap<RoomId, RoomView>
}

/** Where a page goes on: below a position, or after so many hits; for one group only, if it says so. */
interface SearchPlace {
  readonly order: 'recent' | 'rank'
  readonly offset: number
  readonly group: { readonly key: 'room_id' | 'sender'; readonly value: string } | undefined
}

export interface MessageSearchDeps {
  readonly database: Database
  /** The index, kept here or by another process: settles when what was committed before can be found. */
  readonly indexer: { catchUp(): Promise<void> }
  readonly events: EventReader
  readonly memberships: Memberships
  readonly views: RoomViews
  readonly cards: RoomCards
}

/** Finds messages, names and topics in the rooms that a user is in, and the rooms that those replaced. Spec: search.yaml. */
export class MessageSearch {
  readonly #deps: MessageSearchDeps
  #hasTrigrams = false

  constructor(deps: MessageSearchDeps) {
    this.#deps = deps
  }

  async start(): Promise<void> {
    this.#hasTrigrams = await hasTrigrams(this.#deps.database)
  }

  /** Reads a page of hits. Throws M_INVALID_PARAM on a malformed token. */
  async find(reader: RoomReader, request: MessageSearchRequest): Promise<SearchResults> {
    const place = request.nextBatch === undefined ? undefined : parsePlace(request.nextBatch, request.order)
    const terms = parseSearchTerm(request.term, { hasTrigrams: this.#hasTrigrams })
    const roomIds = await this.#getRooms(reader.viewer.userId, request, place)
    if (terms.words.length === 0 || roomIds.length === 0)
      return { hits: [], count: 0, highlights: [], nextBatch: undefined, views: new Map() }
    await this.#deps.indexer.catchUp()
    const search: SearchQuery = {
      query: terms.query,
      patterns: terms.patterns,
      roomIds,
      keys: request.keys,
      senders: place?.group?.key === 'sender' ? [place.group.value] : null,
    }
    const [views, count] = await Promise.all([
      this.#deps.views.getOfRooms(reader.viewer.userId, roomIds),
      countTexts(this.#deps.database, search, COUNT_MAX),
    ])
    const { hits, next } = await this.#collect(search, { reader, request, views, place })
    return {
      hits,
      count,
      highlights: findHighlights(
        terms.words,
        hits.map((hit) => textOf(hit.stored)),
      ),
      nextBatch: next === undefined ? undefined : formatPlace({ order: request.order, offset: next, group: place?.group }),
      views,
    }
  }

  async #collect(
    search: SearchQuery,
    context: {
      reader: RoomReader
      request: MessageSearchRequest
      views: ReadonlyMap<RoomId, RoomView>
      place: SearchPlace | undefined
    },
  ): Promise<{ hits: SearchHit[]; next: number | undefined }> {
    const { reader, request, views, place } = context
    const { limit } = request.filter
    const pageSize = Math.max(SCAN_EVENTS_MIN, limit + 1)
    const isRecent = request.order === 'recent'
    const hits: SearchHit[] = []
    let offset = place?.offset ?? (isRecent ? NOW : 0)
    for (let scan = 0; scan < SCANS_MAX; scan++) {
      const { database } = this.#deps
      const records = isRecent
        ? await findRecentTexts(database, search, { below: offset, limit: pageSize })
        : await findBestTexts(database, search, { offset, limit: pageSize })
      for (const record of records) {
        offset = isRecent ? (record.position ?? 0) : offset + 1
        const stored = this.#deps.events.remember(record)
        if (isWanted(stored, reader, request.filter, views)) hits.push({ stored, rank: record.rank })
        if (hits.length >= limit) return { hits, next: offset }
      }
      if (records.length < pageSize) return { hits, next: undefined }
    }
    return { hits, next: offset }
  }

  /** The user's rooms, and those that they replaced by upgrades, as far as the request wants them. */
  async #getRooms(userId: UserId, request: MessageSearchRequest, place: SearchPlace | undefined): Promise<RoomId[]> {
    const joined = await this.#deps.memberships.getJoinedRooms(userId)
    const wanted = request.roomIds === undefined ? undefined : new Set(request.roomIds)
    const excluded = new Set(request.excludedRoomIds)
    const rooms = new Set<RoomId>(
      joined.filter((roomId) => (wanted === undefined || wanted.has(roomId)) && !excluded.has(roomId)),
    )
    let level = [...rooms]
    for (let depth = 0; depth < PREDECESSORS_MAX && level.length > 0; depth++) {
      const cards = await this.#deps.cards.get(level)
      level = [...cards.values()].flatMap((card) =>
        card.predecessorId === undefined || rooms.has(card.predecessorId) ? [] : [card.predecessorId],
      )
      for (const roomId of level) rooms.add(roomId)
    }
    const { group } = place ?? {}
    return group?.key === 'room_id' ? [...rooms].filter((roomId) => roomId === group.value) : [...rooms]
  }
}

/** The token with which one group of the results can be read on its own. */
export function groupToken(nextBatch: string, group: { readonly key: 'room_id' | 'sender'; readonly value: string }): string {
  return `${nextBatch.split('.')[0] ?? ''}.${group.key === 'sender' ? 's' : 'r'}${Buffer.from(group.value).toString('base64url')}`
}

function isWanted(stored: StoredEvent, reader: RoomReader, filter: EventFilter, views: ReadonlyMap<RoomId, RoomView>): boolean {
  const { roomId, type, sender, content, stateKey } = stored.event
  if (stateKey === undefined && reader.ignoredUsers.has(sender)) return false
  if (!filter.matches({ type, sender, content, roomId })) return false
  return (views.get(roomId)?.filter([stored]).length ?? 0) > 0
}

function textOf(stored: StoredEvent): string {
  const { body, name, topic } = stored.event.content
  return [body, name, topic].filter((text) => typeof text === 'string').join(' ')
}

function formatPlace(place: SearchPlace): string {
  const token = `${place.order === 'recent' ? 'r' : 'b'}${place.offset}`
  return place.group ? groupToken(token, place.group) : token
}

function parsePlace(token: string, order: 'recent' | 'rank'): SearchPlace {
  const match = /^([rb])([0-9]{1,16})(?:\.([sr])([A-Za-z0-9_-]{1,400}))?$/.exec(token)
  const offset = Number(match?.[2] ?? Number.NaN)
  if (!match || !Number.isSafeInteger(offset) || (match[1] === 'r') !== (order === 'recent'))
    throw invalidParam('The next_batch token is malformed')
  const value = match[4] === undefined ? undefined : Buffer.from(match[4], 'base64url').toString()
  if (value?.includes('\u0000') === true) throw invalidParam('The next_batch token is malformed')
  return { order, offset, group: value === undefined ? undefined : { key: match[3] === 's' ? 'sender' : 'room_id', value } }
}
