import { MatrixError } from '../../protocol/errors.ts'
import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import { getAuthChain, getPdusByNid, getStateIdsBefore } from '../../storage/tables/federation-reads.ts'
import type { StateEventRecord } from '../../storage/tables/federation-reads.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import { pduText } from './pdu-text.ts'
import type { RoomServers } from './room-servers.ts'

/** Events of one answer. Larger states are refused with M_TOO_LARGE. */
const STATE_EVENTS_MAX = 50_000
const STATE_IDS_MAX = 500_000
const PDUS_PER_QUERY = 2000
const STATELESS = EVENT_FLAGS.outlier | EVENT_FLAGS.rejected

/** Which events make up the state before an event, and the auth chain of them. */
export interface StateIds {
  readonly state: readonly StateEventRecord[]
  readonly authChain: readonly StateEventRecord[]
}

/** The same as JSON texts. */
export interface StateTexts {
  readonly state: readonly string[]
  readonly authChain: readonly string[]
}

/** Gives rooms' states and auth chains to servers that are in them. */
export class StateServer {
  readonly #database: Database
  readonly #events: EventReader
  readonly #roomServers: RoomServers
  /** Servers that miss the same event ask at the same time, all of them. */
  readonly #idsUnderWay = new Map<EventId, Promise<StateIds>>()
  readonly #textsUnderWay = new Map<EventId, Promise<StateTexts>>()

  constructor(deps: { database: Database; events: EventReader; roomServers: RoomServers }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#roomServers = deps.roomServers
  }

  /** The ids of the state before an event, and of its auth chain. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: events.yaml, getRoomStateIds. */
  async getIds(origin: ServerName, roomId: RoomId, eventId: EventId): Promise<StateIds> {
    const stored = await this.#findEvent(origin, roomId, eventId)
    return shared(this.#idsUnderWay, eventId, () => this.#readIds(stored, STATE_IDS_MAX))
  }

  /** The state before an event and its auth chain, as JSON texts. Throws M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE. Spec: events.yaml, getRoomState. */
  async getTexts(origin: ServerName, roomId: RoomId, eventId: EventId): Promise<StateTexts> {
    const stored = await this.#findEvent(origin, roomId, eventId)
    return shared(this.#textsUnderWay, eventId, async () => {
      const { state, authChain } = await this.#readIds(stored, STATE_EVENTS_MAX)
      const texts = await this.#readTexts([...state, ...authChain])
      return { state: pick(texts, state), authChain: pick(texts, authChain) }
    })
  }

  /** The auth chain of an event, as JSON texts. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: event_auth.yaml. */
  async getAuthChain(origin: ServerName, roomId: RoomId, eventId: EventId): Promise<readonly string[]> {
    await this.#roomServers.assertInRoom(origin, roomId)
    const stored = await this.#events.getEvent(eventId)
    if (!stored || stored.event.roomId !== roomId) throw notFound(eventId)
    const direct = await this.#events.getEvents(withCreateEvent(stored, stored.event.authEventIds))
    const chain = await this.#completeChain(
      [...direct.values()].map(({ eventNid, event }) => ({ eventNid, eventId: event.eventId })),
      STATE_EVENTS_MAX,
    )
    return pick(await this.#readTexts(chain), chain)
  }

  async #findEvent(origin: ServerName, roomId: RoomId, eventId: EventId): Promise<StoredEvent> {
    await this.#roomServers.assertInRoom(origin, roomId)
    const stored = await this.#events.getEvent(eventId)
    // What was refused, or is known only for its own sake, has no state here.
    if (!stored || stored.event.roomId !== roomId || (stored.flags & STATELESS) !== 0) throw notFound(eventId)
    return stored
  }

  async #readIds(stored: StoredEvent, limit: number): Promise<StateIds> {
    const state = await getStateIdsBefore(this.#database, { eventNid: stored.eventNid, limit: limit + 1 })
    if (state.length > limit) throw tooLarge()
    const eventNids = state.map((record) => record.eventNid)
    const authChain = await getAuthChain(this.#database, { eventNids, limit: limit + 1 })
    if (authChain.length > limit) throw tooLarge()
    return { state, authChain: await this.#addCreateEvent(stored, state, authChain) }
  }

  /** Since room version 12 no event names the create event, which authorises them all. Behaviour of Synapse. */
  async #addCreateEvent(
    stored: StoredEvent,
    state: readonly StateEventRecord[],
    authChain: readonly StateEventRecord[],
  ): Promise<readonly StateEventRecord[]> {
    const [createId] = withCreateEvent(stored, [])
    const create = createId === undefined ? undefined : state.find((record) => record.eventId === createId)
    return create && !authChain.some((record) => record.eventId === createId) ? [...authChain, create] : authChain
  }

  async #completeChain(direct: readonly StateEventRecord[], limit: number): Promise<StateEventRecord[]> {
    const eventNids = direct.map((record) => record.eventNid)
    const rest = await getAuthChain(this.#database, { eventNids, limit: limit + 1 })
    if (rest.length > limit) throw tooLarge()
    return [...new Map([...direct, ...rest].map((record) => [record.eventNid, record])).values()]
  }

  async #readTexts(records: readonly StateEventRecord[]): Promise<Map<number, string>> {
    const eventNids = [...new Set(records.map((record) => record.eventNid))]
    const texts = new Map<number, string>()
    for (let start = 0; start < eventNids.length; start += PDUS_PER_QUERY) {
      const pdus = await getPdusByNid(this.#database, eventNids.slice(start, start + PDUS_PER_QUERY))
      for (const pdu of pdus) texts.set(pdu.eventNid, pduText(pdu))
    }
    return texts
  }
}

/** Adds the id of the create event where the room is named after it. Spec: rooms/v12. */
function withCreateEvent({ event }: StoredEvent, eventIds: readonly EventId[]): EventId[] {
  const isImplied = getRoomVersion(event.roomVersion)?.hashRoomId === true && event.type !== 'm.room.create'
  return isImplied ? [...eventIds, `$${event.roomId.slice(1)}` as EventId] : [...eventIds]
}

function pick(texts: ReadonlyMap<number, string>, records: readonly StateEventRecord[]): string[] {
  return records.flatMap((record) => texts.get(record.eventNid) ?? [])
}

function shared<T>(underWay: Map<EventId, Promise<T>>, eventId: EventId, work: () => Promise<T>): Promise<T> {
  const running = underWay.get(eventId)
  if (running) return running
  const starting = work().finally(() => underWay.delete(eventId))
  underWay.set(eventId, starting)
  return starting
}

function notFound(eventId: EventId): MatrixError {
  return new MatrixError('M_NOT_FOUND', `Could not find event ${eventId}`)
}

function tooLarge(): MatrixError {
  return new MatrixError('M_TOO_LARGE', 'The state is too large to be sent')
}
