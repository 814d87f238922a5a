import type { EventId, ServerName } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { findUnknownEvents } from '../../../storage/tables/federation-staging.ts'
import type { ForeignEvent, ForeignEventsWriter } from '../../events/foreign-events.ts'
import type { EventFetcher, RoomOfVersion } from '../inbound/event-fetcher.ts'

/** With more unknown events than this, the whole state is fetched at once. */
const SINGLE_EVENTS_MAX = 30
/** How far single events are followed to what authorises them. */
const ROUNDS_MAX = 5
const FETCHED_EVENTS_MAX = 500

/** Fetches states of other servers' rooms as they were before some event, and what authorises single events. */
export class RemoteStates {
  readonly #database: Database
  readonly #fetcher: EventFetcher
  readonly #writer: Pick<ForeignEventsWriter, 'storeOutliers'>

  constructor(deps: { database: Database; fetcher: EventFetcher; writer: Pick<ForeignEventsWriter, 'storeOutliers'> }) {
    this.#database = deps.database
    this.#fetcher = deps.fetcher
    this.#writer = deps.writer
  }

  /**
   * The state before an event by ids, all of them stored; undefined where it is not to be had whole. Throws FederationRequestError.
   * Spec: server-server-api § Retrieving events, state_ids.
   */
  async fetchBefore(
    server: ServerName,
    room: RoomOfVersion,
    eventId: EventId,
    signal: AbortSignal,
  ): Promise<readonly EventId[] | undefined> {
    const { stateIds, authChainIds } = await this.#fetcher.getStateIds(server, room.roomId, eventId, signal)
    const wanted = [...new Set([...authChainIds, ...stateIds])]
    let unknown = await findUnknownEvents(this.#database, wanted)
    if (unknown.length > SINGLE_EVENTS_MAX) {
      await this.#store(room, await this.#fetcher.getState(server, room, eventId, signal))
      unknown = await findUnknownEvents(this.#database, wanted)
    }
    if (unknown.length > 0) await this.fetchEvents([server], room, unknown, signal)
    return (await findUnknownEvents(this.#database, stateIds)).length === 0 ? stateIds : undefined
  }

  /** Fetches and stores, for their own sake, those of the events that are not stored, and what authorises them. */
  async fetchEvents(
    servers: readonly ServerName[],
    room: RoomOfVersion,
    eventIds: readonly EventId[],
    signal: AbortSignal,
  ): Promise<void> {
    let wanted = (await findUnknownEvents(this.#database, eventIds)).slice(0, FETCHED_EVENTS_MAX)
    const asked = new Set<EventId>()
    const fetched: ForeignEvent[] = []
    for (let round = 0; round < ROUNDS_MAX && wanted.length > 0 && !signal.aborted; round++) {
      for (const eventId of wanted) asked.add(eventId)
      const events = await this.#fetcher.getEvents(servers, room, wanted, signal)
      fetched.push(...events)
      const authIds = [...new Set(events.flatMap(({ event }) => event.authEventIds))].filter((id) => !asked.has(id))
      wanted = await findUnknownEvents(this.#database, authIds)
      if (asked.size + wanted.length > FETCHED_EVENTS_MAX) break
    }
    await this.#store(room, fetched)
  }

  async #store({ roomId, roomVersion }: RoomOfVersion, events: readonly ForeignEvent[]): Promise<void> {
    const unique = [...new Map(events.map((one) => [one.event.eventId, one])).values()]
    if (unique.length > 0) await this.#writer.storeOutliers({ roomId, roomVersion: roomVersion.id, events: unique })
  }
}
