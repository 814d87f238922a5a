import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { drawTypingEpoch } from '../../storage/tables/typing-epoch.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'

// Synapse's bounds: a client that says nothing types for half a minute, and nobody types for more than two.
const TIMEOUT_DEFAULT_MS = 30_000
const TIMEOUT_MAX_MS = 120_000
/** Further people who type at once in a room are not shown. */
const TYPING_USERS_MAX = 200
/** Rooms that are remembered after the last one there stopped. Beyond, all quiet ones are forgotten. */
const QUIET_ROOMS_MAX = 50_000
const COUNTERS_PER_EPOCH = 2 ** 32

interface TypingRoom {
  /** Who types, each with the timer that ends it. */
  readonly users: Map<UserId, NodeJS.Timeout>
  lastChanged: StreamPosition
}

interface JoinedCheck {
  isJoined(userId: UserId, roomId: RoomId): Promise<boolean>
}

/**
 * Knows who types, in memory only. Positions are (epoch << 32) + counter with an epoch of each start, so that they grow
 * over restarts. Spec: client-server-api § Typing Notifications.
 */
export class Typing {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #memberships: JoinedCheck
  readonly #rooms = new Map<RoomId, TypingRoom>()
  #position = 0 as StreamPosition

  constructor(deps: { database: Database; hub: StreamHub; memberships: JoinedCheck }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#memberships = deps.memberships
    deps.hub.onRow('events', (row) => {
      // Who has left types no more.
      if (row.membership !== undefined && row.membership !== 'join' && row.stateKey !== undefined) {
        this.#stop(row.roomId as RoomId, row.stateKey as UserId)
      }
    })
  }

  /** Takes the stream over. Must be called before the first request, after the heads were set. */
  async start(): Promise<void> {
    this.#position = ((await drawTypingEpoch(this.#database)) * COUNTERS_PER_EPOCH) as StreamPosition
    this.#hub.setHead('typing', 0, this.#position)
  }

  /** Says that a user types for the time, or not any more. Throws M_FORBIDDEN for who is not in the room. */
  async set(typing: { userId: UserId; roomId: RoomId; isTyping: boolean; timeoutMs?: number | undefined }): Promise<void> {
    const { userId, roomId } = typing
    if (!(await this.#memberships.isJoined(userId, roomId))) throw new MatrixError('M_FORBIDDEN', 'You are not in the room')
    if (!typing.isTyping) {
      this.#stop(roomId, userId)
      return
    }
    const room = this.#rooms.get(roomId) ?? { users: new Map<UserId, NodeJS.Timeout>(), lastChanged: this.#position }
    const running = room.users.get(userId)
    if (running === undefined && room.users.size >= TYPING_USERS_MAX) return
    clearTimeout(running)
    const timeoutMs = Math.max(0, Math.min(typing.timeoutMs ?? TIMEOUT_DEFAULT_MS, TIMEOUT_MAX_MS))
    room.users.set(userId, setTimeout(() => this.#stop(roomId, userId), timeoutMs).unref())
    if (!this.#rooms.has(roomId)) this.#forgetQuietRooms()
    this.#rooms.set(roomId, room)
    // Who goes on typing is no news.
    if (running === undefined) this.#announce(roomId, room)
  }

  #stop(roomId: RoomId, userId: UserId): void {
    const room = this.#rooms.get(roomId)
    const running = room?.users.get(userId)
    if (!room || running === undefined) return
    clearTimeout(running)
    room.users.delete(userId)
    this.#announce(roomId, room)
  }

  #forgetQuietRooms(): void {
    if (this.#rooms.size < QUIET_ROOMS_MAX) return
    for (const [roomId, room] of this.#rooms) if (room.users.size === 0) this.#rooms.delete(roomId)
  }

  #announce(roomId: RoomId, room: TypingRoom): void {
    const prev = this.#position
    const position = (prev + 1) as StreamPosition
    this.#position = position
    room.lastChanged = position
    this.#hub.apply({ stream: 'typing', lane: 0, prev, rows: [{ position, row: { roomId, userIds: [...room.users.keys()] } }] })
  }

  /** Who types in the room now. */
  getUsers(roomId: RoomId): UserId[] {
    return [...(this.#rooms.get(roomId)?.users.keys() ?? [])]
  }

  /** When the room's list changed last; 0 where nobody typed since the start. */
  lastChanged(roomId: RoomId): StreamPosition {
    return this.#rooms.get(roomId)?.lastChanged ?? (0 as StreamPosition)
  }

  /** The lists of those of the rooms that changed after the position; from memory. */
  getChanged(query: { roomIds: Iterable<RoomId>; after: StreamPosition }): Map<RoomId, UserId[]> {
    const changed = new Map<RoomId, UserId[]>()
    if (this.#position <= query.after) return changed
    for (const roomId of query.roomIds) {
      const room = this.#rooms.get(roomId)
      if (room && room.lastChanged > query.after) changed.set(roomId, [...room.users.keys()])
    }
    return changed
  }

  /** Stops the timers. */
  close(): void {
    for (const room of this.#rooms.values()) for (const timer of room.users.values()) clearTimeout(timer)
    this.#rooms.clear()
  }
}
