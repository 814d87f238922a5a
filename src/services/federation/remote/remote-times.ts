import { isEventId } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { EventReader } from '../../events/event-reader.ts'
import type { FederationClient } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'
import type { EventFetcher, RoomOfVersion } from '../inbound/event-fetcher.ts'
import type { RoomHistory } from './room-history.ts'

const SERVERS_MAX = 3
const TIMEOUT_MS = 8_000
const ALL_MS = 20_000

/** Which event is looked for: the one nearest to a time, at or before it (`b`), or at or after it (`f`). */
export interface TimeQuery {
  readonly roomId: RoomId
  readonly timestampMs: number
  readonly direction: 'b' | 'f'
}

/** Finds events by time where our own history has gaps. Spec: server-server-api event_by_timestamp.yaml. */
export class RemoteTimes {
  readonly #client: Pick<FederationClient, 'request'>
  readonly #fetcher: EventFetcher
  readonly #history: RoomHistory
  readonly #events: EventReader

  constructor(deps: {
    client: Pick<FederationClient, 'request'>
    fetcher: EventFetcher
    history: RoomHistory
    events: EventReader
  }) {
    this.#client = deps.client
    this.#fetcher = deps.fetcher
    this.#history = deps.history
    this.#events = deps.events
  }

  /** Looks for an event nearer than the one that we have, and brings it here. Undefined where none is found. */
  async findNearer(query: TimeQuery, ownTimestampMs: number | undefined): Promise<EventId | undefined> {
    const gaps = await this.#history.findGaps({ roomId: query.roomId, low: 0, high: Number.MAX_SAFE_INTEGER })
    const room = gaps.length === 0 ? undefined : await this.#history.getRoom(query.roomId)
    if (!room || !(await this.#mayBeMissing(gaps, query, ownTimestampMs))) return undefined
    const signal = AbortSignal.timeout(ALL_MS)
    for (const server of (await this.#history.getOtherServers(query.roomId)).slice(0, SERVERS_MAX)) {
      try {
        const eventId = await this.#ask(server, query, ownTimestampMs, signal)
        if (eventId !== undefined && (await this.#bring(server, room, eventId, gaps, signal))) return eventId
      } catch (error) {
        if (!(error instanceof FederationRequestError)) throw error
      }
      if (signal.aborted) break
    }
    return undefined
  }

  /** Tells whether something in a gap may be nearer: all of it is older than the event that the gap is before. */
  async #mayBeMissing(
    gaps: readonly { readonly eventId: EventId }[],
    { timestampMs, direction }: TimeQuery,
    ownTimestampMs: number | undefined,
  ): Promise<boolean> {
    const stored = await this.#events.getEvents(gaps.map(({ eventId }) => eventId))
    return [...stored.values()].some(({ event }) =>
      direction === 'f'
        ? event.originServerTs >= timestampMs && (ownTimestampMs === undefined || ownTimestampMs >= event.originServerTs)
        : ownTimestampMs === undefined || ownTimestampMs < event.originServerTs,
    )
  }

  async #ask(
    server: ServerName,
    { roomId, timestampMs, direction }: TimeQuery,
    ownTimestampMs: number | undefined,
    signal: AbortSignal,
  ): Promise<EventId | undefined> {
    const answer = await this.#client.request({
      destination: server,
      method: 'GET',
      path: `/_matrix/federation/v1/timestamp_to_event/${encodeURIComponent(roomId)}?ts=${timestampMs}&dir=${direction}`,
      timeoutMs: TIMEOUT_MS,
      retries: 'none',
      signal,
    })
    const { event_id: eventId, origin_server_ts: foundMs } = isJsonObject(answer) ? answer : {}
    if (!isEventId(eventId) || typeof foundMs !== 'number') return undefined
    if (ownTimestampMs === undefined) return eventId
    const isNearer = Math.abs(foundMs - timestampMs) < Math.abs(ownTimestampMs - timestampMs)
    return isNearer ? eventId : undefined
  }

  /** Makes the event part of the history here, in the gap that it lies in. */
  async #bring(
    server: ServerName,
    room: RoomOfVersion,
    eventId: EventId,
    gaps: readonly { readonly eventId: EventId; readonly depth: number }[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const known = await this.#events.getEvent(eventId)
    if (known?.position !== undefined) return known.event.roomId === room.roomId
    const [found] = await this.#fetcher.getEvents([server], room, [eventId], signal)
    if (!found) return false
    const later = gaps.filter((gap) => gap.depth > found.event.depth).toSorted((one, other) => one.depth - other.depth)
    const gap = later[0]
    return gap !== undefined && (await this.#history.store(server, room, gap.eventId, [found], signal)) > 0
  }
}
