import type { RoomId } from '../../protocol/ids.ts'
import type { RoomFacts } from './room-facts.ts'
import type { ListFilters } from './sliding-request.ts'

/** A room that lists of one user may hold. */
export interface ListedRoom {
  readonly roomId: RoomId
  membership: string
  facts: RoomFacts
  /** What the lists are sorted by, the highest first: the bump stamp, or the position of the membership for who is not joined. */
  sortKey: number
}

/** What account data says of the user's rooms. */
export interface RoomMarks {
  /** Rooms of `m.direct`. */
  readonly directRooms: ReadonlySet<string>
  readonly tags: ReadonlyMap<RoomId, ReadonlySet<string>>
}

interface View {
  readonly filters: ListFilters
  readonly spaces: readonly ReadonlySet<string>[] | undefined
  readonly sorted: ListedRoom[]
}

/** Different filters of one user that are kept sorted. */
const VIEWS_MAX = 16

/** The rooms of one user in the order of lists. A message moves one room; nothing is sorted anew for it. */
export class UserRooms {
  readonly rooms = new Map<RoomId, ListedRoom>()
  readonly marks: RoomMarks
  /** Account data is known up to here. */
  readonly marksAsOf: number
  /** Position of the events stream that the rooms are up to. */
  asOf = 0
  readonly #views = new Map<string, View>()

  constructor(marks: RoomMarks, marksAsOf: number) {
    this.marks = marks
    this.marksAsOf = marksAsOf
  }

  /** Puts a room where it belongs now; `listed` undefined takes it out. */
  place(roomId: RoomId, listed: Omit<ListedRoom, 'roomId'> | undefined): void {
    const before = this.rooms.get(roomId)
    if (before) for (const view of this.#views.values()) remove(view.sorted, before)
    if (!listed) {
      this.rooms.delete(roomId)
      return
    }
    const room = before ? Object.assign(before, listed) : { roomId, ...listed }
    if (!before) this.rooms.set(roomId, room)
    for (const view of this.#views.values()) if (this.#isKept(room, view)) insert(view.sorted, room)
  }

  /** The rooms that the filters keep, in order. `spaces`: the children of each space of the filter. The array changes later. */
  getSorted(filters: ListFilters, spaces: readonly ReadonlySet<string>[] | undefined): readonly ListedRoom[] {
    const key = JSON.stringify(filters)
    const known = this.#views.get(key)
    if (known && isSameList(known.spaces, spaces)) return known.sorted
    const view: View = { filters, spaces, sorted: [] }
    for (const room of this.rooms.values()) if (this.#isKept(room, view)) view.sorted.push(room)
    view.sorted.sort((a, b) => b.sortKey - a.sortKey)
    this.#views.delete(key)
    this.#views.set(key, view)
    const [oldest] = this.#views.keys()
    if (this.#views.size > VIEWS_MAX && oldest !== undefined) this.#views.delete(oldest)
    return view.sorted
  }

  #isKept(room: ListedRoom, { filters, spaces }: View): boolean {
    const { facts } = room
    if (filters.isDm !== undefined && this.marks.directRooms.has(room.roomId) !== filters.isDm) return false
    if (filters.isEncrypted !== undefined && facts.isEncrypted !== filters.isEncrypted) return false
    if (filters.isInvite !== undefined && (room.membership === 'invite') !== filters.isInvite) return false
    if (filters.notRoomTypes?.includes(facts.roomType ?? null) === true) return false
    if (filters.roomTypes?.includes(facts.roomType ?? null) === false) return false
    if (filters.roomNameLike !== undefined && !includesText(facts.name, filters.roomNameLike)) return false
    if (spaces?.some((children) => children.has(room.roomId)) === false) return false
    const tags = this.marks.tags.get(room.roomId)
    if (filters.notTags?.some((tag) => tags?.has(tag) === true) === true) return false
    return filters.tags === undefined || filters.tags.some((tag) => tags?.has(tag) === true)
  }
}

function includesText(name: string | undefined, part: string): boolean {
  return name !== undefined && name.toLowerCase().includes(part.toLowerCase())
}

function isSameList<T>(one: readonly T[] | undefined, other: readonly T[] | undefined): boolean {
  return one === other || (one?.length === other?.length && one?.every((item, index) => item === other?.[index]) === true)
}

function remove(sorted: ListedRoom[], room: ListedRoom): void {
  const index = sorted.indexOf(room)
  if (index !== -1) sorted.splice(index, 1)
}

/** What moves, moves to the top: the search begins there. */
function insert(sorted: ListedRoom[], room: ListedRoom): void {
  let index = 0
  while (index < sorted.length && (sorted[index] as ListedRoom).sortKey > room.sortKey) index++
  sorted.splice(index, 0, room)
}
