import { LRUCache } from 'lru-cache'
import type { EventId, RoomId, ServerName } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonValue } from '../../../protocol/json.ts'
import { getRoomVersion } from '../../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../../storage/database.ts'
import { EVENT_FLAGS, getBackwardExtremities } from '../../../storage/tables/event-graph.ts'
import type { BackwardExtremity } from '../../../storage/tables/event-graph.ts'
import { getRoomVersionId } from '../../../storage/tables/outside-rooms.ts'
import { placeBefore, placeOf } from '../../../streams/history-place.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Logger } from '../../../util/logger.ts'
import type { EventReader } from '../../events/event-reader.ts'
import type { ForeignEvent, ForeignEventsWriter } from '../../events/foreign-events.ts'
import type { FederationClient } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'
import type { RoomOfVersion } from '../inbound/event-fetcher.ts'
import type { PduReader } from '../inbound/pdu-reader.ts'
import { sortByPrevEvents } from '../inbound/topological-order.ts'
import type { RoomServers } from '../room-servers.ts'
import type { RemoteStates } from './remote-states.ts'

/** Events that are asked for at once, at the least. */
const EVENTS_AT_ONCE = 100
const EVENTS_AT_ONCE_MAX = 500
/** Of a batch with more loose ends the rest is left for the next time. */
const STATES_MAX = 30
const REQUEST_TIMEOUT_MS = 10_000
/** How long a reader waits for other servers, all requests together. */
const FILL_MS = 20_000
const SERVERS_MAX = 5
const EXTREMITIES_LOOKED_AT_MAX = 100
const EXTREMITIES_FILLED_MAX = 3
/** A gap that nobody could fill is left alone, for twice as long each time. */
const PAUSE_FIRST_MS = 15_000
const PAUSE_MAX_MS = 3600_000
const PAUSES_MAX = 10_000

/** A part of a room's history, both places inside; see streams/history-place.ts. */
export interface HistoryRange {
  readonly roomId: RoomId
  readonly low: number
  readonly high: number
}

export interface RoomHistoryDeps {
  readonly database: Database
  readonly client: Pick<FederationClient, 'request'>
  readonly reader: PduReader
  readonly states: RemoteStates
  readonly writer: ForeignEventsWriter
  readonly events: EventReader
  readonly roomServers: RoomServers
  readonly clock: Clock
  readonly logger: Logger
  readonly serverName: ServerName
}

/**
 * Fills gaps in the history of rooms: what was before we came, or while we could not be reached.
 * Spec: server-server-api § Backfilling and retrieving missing events.
 */
export class RoomHistory {
  readonly #deps: RoomHistoryDeps
  readonly #underWay = new Map<EventId, Promise<boolean>>()
  readonly #pauses = new LRUCache<EventId, { readonly untilMs: number; readonly pauseMs: number }>({ max: PAUSES_MAX })

  constructor(deps: RoomHistoryDeps) {
    this.#deps = deps
  }

  /** The places in the range where history is missing, the latest first: where events stand whose prev_events are not here. */
  async findGaps({ roomId, low, high }: HistoryRange): Promise<BackwardExtremity[]> {
    if ((await this.getOtherServers(roomId)).length === 0) return []
    const extremities = await getBackwardExtremities(this.#deps.database, roomId, EXTREMITIES_LOOKED_AT_MAX)
    return extremities
      .filter((gap) => gap.position !== null && placeOf(gap) >= low && placeBefore(placeOf(gap)) <= high)
      .toSorted((one, other) => placeOf(other) - placeOf(one))
  }

  /** Fills the latest gaps of the range by some events each. Returns whether anything came of it: then a page is worth reading again. */
  async fetchMissing(range: HistoryRange, wantedCount: number): Promise<boolean> {
    const { clock } = this.#deps
    const gaps = (await this.findGaps(range)).filter(
      ({ eventId }) => (this.#pauses.get(eventId)?.untilMs ?? 0) <= clock.monotonicMs(),
    )
    let isFilled = false
    for (const gap of gaps.slice(0, EXTREMITIES_FILLED_MAX)) {
      const filling = this.#underWay.get(gap.eventId) ?? this.#start(range.roomId, gap, wantedCount)
      isFilled = (await filling) || isFilled
    }
    return isFilled
  }

  #start(roomId: RoomId, gap: BackwardExtremity, wantedCount: number): Promise<boolean> {
    const filling = this.#fillGap(roomId, gap, wantedCount).finally(() => this.#underWay.delete(gap.eventId))
    this.#underWay.set(gap.eventId, filling)
    return filling
  }

  /** Other servers in the room, in the order in which they came. */
  async getOtherServers(roomId: RoomId): Promise<ServerName[]> {
    return (await this.#deps.roomServers.getServers(roomId)).filter((server) => server !== this.#deps.serverName)
  }

  /** The room's version; undefined where the room is not known. */
  async getRoom(roomId: RoomId): Promise<RoomOfVersion | undefined> {
    const versionId = await getRoomVersionId(this.#deps.database, roomId)
    const roomVersion = versionId === undefined ? undefined : getRoomVersion(versionId)
    return roomVersion && { roomId, roomVersion }
  }

  async #fillGap(roomId: RoomId, gap: BackwardExtremity, wantedCount: number): Promise<boolean> {
    const room = await this.getRoom(roomId)
    if (!room) return false
    const signal = AbortSignal.timeout(FILL_MS)
    for (const server of (await this.getOtherServers(roomId)).slice(0, SERVERS_MAX)) {
      try {
        const events = await this.#ask(server, room, gap, { wantedCount, signal })
        const count = await this.store(server, room, gap.eventId, events, signal)
        if (count > 0) {
          this.#pauses.delete(gap.eventId)
          return true
        }
      } catch (error) {
        if (!(error instanceof FederationRequestError)) throw error
        this.#deps.logger.info('a server gave us no history', { room: roomId, server, error })
      }
      if (signal.aborted) break
    }
    const pauseMs = Math.min(PAUSE_MAX_MS, 2 * (this.#pauses.get(gap.eventId)?.pauseMs ?? PAUSE_FIRST_MS / 2))
    this.#pauses.set(gap.eventId, { untilMs: this.#deps.clock.monotonicMs() + pauseMs, pauseMs })
    return false
  }

  /** Events from the missing ones backwards; only what leads to the gap. */
  async #ask(
    server: ServerName,
    { roomId, roomVersion }: RoomOfVersion,
    gap: BackwardExtremity,
    options: { readonly wantedCount: number; readonly signal: AbortSignal },
  ): Promise<ForeignEvent[]> {
    const limit = Math.min(EVENTS_AT_ONCE_MAX, Math.max(EVENTS_AT_ONCE, options.wantedCount))
    const answer = await this.#deps.client.request({
      destination: server,
      method: 'GET',
      path: `/_matrix/federation/v1/backfill/${encodeURIComponent(roomId)}?limit=${limit}${gap.prevIds.map((id) => `&v=${encodeURIComponent(id)}`).join('')}`,
      timeoutMs: REQUEST_TIMEOUT_MS,
      retries: 'none',
      signal: options.signal,
    })
    const pdus = isJsonObject(answer) ? answer['pdus'] : undefined
    if (!Array.isArray(pdus)) return []
    const list = (pdus as readonly JsonValue[]).slice(0, limit)
    const events = new Map(
      (await this.#deps.reader.readGood(list, roomVersion, { roomId })).map((one) => [one.event.eventId, one] as const),
    )
    const reached = new Map<EventId, ForeignEvent>()
    const queue = [...gap.prevIds]
    for (let eventId = queue.pop(); eventId !== undefined; eventId = queue.pop()) {
      const found = reached.has(eventId) ? undefined : events.get(eventId)
      if (!found) continue
      reached.set(eventId, found)
      queue.push(...found.event.prevEventIds)
    }
    return [...reached.values()]
  }

  /** Stores events before `before`, with the states of those that begin them. Returns how many are new. */
  async store(
    server: ServerName,
    room: RoomOfVersion,
    before: EventId,
    events: readonly ForeignEvent[],
    signal: AbortSignal,
  ): Promise<number> {
    const { writer } = this.#deps
    if (events.length === 0) return 0
    const given = new Set(events.map(({ event }) => event.eventId))
    const known = await this.#deps.events.getEvents([...given, ...events.flatMap(({ event }) => event.prevEventIds)])
    const isPlaced = (eventId: EventId): boolean => {
      const stored = known.get(eventId)
      return stored !== undefined && (stored.flags & EVENT_FLAGS.outlier) === 0
    }
    const fresh = sortByPrevEvents(events.filter(({ event }) => !isPlaced(event.eventId)))
    const authIds = fresh.flatMap(({ event }) => event.authEventIds).filter((id) => !given.has(id))
    let states = 0
    const history: ForeignEvent[] = []
    for (const one of fresh) {
      const { eventId, prevEventIds } = one.event
      const isLoose = prevEventIds.some((id) => !given.has(id) && !isPlaced(id))
      if (!isLoose) history.push(one)
      else if (states++ < STATES_MAX) {
        const stateBefore = await this.#deps.states.fetchBefore(server, room, eventId, signal)
        if (stateBefore) history.push({ ...one, stateBefore })
      }
    }
    if (authIds.length > 0) await this.#deps.states.fetchEvents([server], room, [...new Set(authIds)], signal)
    const results = await writer.appendHistory({ roomId: room.roomId, before, events: history })
    this.#deps.events.forget(history.map(({ event }) => event.eventId))
    return results.filter((result) => typeof result === 'string' && result !== 'known').length
  }
}
