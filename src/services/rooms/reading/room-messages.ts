import { MatrixError } from '../../../protocol/errors.ts'
import { toClientEventJson } from '../../../protocol/events/client-event.ts'
import type { EventFilter } from '../../../protocol/filters/event-filter.ts'
import type { EventId, RoomId, UserId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getRoomSlots, getRoomStateAsOf } from '../../../storage/tables/room-reads.ts'
import type { RoomStateRow } from '../../../storage/tables/room-reads.ts'
import { placeAfter, placeBefore, placeOf } from '../../../streams/history-place.ts'
import type { StreamHub } from '../../../streams/stream-hub.ts'
import type { Requester } from '../../accounts/requester.ts'
import { viewerOf } from '../../events/client-events.ts'
import type { ClientEvents, Viewer } from '../../events/client-events.ts'
import type { EventReader, StoredEvent } from '../../events/event-reader.ts'
import { stateRecordToEvent } from '../../events/state-records.ts'
import type { RoomAccess } from './room-access.ts'
import { filterHistory } from './history-view.ts'
import type { PageRange, PageWish, RoomPage, RoomPages } from './room-pages.ts'
import { NOW } from './room-slots.ts'
import { RoomView } from './room-view.ts'
import type { RoomViews } from './room-view.ts'

/** How often one request asks other servers for more. */
const FILLS_MAX = 3

/** Who reads, in which form. */
export interface RoomReader {
  readonly viewer: Viewer
  readonly ignoredUsers: ReadonlySet<string>
  /** An administrator, who may read every room. */
  readonly isAdmin?: boolean
}

export interface MessagesRequest {
  readonly roomId: RoomId
  readonly direction: 'b' | 'f'
  /** Token positions; undefined for the end of the timeline at which the direction begins, or has no bound. */
  readonly from: number | undefined
  readonly to: number | undefined
  readonly limit: number
  readonly filter: EventFilter | undefined
}

export interface MessagesPage {
  readonly startPosition: number
  /** Undefined where nothing is left. */
  readonly endPosition: number | undefined
  readonly chunk: readonly string[]
  readonly state: readonly string[] | undefined
}

export interface EventContext {
  readonly event: string
  /** Newest first. */
  readonly before: readonly string[]
  readonly after: readonly string[]
  readonly startPosition: number
  readonly endPosition: number
  readonly state: readonly string[]
  readonly stored: StoredEvent
}

/** Where history comes from that other servers have. */
export interface MissingHistory {
  /** Fetches some of what is missing in a part of a room's history; tells whether anything came. */
  fetchMissing(
    range: { readonly roomId: RoomId; readonly low: number; readonly high: number },
    wantedCount: number,
  ): Promise<boolean>
  /** The events before which something is missing, the latest first. */
  findGaps(range: {
    readonly roomId: RoomId
    readonly low: number
    readonly high: number
  }): Promise<readonly { readonly position: number | null; readonly ordinal: number }[]>
}

export interface RoomMessagesDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly access: RoomAccess
  readonly views: RoomViews
  readonly pages: RoomPages
  readonly events: EventReader
  readonly clientEvents: ClientEvents
  readonly accountData: { getIgnoredUsers(userId: UserId): Promise<ReadonlySet<string>> }
}

/** Reads timelines of rooms: pages, single events, and what stands around an event. All events come as JSON texts. */
export class RoomMessages {
  readonly #deps: RoomMessagesDeps
  #history: MissingHistory | undefined

  constructor(deps: RoomMessagesDeps) {
    this.#deps = deps
  }

  /** Says who fetches what is missing of the rooms' history here. */
  setHistory(history: MissingHistory): void {
    this.#history = history
  }

  /** Who asks, and whom they do not want to hear. */
  async readerOf(requester: Requester): Promise<RoomReader> {
    return { viewer: viewerOf(requester), ignoredUsers: await this.#deps.accountData.getIgnoredUsers(requester.userId) }
  }

  /** An administrator as reader of any room. */
  adminOf(requester: Requester): RoomReader {
    return { viewer: viewerOf(requester), ignoredUsers: new Set(), isAdmin: true }
  }

  #viewOf(reader: RoomReader, roomId: RoomId): Promise<RoomView> {
    const { userId } = reader.viewer
    return reader.isAdmin === true
      ? Promise.resolve(new RoomView(userId, [], { seesAll: true }))
      : this.#deps.views.get(userId, roomId)
  }

  /** Reads a page of history. Throws M_FORBIDDEN. Spec: message_pagination.yaml. */
  async getPage(reader: RoomReader, request: MessagesRequest): Promise<MessagesPage> {
    const { roomId, direction, limit, filter } = request
    const { userId } = reader.viewer
    // The token may come from a process that is further.
    await this.#deps.hub.catchUpTo('events', 0, Math.floor(Math.max(request.from ?? 0, request.to ?? 0)))
    const [reading, view] = await Promise.all([
      reader.isAdmin === true ? { eventsUpTo: NOW } : this.#deps.access.getReading(userId, roomId),
      this.#viewOf(reader, roomId),
    ])
    const head = Math.min(this.#deps.hub.head('events'), reading.eventsUpTo)
    const startPosition = request.from ?? (direction === 'b' ? head : 0)
    const range =
      direction === 'b'
        ? { low: placeAfter(request.to ?? 0), high: Math.min(startPosition, head) }
        : { low: placeAfter(startPosition), high: Math.min(request.to ?? head, head) }
    const page = await this.#readPage({ roomId, direction, limit, ...range }, { view, filter, ignoredUsers: reader.ignoredUsers })
    const [chunk, state] = await Promise.all([
      this.write(reader.viewer, view, page.events),
      filter?.lazyLoadMembers === true ? this.#getMembersOf(roomId, page.events) : undefined,
    ])
    // An empty page says that the end is reached; before that, a client learns it with one more request.
    const isEnd = page.isExhausted && page.events.length === 0
    return { startPosition, endPosition: isEnd ? undefined : page.end, chunk, state }
  }

  /** Reads a page; backwards, what is missing in it is fetched from other servers first, as far as they have it at once. */
  async #readPage(range: PageRange, wish: PageWish): Promise<RoomPage> {
    const { roomId, direction, limit, high } = range
    const history = this.#history
    let page = await this.#deps.pages.read(range, wish)
    if (direction === 'f' || !history) return page
    for (let round = 0; round < FILLS_MAX; round++) {
      const low = page.isExhausted ? range.low : page.end
      if (!(await history.fetchMissing({ roomId, low, high }, limit))) break
      page = await this.#deps.pages.read(range, wish)
    }
    if (!page.isExhausted) return page
    // What could not be had now may be had later: the next page goes on from there.
    const gap = (await history.findGaps({ roomId, low: range.low, high })).at(-1)
    return gap ? { ...page, end: placeBefore(placeOf(gap)) } : page
  }

  /** Writes events that the user may see. */
  write(viewer: Viewer, view: RoomView, events: readonly StoredEvent[]): Promise<string[]> {
    return this.#deps.clientEvents.serialize(events, viewer, { memberships: view.membershipsAt(events) })
  }

  /** Writes events of several rooms, with the reader's membership at each. */
  writeWith(viewer: Viewer, events: readonly StoredEvent[], memberships: ReadonlyMap<EventId, string>): Promise<string[]> {
    return this.#deps.clientEvents.serialize(events, viewer, { memberships })
  }

  /** Reads one event, of any room if none is named. Throws M_NOT_FOUND also where the user may not see it. Spec: rooms.yaml, getOneRoomEvent. */
  async getEvent(reader: RoomReader, roomId: RoomId | undefined, eventId: EventId): Promise<string> {
    const { stored, view } = await this.getVisibleEvent(reader, roomId, eventId)
    const [text] = await this.write(reader.viewer, view, [stored])
    return text ?? ''
  }

  /** Finds an event that the user may see, together with the user's view. Throws M_NOT_FOUND. */
  async getVisibleEvent(
    reader: RoomReader,
    roomId: RoomId | undefined,
    eventId: EventId,
  ): Promise<{ stored: StoredEvent; view: RoomView }> {
    const stored = await this.#deps.events.getEvent(eventId)
    if (!stored || (roomId !== undefined && stored.event.roomId !== roomId)) throw notFound()
    const view = await this.#viewOf(reader, stored.event.roomId)
    const isIgnored = stored.event.stateKey === undefined && reader.ignoredUsers.has(stored.event.sender)
    if (isIgnored || (await filterHistory(this.#deps.database, view, [stored])).length === 0) throw notFound()
    return { stored, view }
  }

  /** Reads an event with its neighbours and the state after the last of them. Throws M_NOT_FOUND. Spec: event_context.yaml. */
  async getContext(
    reader: RoomReader,
    request: {
      readonly roomId: RoomId
      readonly eventId: EventId
      readonly limit: number
      readonly filter: EventFilter | undefined
    },
  ): Promise<EventContext> {
    const { roomId, eventId, filter } = request
    const { stored, view } = await this.getVisibleEvent(reader, roomId, eventId)
    const beforeLimit = Math.floor(request.limit / 2)
    const { before, after } = await this.getNeighbours(reader, view, {
      stored,
      beforeLimit,
      afterLimit: request.limit - beforeLimit,
      filter,
    })
    const events = [...before.events, stored, ...after.events]
    const lastPosition = after.events.at(-1)?.position ?? stored.position ?? 0
    const [texts, state] = await Promise.all([
      this.write(reader.viewer, view, events),
      this.getStateForEvents(roomId, lastPosition, events, filter),
    ])
    const index = before.events.length
    return {
      event: texts[index] ?? '',
      before: texts.slice(0, index),
      after: texts.slice(index + 1),
      startPosition: before.end,
      endPosition: after.end,
      state,
      stored,
    }
  }

  /** Reads what stands directly before and after an event. */
  async getNeighbours(
    reader: RoomReader,
    view: RoomView,
    request: {
      readonly stored: StoredEvent
      readonly beforeLimit: number
      readonly afterLimit: number
      readonly filter: EventFilter | undefined
    },
  ): Promise<{ before: RoomPage; after: RoomPage }> {
    const { stored, filter } = request
    const place = placeOf(stored)
    const { roomId } = stored.event
    const wish = { view, filter, ignoredUsers: reader.ignoredUsers }
    const [before, after] = await Promise.all([
      request.beforeLimit === 0
        ? { events: [], end: placeBefore(place), isExhausted: false }
        : this.#deps.pages.read(
            { roomId, direction: 'b', low: placeAfter(0), high: placeBefore(place), limit: request.beforeLimit },
            wish,
          ),
      request.afterLimit === 0
        ? { events: [], end: place, isExhausted: false }
        : this.#deps.pages.read(
            { roomId, direction: 'f', low: placeAfter(place), high: this.#deps.hub.head('events'), limit: request.afterLimit },
            wish,
          ),
    ])
    return { before, after }
  }

  /** The state as of a position that a filter keeps; with lazy loading, of the members only those who sent the events. */
  async getStateForEvents(
    roomId: RoomId,
    position: number,
    events: readonly StoredEvent[],
    filter: EventFilter | undefined,
  ): Promise<string[]> {
    const members = filter?.lazyLoadMembers === true ? [...new Set(events.map((stored) => stored.event.sender))] : undefined
    const rows = await getRoomStateAsOf(this.#deps.database, { roomId, position, members })
    return rows.filter((row) => isWanted(row, filter)).map(writeStateRow)
  }

  async #getMembersOf(roomId: RoomId, events: readonly StoredEvent[]): Promise<string[]> {
    if (events.length === 0) return []
    const position = Math.max(...events.map((stored) => stored.position ?? 0))
    const senders = new Set<UserId>(events.map((stored) => stored.event.sender))
    const rows = await getRoomSlots(this.#deps.database, {
      roomId,
      position,
      slots: Array.from(senders, (sender) => ({ type: 'm.room.member', stateKey: sender })),
    })
    return rows.map(writeStateRow)
  }
}

/** Writes a state row as a client event with its room id. */
export function writeStateRow(row: RoomStateRow): string {
  return toClientEventJson(stateRecordToEvent(row))
}

function isWanted(row: RoomStateRow, filter: EventFilter | undefined): boolean {
  if (filter === undefined || filter.matchesEverything) return true
  const { type, sender, content } = stateRecordToEvent(row)
  return filter.matches({ type, sender, roomId: row.roomId, content })
}

function notFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'Event not found')
}
