import type { RoomId } from '../../protocol/ids.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const ROOMS_MAX = 20_000
/** Memory for events over all rooms; what an event takes besides its text, and a room besides its events. */
const BYTES_MAX = 32 * 1024 * 1024
const EVENT_BYTES = 900
const ROOM_BYTES = 400
/** Events held of each room. */
const EVENTS_PER_ROOM_MAX = 60
/** Dropped in one go when a room is over its maximum, so that shifting is rare. */
const EVENTS_PER_ROOM_KEPT = 40

/** A recent event in memory. */
export interface RecentEvent {
  readonly position: StreamPosition
  readonly row: EventRow
  /** It was redacted, or another event relates to it: what readers get must be made anew from the database. */
  isChanged: boolean
}

interface RoomTimeline {
  /** Every event of the room after this position is in `events`. */
  floor: number
  bytes: number
  readonly events: RecentEvent[]
}

/**
 * The newest events of the rooms where something happened lately, in client format, fed by the events stream: what an
 * incremental /sync answers from without a query.
 */
export class RoomTimelines {
  readonly #hub: StreamHub
  readonly #bytesMax: number
  #bytes = 0
  /** Somebody reads: a process that serves no /sync keeps nothing. */
  #isRead = false
  readonly #rooms = cacheOfEntries<string, RoomTimeline>(ROOMS_MAX, { onRemoved: (room) => (this.#bytes -= room.bytes) })

  /** `cacheFactor` multiplies the memory it may take. */
  constructor(deps: { hub: StreamHub; cacheFactor?: number }) {
    this.#hub = deps.hub
    this.#bytesMax = BYTES_MAX * (deps.cacheFactor ?? 1)
    deps.hub.onRow('events', (row, position) => this.#append(row, position))
    deps.hub.onReset('events', () => this.#rooms.clear())
    deps.hub.onPurge(({ roomId }) => this.#rooms.delete(roomId))
  }

  #append(row: EventRow, position: StreamPosition): void {
    if (!this.#isRead) return
    let room = this.#rooms.get(row.roomId)
    if (!room) {
      room = { floor: this.#hub.head('events'), bytes: 0, events: [] }
      this.#resize(room, ROOM_BYTES)
      this.#rooms.set(row.roomId, room)
    }
    if (row.redacts !== undefined) markChanged(room, row.redacts)
    if (row.relation) markChanged(room, row.relation.eventId)
    room.events.push({ position, row, isChanged: false })
    this.#resize(room, bytesOf(row))
    if (room.events.length > EVENTS_PER_ROOM_MAX) {
      const dropped = room.events.splice(0, room.events.length - EVENTS_PER_ROOM_KEPT)
      room.floor = dropped.at(-1)?.position ?? room.floor
      for (const event of dropped) this.#resize(room, -bytesOf(event.row))
    }
    // The room that was just written to is the newest and goes last.
    while (this.#bytes > this.#bytesMax && this.#rooms.size > 1) this.#rooms.pop()
  }

  #resize(room: RoomTimeline, bytes: number): void {
    room.bytes += bytes
    this.#bytes += bytes
  }

  /** The room's events with after < position <= upTo, oldest first; undefined where memory does not reach back that far. */
  getSince(roomId: RoomId, after: StreamPosition, upTo: StreamPosition): readonly RecentEvent[] | undefined {
    this.#isRead = true
    const room = this.#rooms.get(roomId)
    if (!room || room.floor > after) return undefined
    const { events } = room
    let start = events.length
    while (start > 0 && (events[start - 1] as RecentEvent).position > after) start--
    let end = events.length
    while (end > start && (events[end - 1] as RecentEvent).position > upTo) end--
    return events.slice(start, end)
  }
}

function bytesOf(row: EventRow): number {
  return EVENT_BYTES + row.clientJson.length
}

function markChanged(room: RoomTimeline, eventId: string): void {
  for (const event of room.events) if (event.row.eventId === eventId) event.isChanged = true
}
