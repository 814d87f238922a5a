import { invalidParam } from '../../protocol/errors.ts'
import type { RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { countPublishedRooms, getPublishedRooms } from '../../storage/tables/published-rooms.ts'
import type { PublishedRoom } from '../../storage/tables/published-rooms.ts'
import type { RoomCard, RoomCards } from './room-cards.ts'

const SCAN_ROOMS = 500
/** A search looks at this many rooms for one answer. */
const SCANS_MAX = 40

export interface PublicRoomsQuery {
  readonly limit: number
  /** A token that an earlier answer gave. */
  readonly since: string | undefined
  readonly searchTerm: string | undefined
  /** Null stands for rooms without a type. */
  readonly roomTypes: readonly (string | null)[] | undefined
  /** Leaves out rooms that are for our users only. */
  readonly isForServer?: boolean
}

/** One room of the directory. Spec: public_rooms_chunk.yaml. */
export interface PublicRoom {
  readonly room_id: string
  readonly num_joined_members: number
  readonly world_readable: boolean
  readonly guest_can_join: boolean
  readonly join_rule: string
  readonly name?: string
  readonly topic?: string
  readonly canonical_alias?: string
  readonly avatar_url?: string
  readonly room_type?: string
}

export interface PublicRoomsPage {
  readonly chunk: readonly PublicRoom[]
  readonly next_batch?: string
  readonly prev_batch?: string
  readonly total_room_count_estimate: number
}

/** Where a page begins: after or before a room of that size. */
interface Place {
  readonly direction: 'f' | 'b'
  readonly room: PublishedRoom
}

/** Lists the published rooms, the biggest first. */
export class PublicRooms {
  readonly #database: Database
  readonly #cards: RoomCards
  readonly #isEnabled: boolean

  /** `isEnabled` is the option enable_room_list_search; without it the directory looks empty. */
  constructor(deps: { database: Database; cards: RoomCards; isEnabled: boolean }) {
    this.#database = deps.database
    this.#cards = deps.cards
    this.#isEnabled = deps.isEnabled
  }

  /** Reads a page. Throws M_INVALID_PARAM on a malformed token. Spec: list_public_rooms.yaml. */
  async list(query: PublicRoomsQuery): Promise<PublicRoomsPage> {
    if (!this.#isEnabled) return { chunk: [], total_room_count_estimate: 0 }
    const start = query.since === undefined || query.since === '' ? undefined : parsePlace(query.since)
    const direction = start?.direction ?? 'f'
    const [{ rooms, hasMore }, total] = await Promise.all([
      this.#collect(query, direction, start?.room),
      countPublishedRooms(this.#database),
    ])
    if (direction === 'b') rooms.reverse()
    const first = rooms[0]
    const last = rooms.at(-1)
    const hasNext = direction === 'f' ? hasMore : start !== undefined
    const hasPrevious = direction === 'b' ? hasMore : start !== undefined
    return {
      chunk: rooms.map(({ room, card }) => toPublicRoom(card, room.joinedCount)),
      total_room_count_estimate: total,
      ...(hasNext && last ? { next_batch: formatPlace({ direction: 'f', room: last.room }) } : {}),
      ...(hasPrevious && first ? { prev_batch: formatPlace({ direction: 'b', room: first.room }) } : {}),
    }
  }

  async #collect(
    query: PublicRoomsQuery,
    direction: 'f' | 'b',
    start: PublishedRoom | undefined,
  ): Promise<{ rooms: { room: PublishedRoom; card: RoomCard }[]; hasMore: boolean }> {
    const isFiltered = query.searchTerm !== undefined || query.roomTypes !== undefined || query.isForServer === true
    const pageSize = isFiltered ? SCAN_ROOMS : query.limit + 1
    const found: { room: PublishedRoom; card: RoomCard }[] = []
    let place = start
    for (let scan = 0; scan < SCANS_MAX; scan++) {
      const page = await getPublishedRooms(this.#database, { direction, place, limit: pageSize })
      const cards = await this.#cards.get(page.map((room) => room.roomId))
      for (const room of page) {
        const card = cards.get(room.roomId)
        if (card && isListed(card) && isWanted(card, query)) found.push({ room, card })
      }
      if (found.length > query.limit) return { rooms: found.slice(0, query.limit), hasMore: true }
      if (page.length < pageSize) break
      place = page.at(-1)
    }
    return { rooms: found, hasMore: false }
  }
}

/** Writes a card as the directory has it. */
export function toPublicRoom(card: RoomCard, joinedCount: number): PublicRoom {
  return {
    room_id: card.roomId,
    num_joined_members: joinedCount,
    world_readable: card.isWorldReadable,
    guest_can_join: card.canGuestsJoin,
    join_rule: card.joinRule,
    ...(card.name === undefined ? {} : { name: card.name }),
    ...(card.topic === undefined ? {} : { topic: card.topic }),
    ...(card.canonicalAlias === undefined ? {} : { canonical_alias: card.canonicalAlias }),
    ...(card.avatarUrl === undefined ? {} : { avatar_url: card.avatarUrl }),
    ...(card.roomType === undefined ? {} : { room_type: card.roomType }),
  }
}

/** A published room that became invite-only shows itself to nobody. Behaviour of Synapse. */
function isListed(card: RoomCard): boolean {
  return card.isWorldReadable || (card.joinRule !== 'invite' && card.joinRule !== 'private')
}

function isWanted(card: RoomCard, query: PublicRoomsQuery): boolean {
  if (query.isForServer === true && !card.isFederated) return false
  if (query.roomTypes !== undefined && !query.roomTypes.includes(card.roomType ?? null)) return false
  const term = query.searchTerm?.trim().toLowerCase()
  if (term === undefined || term === '') return true
  return (
    [card.name, card.topic, card.canonicalAlias].some((text) => text?.toLowerCase().includes(term) === true) ||
    card.roomId.toLowerCase() === term
  )
}

function formatPlace(place: Place): string {
  return `${place.direction}${place.room.joinedCount}.${Buffer.from(place.room.roomId).toString('base64url')}`
}

function parsePlace(token: string): Place {
  const match = /^([fb])([0-9]{1,9})\.([A-Za-z0-9_-]{1,400})$/.exec(token)
  if (!match) throw invalidParam('The pagination token is malformed')
  const roomId = Buffer.from(match[3] ?? '', 'base64url').toString() as RoomId
  // U+0000 is no character for the database.
  if (roomId.includes('\u0000')) throw invalidParam('The pagination token is malformed')
  return { direction: match[1] === 'b' ? 'b' : 'f', room: { joinedCount: Number(match[2]), roomId } }
}
