import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsOfRooms } from '../../storage/tables/events.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Clock } from '../../util/clock.ts'
import type { EventReader } from '../events/event-reader.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { RoomAccess } from '../rooms/reading/room-access.ts'
import type { RoomMessages, RoomReader } from '../rooms/reading/room-messages.ts'
import type { RoomViews } from '../rooms/reading/room-view.ts'

const CHUNK_EVENTS_MAX = 100
const TIMEOUT_MS_MAX = 60_000
/** Requests parked at once; more are refused. */
const WAITERS_MAX = 10_000

export interface EventStreamRequest {
  /** Undefined: from now on. */
  readonly from: number | undefined
  /** A room to look into without joining; undefined for all rooms of the user. */
  readonly roomId: RoomId | undefined
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export interface EventStreamChunk {
  readonly start: number
  readonly end: number
  readonly chunk: readonly string[]
}

interface Waiter {
  readonly userId: UserId
  readonly rooms: ReadonlySet<string>
  wake(): void
}

export interface EventStreamDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly clock: Clock
  readonly events: EventReader
  readonly memberships: Memberships
  readonly access: RoomAccess
  readonly views: RoomViews
  readonly messages: RoomMessages
}

/** Gives new events as they come, for clients older than /sync and for those who peek. Spec: old_sync.yaml, peeking_events.yaml. */
export class EventStream {
  readonly #deps: EventStreamDeps
  readonly #waiters = new Set<Waiter>()

  constructor(deps: EventStreamDeps) {
    this.#deps = deps
    const woken = new Set<Waiter>()
    deps.hub.onRow('events', (row) => {
      const members = memberChangesOf(row)
      for (const waiter of this.#waiters)
        if (waiter.rooms.has(row.roomId) || members.some(({ stateKey }) => stateKey === waiter.userId)) woken.add(waiter)
    })
    deps.hub.onReset('events', () => {
      for (const waiter of this.#waiters) woken.add(waiter)
    })
    deps.hub.onAdvance('events', () => {
      for (const waiter of woken) waiter.wake()
      woken.clear()
    })
  }

  /** Reads what is new, and waits where nothing is. Throws M_FORBIDDEN for a room that may not be looked into. */
  async read(reader: RoomReader, request: EventStreamRequest): Promise<EventStreamChunk> {
    const { hub, clock } = this.#deps
    if (request.from !== undefined) await hub.catchUpTo('events', 0, request.from)
    const start = Math.min(request.from ?? hub.head('events'), hub.head('events'))
    const deadlineMs = clock.monotonicMs() + Math.min(request.timeoutMs, TIMEOUT_MS_MAX)
    let position = start
    for (;;) {
      const roomIds = await this.#getRooms(reader.viewer.userId, request.roomId, position)
      const upTo = hub.head('events')
      const found =
        upTo > position ? await this.#readOnce(reader, { roomIds, after: position, upTo }) : { chunk: [], end: position }
      position = found.end
      const leftMs = deadlineMs - clock.monotonicMs()
      if (found.chunk.length > 0 || leftMs <= 0 || request.signal.aborted) return { start, end: position, chunk: found.chunk }
      if (hub.head('events') > position) continue
      await hub.park(this.#wait({ userId: reader.viewer.userId, rooms: new Set(roomIds) }, leftMs, request.signal))
    }
  }

  /** The rooms that the user is in, and those that they entered or left since; from memory. */
  async #getRooms(userId: UserId, roomId: RoomId | undefined, after: number): Promise<RoomId[]> {
    if (roomId !== undefined) return [(await this.#deps.access.getReading(userId, roomId)).roomId]
    const memberships = await this.#deps.memberships.getOfUser(userId)
    return Array.from(memberships).flatMap(([id, { membership, position }]) =>
      membership === 'join' || position > after ? [id] : [],
    )
  }

  async #readOnce(
    reader: RoomReader,
    range: { readonly roomIds: readonly RoomId[]; readonly after: number; readonly upTo: number },
  ): Promise<{ chunk: string[]; end: number }> {
    if (range.roomIds.length === 0) return { chunk: [], end: range.upTo }
    const records = await getEventsOfRooms(this.#deps.database, { ...range, limit: CHUNK_EVENTS_MAX })
    const end = records.length < CHUNK_EVENTS_MAX ? range.upTo : (records.at(-1)?.position ?? range.upTo)
    if (records.length === 0) return { chunk: [], end }
    const views = await this.#deps.views.getOfRooms(reader.viewer.userId, [...new Set(records.map((record) => record.roomId))])
    const visible = records
      .map((record) => this.#deps.events.remember(record))
      .filter((stored) => stored.event.stateKey !== undefined || !reader.ignoredUsers.has(stored.event.sender))
      .filter((stored) => (views.get(stored.event.roomId)?.filter([stored]).length ?? 0) > 0)
    const memberships = new Map(
      visible.map(
        (stored) =>
          [stored.event.eventId, views.get(stored.event.roomId)?.membershipAt(stored.position ?? 0) ?? 'leave'] as const,
      ),
    )
    return { chunk: await this.#deps.messages.writeWith(reader.viewer, visible, memberships), end }
  }

  #wait(who: Omit<Waiter, 'wake'>, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#waiters.size >= WAITERS_MAX)
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many requests wait', { extra: { retry_after_ms: 5000 } })
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        this.#waiters.delete(waiter)
        resolve()
      }
      const waiter: Waiter = { ...who, wake: end }
      const timer = setTimeout(end, timeoutMs)
      signal.addEventListener('abort', end)
      this.#waiters.add(waiter)
    })
  }
}
