import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getRoomsOfOwnReceipts } from '../../storage/tables/sliding-sync.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const USERS_MAX = 20_000
const NO_ROOMS: readonly RoomId[] = []

interface OfUser {
  last: number
  readonly rooms: Map<RoomId, number>
}

/** Knows in which rooms a user has read further: there the unread counts are others, though no event has come. */
export class OwnReceipts {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #users = cacheOfEntries<UserId, OfUser>(USERS_MAX, {
    onRemoved: ({ last }, _userId, reason) => {
      if (reason === 'evict') this.#floor = Math.max(this.#floor ?? 0, last)
    },
  })
  /** Of every user it is known what came after this. */
  #floor: number | undefined

  constructor(deps: { database: Database; hub: StreamHub }) {
    this.#database = deps.database
    this.#hub = deps.hub
    deps.hub.onRow('receipts', (row, position) => {
      this.#floor ??= this.#hub.head('receipts')
      const userId = row.userId as UserId
      const known = this.#users.get(userId)
      if (!known) this.#users.set(userId, { last: position, rooms: new Map([[row.roomId as RoomId, position]]) })
      else {
        known.last = position
        known.rooms.set(row.roomId as RoomId, position)
      }
    })
    deps.hub.onReset('receipts', (head) => {
      this.#users.clear()
      this.#floor = head
    })
  }

  /** The rooms of those given where the user's receipts moved in (after, upTo]. From memory, for clients that keep up. */
  async getRooms(
    userId: UserId,
    range: { readonly after: number; readonly upTo: number; readonly roomIds: Iterable<RoomId> },
  ): Promise<readonly RoomId[]> {
    if (range.upTo <= range.after) return NO_ROOMS
    if (range.after < (this.#floor ?? this.#hub.head('receipts')))
      return getRoomsOfOwnReceipts(this.#database, { ...range, userId, roomIds: [...range.roomIds] })
    const known = this.#users.get(userId)
    if (!known || known.last <= range.after) return NO_ROOMS
    return [...known.rooms].flatMap(([roomId, position]) => (position > range.after ? [roomId] : []))
  }
}
