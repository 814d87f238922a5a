import type { RoomId, UserId } from '../../protocol/ids.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { TypingChange, TypingWriter } from './typing.ts'
import type { TypingLists } from './typing-lists.ts'

// Synapse's bounds: a client that says nothing types for half a minute, and nobody types for more than two.
const TIMEOUT_DEFAULT_MS = 30_000
const TIMEOUT_MAX_MS = 120_000
/** Further people who type at once in a room are not shown. */
const TYPING_USERS_MAX = 200
const COUNTERS_PER_EPOCH = 2 ** 32

/**
 * Writes the stream `typing` while this process holds the role: keeps the time for everybody who types. Positions are
 * (epoch << 32) + counter, so that they grow over all holders. A new holder goes on with the lists that it has read.
 */
export class TypingOwner implements TypingWriter {
  readonly #hub: StreamHub
  readonly #lists: TypingLists
  /** Who types, each with the timer that ends it. */
  readonly #rooms = new Map<RoomId, Map<UserId, NodeJS.Timeout>>()
  #position = 0 as StreamPosition
  #isHolder = false

  constructor(deps: { hub: StreamHub; lists: TypingLists }) {
    this.#hub = deps.hub
    this.#lists = deps.lists
    deps.hub.onRow('events', (row) => {
      // Who has left types no more.
      if (!this.#isHolder) return
      for (const { membership, stateKey } of memberChangesOf(row))
        if (membership !== 'join') this.#stop(row.roomId as RoomId, stateKey as UserId)
    })
  }

  /** Takes the role over with the epoch of its lease. */
  start(epoch: number): void {
    this.#isHolder = true
    this.#position = (epoch * COUNTERS_PER_EPOCH) as StreamPosition
    for (const { row } of this.#lists.listSince(0 as StreamPosition)) {
      for (const userId of row.userIds) this.#startTimer(row.roomId, userId, TIMEOUT_DEFAULT_MS)
    }
    this.#hub.commit({ stream: 'typing', lane: 0, prev: 0, rows: [], head: this.#position })
  }

  /** Gives the role back. */
  stop(): void {
    this.#isHolder = false
    for (const users of this.#rooms.values()) for (const timer of users.values()) clearTimeout(timer)
    this.#rooms.clear()
  }

  get isHolder(): boolean {
    return this.#isHolder
  }

  set(change: TypingChange): Promise<void> {
    const { userId, roomId } = change
    if (!change.isTyping) {
      this.#stop(roomId, userId)
      return Promise.resolve()
    }
    const users = this.#rooms.get(roomId)
    const wasTyping = users?.has(userId) ?? false
    if (!wasTyping && (users?.size ?? 0) >= TYPING_USERS_MAX) return Promise.resolve()
    this.#startTimer(roomId, userId, Math.max(0, Math.min(change.timeoutMs ?? TIMEOUT_DEFAULT_MS, TIMEOUT_MAX_MS)))
    // Who goes on typing is no news.
    if (!wasTyping) this.#announce(roomId)
    return Promise.resolve()
  }

  #startTimer(roomId: RoomId, userId: UserId, timeoutMs: number): void {
    const users = this.#rooms.get(roomId) ?? new Map<UserId, NodeJS.Timeout>()
    clearTimeout(users.get(userId))
    users.set(userId, setTimeout(() => this.#stop(roomId, userId), timeoutMs).unref())
    this.#rooms.set(roomId, users)
  }

  #stop(roomId: RoomId, userId: UserId): void {
    const users = this.#rooms.get(roomId)
    const running = users?.get(userId)
    if (!users || running === undefined) return
    clearTimeout(running)
    users.delete(userId)
    this.#announce(roomId)
    if (users.size === 0) this.#rooms.delete(roomId)
  }

  #announce(roomId: RoomId): void {
    const prev = this.#position
    const position = (prev + 1) as StreamPosition
    this.#position = position
    const userIds = [...(this.#rooms.get(roomId)?.keys() ?? [])]
    this.#hub.commit({ stream: 'typing', lane: 0, prev, rows: [{ position, row: { roomId, userIds } }] })
  }
}
