import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'

/** Rooms that are remembered after the last one there stopped. Beyond, all quiet ones are forgotten. */
const QUIET_ROOMS_MAX = 50_000

interface TypingRoom {
  readonly userIds: readonly UserId[]
  readonly lastChanged: StreamPosition
}

/** Who types where, as the rows of the stream tell it: the same in every process. In memory only. */
export class TypingLists {
  readonly #hub: StreamHub
  readonly #rooms = new Map<RoomId, TypingRoom>()

  constructor(deps: { hub: StreamHub }) {
    this.#hub = deps.hub
    deps.hub.onRow('typing', ({ roomId, userIds }, position) => {
      if (!this.#rooms.has(roomId as RoomId)) this.#forgetQuietRooms()
      this.#rooms.set(roomId as RoomId, { userIds: userIds as readonly UserId[], lastChanged: position })
    })
  }

  #forgetQuietRooms(): void {
    if (this.#rooms.size < QUIET_ROOMS_MAX) return
    for (const [roomId, room] of this.#rooms) if (room.userIds.length === 0) this.#rooms.delete(roomId)
  }

  /** Who types in the room now. */
  getUsers(roomId: RoomId): readonly UserId[] {
    return this.#rooms.get(roomId)?.userIds ?? []
  }

  /** The lists of those of the rooms that changed after the position. */
  getChanged(query: { roomIds: Iterable<RoomId>; after: StreamPosition }): Map<RoomId, readonly UserId[]> {
    const changed = new Map<RoomId, readonly UserId[]>()
    if (this.#hub.head('typing') <= query.after) return changed
    for (const roomId of query.roomIds) {
      const room = this.#rooms.get(roomId)
      if (room && room.lastChanged > query.after) changed.set(roomId, room.userIds)
    }
    return changed
  }

  /** The lists that changed after the position, in the order of their changes: what a reader with a gap has missed. */
  listSince(after: StreamPosition): { position: StreamPosition; row: { roomId: RoomId; userIds: readonly UserId[] } }[] {
    return [...this.#rooms]
      .filter(([, room]) => room.lastChanged > after)
      .map(([roomId, room]) => ({ position: room.lastChanged, row: { roomId, userIds: room.userIds } }))
      .toSorted((a, b) => a.position - b.position)
  }
}
