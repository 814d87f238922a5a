import { LRUCache } from 'lru-cache'
import type { RoomId } from '../../protocol/ids.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, StreamPosition } from '../../streams/streams.ts'

/** Rooms whose newest events are held, and events held of each. */
const ROOMS_MAX = 20_000
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
  readonly events: RecentEvent[]
}

/**
 * The newest events of the rooms where something happened lately, in client format, fed by the events stream: what an
 * incremental /sync answers from without a query.
 */
export class RoomTimelines {
  readonly #hub: StreamHub
  readonly #rooms = new LRUCache<string, RoomTimeline>({ max: ROOMS_MAX })

  constructor(deps: { hub: StreamHub }) {
    this.#hub = deps.hub
    deps.hub.onRow('events', (row, position) => this.#append(row, position))
  }

  #append(row: EventRow, position: StreamPosition): void {
    let room = this.#rooms.get(row.roomId)
    if (!room) {
      room = { floor: this.#hub.head('events'), events: [] }
      this.#rooms.set(row.roomId, room)
    }
    if (row.redacts !== undefined) markChanged(room, row.redacts)
    if (row.relation) markChanged(room, row.relation.eventId)
    room.events.push({ position, row, isChanged: false })
    if (room.events.length > EVENTS_PER_ROOM_MAX) {
      const dropped = room.events.splice(0, room.events.length - EVENTS_PER_ROOM_KEPT)
      room.floor = dropped.at(-1)?.position ?? room.floor
    }
  }

  /** The room's events with after < position <= upTo, oldest first; undefined where memory does not reach back that far. */
  getSince(roomId: RoomId, after: StreamPosition, upTo: StreamPosition): readonly RecentEvent[] | undefined {
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

function markChanged(room: RoomTimeline, eventId: string): void {
  for (const event of room.events) if (event.row.eventId === eventId) event.isChanged = true
}
