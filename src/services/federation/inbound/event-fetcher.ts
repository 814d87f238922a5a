import { isEventId } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonValue } from '../../../protocol/json.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import type { ForeignEvent } from '../../events/foreign-events.ts'
import type { FederationClient } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'
import type { PduReader } from './pdu-reader.ts'

const TIMEOUT_MS = 30_000
/** The state of a large room takes its time. */
const STATE_TIMEOUT_MS = 90_000
const STATE_IDS_BYTES_MAX = 64 * 1024 * 1024
const STATE_BYTES_MAX = 128 * 1024 * 1024
/** Requests for single events at a time. */
const EVENT_REQUESTS_AT_A_TIME = 10

/** Which room is asked about. */
export interface RoomOfVersion {
  readonly roomId: RoomId
  readonly roomVersion: RoomVersion
}

/** A room's state before an event, and its auth chain, by ids. */
export interface RemoteStateIds {
  readonly stateIds: readonly EventId[]
  readonly authChainIds: readonly EventId[]
}

/**
 * Asks other servers for events of rooms; what comes back has gone through the one door. Throws FederationRequestError.
 * Spec: server-server-api § Retrieving events.
 */
export class EventFetcher {
  readonly #client: Pick<FederationClient, 'request'>
  readonly #reader: PduReader

  constructor(deps: { client: Pick<FederationClient, 'request'>; reader: PduReader }) {
    this.#client = deps.client
    this.#reader = deps.reader
  }

  /** Events between two edges of what we know, as far as the server tells; what is malformed is left out. Spec: getMissingEvents. */
  async getMissingEvents(
    server: ServerName,
    room: RoomOfVersion,
    gap: {
      readonly earliest: readonly EventId[]
      readonly latest: readonly EventId[]
      readonly limit: number
      readonly minDepth: number
    },
    signal: AbortSignal,
  ): Promise<ForeignEvent[]> {
    const answer = await this.#client.request({
      destination: server,
      method: 'POST',
      path: `/_matrix/federation/v1/get_missing_events/${encodeURIComponent(room.roomId)}`,
      body: { earliest_events: gap.earliest, latest_events: gap.latest, limit: gap.limit, min_depth: gap.minDepth },
      timeoutMs: TIMEOUT_MS,
      signal,
    })
    return this.#read(listOf(answer, 'events').slice(0, gap.limit), room)
  }

  /** The ids of the state before an event, which the server must have. Spec: getRoomStateIds. */
  async getStateIds(server: ServerName, roomId: RoomId, eventId: EventId, signal: AbortSignal): Promise<RemoteStateIds> {
    const answer = await this.#client.request({
      destination: server,
      method: 'GET',
      path: `/_matrix/federation/v1/state_ids/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(eventId)}`,
      timeoutMs: STATE_TIMEOUT_MS,
      bytesMax: STATE_IDS_BYTES_MAX,
      signal,
    })
    const stateIds = idsOf(answer, 'pdu_ids')
    // A state without a create event is no state.
    if (stateIds.length === 0) throw new FederationRequestError(server, 'answered with an empty state', { isRetryable: false })
    return { stateIds, authChainIds: idsOf(answer, 'auth_chain_ids') }
  }

  /** The events of the state before an event and of its auth chain. Spec: getRoomState. */
  async getState(server: ServerName, room: RoomOfVersion, eventId: EventId, signal: AbortSignal): Promise<ForeignEvent[]> {
    const answer = await this.#client.request({
      destination: server,
      method: 'GET',
      path: `/_matrix/federation/v1/state/${encodeURIComponent(room.roomId)}?event_id=${encodeURIComponent(eventId)}`,
      timeoutMs: STATE_TIMEOUT_MS,
      bytesMax: STATE_BYTES_MAX,
      signal,
    })
    return this.#read([...listOf(answer, 'pdus'), ...listOf(answer, 'auth_chain')], room)
  }

  /** The auth chain of an event. Spec: getEventAuthorization. */
  async getAuthChain(server: ServerName, room: RoomOfVersion, eventId: EventId, signal: AbortSignal): Promise<ForeignEvent[]> {
    const answer = await this.#client.request({
      destination: server,
      method: 'GET',
      path: `/_matrix/federation/v1/event_auth/${encodeURIComponent(room.roomId)}/${encodeURIComponent(eventId)}`,
      timeoutMs: TIMEOUT_MS,
      signal,
    })
    return this.#read(listOf(answer, 'auth_chain'), room)
  }

  /** Single events, a few at a time, each asked of one server after another; those that nobody gives are left out. Spec: getEvent. */
  async getEvents(
    servers: readonly ServerName[],
    room: RoomOfVersion,
    eventIds: readonly EventId[],
    signal: AbortSignal,
  ): Promise<ForeignEvent[]> {
    const waiting = [...eventIds]
    const found: ForeignEvent[] = []
    const work = async (): Promise<void> => {
      for (let eventId = waiting.pop(); eventId !== undefined && !signal.aborted; eventId = waiting.pop()) {
        const event = await this.#getEvent(servers, room, eventId, signal)
        if (event) found.push(event)
      }
    }
    await Promise.all(Array.from({ length: Math.min(EVENT_REQUESTS_AT_A_TIME, eventIds.length) }, work))
    return found
  }

  async #getEvent(
    servers: readonly ServerName[],
    room: RoomOfVersion,
    eventId: EventId,
    signal: AbortSignal,
  ): Promise<ForeignEvent | undefined> {
    for (const destination of servers) {
      try {
        const path = `/_matrix/federation/v1/event/${encodeURIComponent(eventId)}`
        const answer = await this.#client.request({ destination, method: 'GET', path, timeoutMs: TIMEOUT_MS, signal })
        const [event] = await this.#read(listOf(answer, 'pdus').slice(0, 1), room)
        if (event?.event.eventId === eventId) return event
      } catch (error) {
        if (!(error instanceof FederationRequestError)) throw error
      }
      if (signal.aborted) break
    }
    return undefined
  }

  #read(pdus: readonly JsonValue[], { roomId, roomVersion }: RoomOfVersion): Promise<ForeignEvent[]> {
    return this.#reader.readGood(pdus, roomVersion, { roomId })
  }
}

function listOf(answer: unknown, name: string): readonly JsonValue[] {
  const list = isJsonObject(answer) ? answer[name] : undefined
  return Array.isArray(list) ? (list as readonly JsonValue[]) : []
}

function idsOf(answer: unknown, name: string): EventId[] {
  return [...new Set(listOf(answer, name).filter(isEventId))]
}
