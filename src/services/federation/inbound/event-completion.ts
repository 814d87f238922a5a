import { stateSlotKey } from '../../../protocol/events/event.ts'
import type { EventId, ServerName } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { EVENT_FLAGS } from '../../../storage/tables/event-graph.ts'
import { findUnknownEvents, getExtremityIds } from '../../../storage/tables/federation-staging.ts'
import type { Logger } from '../../../util/logger.ts'
import type { EventReader } from '../../events/event-reader.ts'
import type { ForeignEvent, ForeignEventsWriter, ForeignResult } from '../../events/foreign-events.ts'
import { FederationRequestError } from '../federation-errors.ts'
import type { RoomServers } from '../room-servers.ts'
import type { EventFetcher, RoomOfVersion } from './event-fetcher.ts'
import { sortByPrevEvents } from './topological-order.ts'

/** Events that are asked for at once to close a gap. A larger one is crossed with a state. Synapse asks for as many. */
const GAP_EVENTS_MAX = 10
/** States that one event may make us fetch. */
const STATES_MAX = 3
/** With more unknown events than this the whole state is fetched, instead of each event by itself. */
const SINGLE_EVENTS_MAX = 100
/** Events that are fetched one by one for one state at the most. */
const FETCHED_EVENTS_MAX = 2000
/** How often the auth events of fetched events are fetched in turn. */
const AUTH_ROUNDS_MAX = 5
/** Servers that are asked for single events. */
const SERVERS_MAX = 4

/** One event on its way, with the room and the server that is asked. */
interface Completion {
  readonly room: RoomOfVersion
  readonly origin: ServerName
  readonly signal: AbortSignal
  statesLeft: number
}

/**
 * Fetches what events of other servers need and is not here, and appends them: first the events between ours and the new one, then,
 * where the gap is too large, the state on its far side. Who sends an event has those before it and must show them: no state is taken
 * on trust for the event that was sent itself, which may become the only head of the room. As Synapse does it. Everything is bounded; what is incomplete stays so until it is tried again.
 * Spec: server-server-api § PDUs, § Retrieving events.
 */
export class EventCompletion {
  readonly #database: Database
  readonly #writer: ForeignEventsWriter
  readonly #fetcher: EventFetcher
  readonly #events: EventReader
  readonly #roomServers: RoomServers
  readonly #serverName: ServerName
  readonly #logger: Logger

  constructor(deps: {
    database: Database
    writer: ForeignEventsWriter
    fetcher: EventFetcher
    events: EventReader
    roomServers: RoomServers
    serverName: ServerName
    logger: Logger
  }) {
    this.#database = deps.database
    this.#writer = deps.writer
    this.#fetcher = deps.fetcher
    this.#events = deps.events
    this.#roomServers = deps.roomServers
    this.#serverName = deps.serverName
    this.#logger = deps.logger
  }

  /** Appends the event with all that it needs. Returns what is still missing where it could not be had. */
  async complete(
    foreign: ForeignEvent,
    source: { readonly room: RoomOfVersion; readonly origin: ServerName; readonly signal: AbortSignal },
  ): Promise<ForeignResult> {
    const completion: Completion = { ...source, statesLeft: STATES_MAX }
    const result = await this.#append(completion, foreign)
    if (typeof result === 'string') return result
    const { prevEventIds } = foreign.event
    if (result.missing.some((eventId) => prevEventIds.includes(eventId))) {
      for (const event of await this.#fetchGap(completion, foreign)) await this.#appendWithState(completion, event)
    }
    return this.#appendWithAuth(completion, foreign)
  }

  async #append({ room }: Completion, foreign: ForeignEvent): Promise<ForeignResult> {
    const [result] = await this.#writer.appendForeign({ roomId: room.roomId, events: [foreign] })
    return result ?? 'known'
  }

  /** What stands between our events and this one, oldest first. */
  async #fetchGap(completion: Completion, { event }: ForeignEvent): Promise<ForeignEvent[]> {
    const { room, origin, signal } = completion
    const earliest = await getExtremityIds(this.#database, room.roomId)
    const gap = { earliest, latest: [event.eventId], limit: GAP_EVENTS_MAX, minDepth: 0 }
    const events = await this.#attempt('missing events', () => this.#fetcher.getMissingEvents(origin, room, gap, signal))
    return sortByPrevEvents((events ?? []).filter((one) => one.event.eventId !== event.eventId))
  }

  /** Appends an event, with what authorises it. */
  async #appendWithAuth(completion: Completion, foreign: ForeignEvent): Promise<ForeignResult> {
    const result = await this.#append(completion, foreign)
    if (typeof result === 'string') return result
    const { missing } = result
    if (!missing.some((eventId) => foreign.event.authEventIds.includes(eventId))) return result
    await this.#fetchAuthEvents(completion, foreign, missing)
    return this.#append(completion, foreign)
  }

  /** Appends an event; where it comes after unknown ones, with the state before it as the origin tells it. */
  async #appendWithState(completion: Completion, foreign: ForeignEvent): Promise<ForeignResult> {
    const result = await this.#appendWithAuth(completion, foreign)
    if (typeof result === 'string') return result
    const { prevEventIds } = foreign.event
    const missingPrev = result.missing.filter((eventId) => prevEventIds.includes(eventId))
    if (missingPrev.length === 0 || completion.statesLeft === 0) return result
    completion.statesLeft -= 1
    const stateBefore = await this.#fetchStateBefore(completion, foreign, missingPrev)
    return stateBefore ? this.#append(completion, { ...foreign, stateBefore }) : result
  }

  async #fetchAuthEvents(completion: Completion, { event }: ForeignEvent, missing: readonly EventId[]): Promise<void> {
    const { room, origin, signal } = completion
    const chain = await this.#attempt('the auth chain', () => this.#fetcher.getAuthChain(origin, room, event.eventId, signal))
    if (chain) await this.#storeOutliers(completion, chain)
    const wanted = missing.filter((eventId) => event.authEventIds.includes(eventId))
    const unknown = await findUnknownEvents(this.#database, wanted)
    if (unknown.length > 0) await this.#fetchEvents(completion, unknown)
  }

  /**
   * The state before an event by ids, all of them stored. Of an event after a single unknown one it is the state after that one,
   * as Synapse asks for it; else the state before the event itself.
   */
  async #fetchStateBefore(
    completion: Completion,
    { event }: ForeignEvent,
    missingPrev: readonly EventId[],
  ): Promise<readonly EventId[] | undefined> {
    const [only] = event.prevEventIds
    if (event.prevEventIds.length === 1 && only !== undefined && missingPrev.includes(only))
      return this.#fetchStateAt(completion, only, { isAfter: true })
    return this.#fetchStateAt(completion, event.eventId, { isAfter: false })
  }

  async #fetchStateAt(
    completion: Completion,
    eventId: EventId,
    options: { readonly isAfter: boolean },
  ): Promise<readonly EventId[] | undefined> {
    const { room, origin, signal } = completion
    const ids = await this.#attempt('a state', () => this.#fetcher.getStateIds(origin, room.roomId, eventId, signal))
    if (!ids) return undefined
    const wanted = [...new Set([...ids.authChainIds, ...ids.stateIds, ...(options.isAfter ? [eventId] : [])])]
    let unknown = await findUnknownEvents(this.#database, wanted)
    if (unknown.length > SINGLE_EVENTS_MAX) {
      const events = await this.#attempt('a state', () => this.#fetcher.getState(origin, room, eventId, signal))
      if (events) await this.#storeOutliers(completion, events)
      unknown = await findUnknownEvents(this.#database, wanted)
    }
    if (unknown.length > 0) await this.#fetchEvents(completion, unknown.slice(0, FETCHED_EVENTS_MAX))
    const needed = options.isAfter ? [...ids.stateIds, eventId] : ids.stateIds
    const missing = await findUnknownEvents(this.#database, needed)
    if (missing.length > 0) {
      this.#logger.info('the state before an event could not be fetched', {
        room: room.roomId,
        event: eventId,
        missing: missing.length,
      })
      return undefined
    }
    return options.isAfter ? this.#stateAfter(ids.stateIds, eventId) : ids.stateIds
  }

  /** Puts a state event into its slot. */
  async #stateAfter(stateIds: readonly EventId[], eventId: EventId): Promise<readonly EventId[]> {
    const stored = await this.#events.getEvent(eventId)
    if (stored?.event.stateKey === undefined || (stored.flags & EVENT_FLAGS.rejected) !== 0) return stateIds
    const slot = stateSlotKey(stored.event.type, stored.event.stateKey)
    const before = await this.#events.getEvents(stateIds)
    const others = stateIds.filter((id) => {
      const event = before.get(id)?.event
      return event?.stateKey === undefined || stateSlotKey(event.type, event.stateKey) !== slot
    })
    return [...others, eventId]
  }

  /** Fetches single events and, in a few rounds, what authorises them; stores those whose auth events are there. */
  async #fetchEvents(completion: Completion, eventIds: readonly EventId[]): Promise<void> {
    const { room, signal } = completion
    const servers = await this.#serversToAsk(completion)
    let wanted = eventIds
    const fetched = new Map<EventId, ForeignEvent>()
    for (let round = 0; round < AUTH_ROUNDS_MAX && wanted.length > 0 && !signal.aborted; round++) {
      for (const event of await this.#fetcher.getEvents(servers, room, wanted, signal)) fetched.set(event.event.eventId, event)
      const authIds = [...new Set([...fetched.values()].flatMap(({ event }) => event.authEventIds))]
      const asked = new Set(wanted)
      wanted = (await findUnknownEvents(this.#database, authIds)).filter((id) => !fetched.has(id) && !asked.has(id))
      if (fetched.size + wanted.length > FETCHED_EVENTS_MAX) break
    }
    await this.#storeOutliers(completion, [...fetched.values()])
  }

  async #serversToAsk({ room, origin }: Completion): Promise<ServerName[]> {
    const others = await this.#roomServers.getServers(room.roomId)
    return [origin, ...others.filter((server) => server !== origin && server !== this.#serverName)].slice(0, SERVERS_MAX)
  }

  async #storeOutliers({ room }: Completion, events: readonly ForeignEvent[]): Promise<void> {
    const { roomId, roomVersion } = room
    if (events.length > 0) await this.#writer.storeOutliers({ roomId, roomVersion: roomVersion.id, events })
  }

  async #attempt<T>(what: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof FederationRequestError)) throw error
      this.#logger.info(`another server did not give us ${what}`, { server: error.destination, error })
      return undefined
    }
  }
}
