import { canonicalJson } from '../../../protocol/canonical-json.ts'
import type { BuiltEvent } from '../../../protocol/events/event-builder.ts'
import { eventFromStoredPdu } from '../../../protocol/events/parse-event.ts'
import { stateSlotKey } from '../../../protocol/events/event.ts'
import type { MatrixEvent, Pdu } from '../../../protocol/events/event.ts'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import type { Logger } from '../../../util/logger.ts'
import type { ForeignEvent } from '../../events/foreign-events.ts'
import type { FederationClient } from '../federation-client.ts'
import type { PduReader } from '../inbound/pdu-reader.ts'
import { sendJoin } from './join-answer.ts'
import type { JoinAnswer } from './join-answer.ts'
import type { Asking, MembershipHandshake } from './membership-handshake.ts'
import type { RemoteRoomsWriter } from './remote-rooms-writer.ts'
import { BadAnswerError, tryServers } from './try-servers.ts'

/** Somebody who may know better lets users of restricted rooms in. Spec: joins-v1.yaml. */
const FAILOVER = ['M_NOT_FOUND', 'M_UNABLE_TO_AUTHORISE_JOIN', 'M_UNABLE_TO_GRANT_JOIN'] as const

/** A join of one of our users to a room that other servers are in. */
export interface RemoteJoin {
  readonly roomId: RoomId
  readonly userId: UserId
  /** Who is asked, in this order. */
  readonly servers: readonly ServerName[]
  readonly content: JsonObject
}

/** Joins rooms by way of servers that are in them. Spec: server-server-api § Joining Rooms. */
export class RemoteJoins {
  readonly #client: FederationClient
  readonly #handshake: MembershipHandshake
  readonly #reader: PduReader
  readonly #writer: RemoteRoomsWriter
  readonly #logger: Logger
  readonly #noteTold: (eventId: EventId, server: ServerName) => Promise<void>
  /** Of each room one join at a time: who comes second finds the room here. */
  readonly #underWay = new Map<RoomId, Promise<unknown>>()

  constructor(deps: {
    client: FederationClient
    handshake: MembershipHandshake
    reader: PduReader
    writer: RemoteRoomsWriter
    logger: Logger
    /** Notes that the server tells the room's other servers of the join, before it is in the room here. */
    noteTold: (eventId: EventId, server: ServerName) => Promise<void>
  }) {
    this.#client = deps.client
    this.#handshake = deps.handshake
    this.#reader = deps.reader
    this.#writer = deps.writer
    this.#logger = deps.logger
    this.#noteTold = deps.noteTold
  }

  /**
   * Joins the room; settles when it is part of our streams. Where another join of the room is under way, waits for its end and returns
   * undefined: the room may be here by then. Throws what the servers refuse it with, 502 M_UNKNOWN where none of them gives a good
   * answer, M_UNSUPPORTED_ROOM_VERSION.
   */
  async join(request: RemoteJoin): Promise<EventId | undefined> {
    const { roomId } = request
    const other = this.#underWay.get(roomId)
    if (other) {
      await other.catch(() => undefined)
      return undefined
    }
    const joining = tryServers(
      request.servers,
      {
        what: 'join the room',
        failover: FAILOVER,
        onFailure: (server, error) => this.#logger.info('a server did not let us join', { room: roomId, server, error }),
      },
      (server, asking) => this.#joinVia(server, request, asking),
    ).finally(() => {
      if (this.#underWay.get(roomId) === joining) this.#underWay.delete(roomId)
    })
    this.#underWay.set(roomId, joining)
    return joining
  }

  async #joinVia(server: ServerName, request: RemoteJoin, { isBackoffIgnored }: Asking): Promise<EventId> {
    const asking = { isBackoffIgnored }
    const { roomId, userId, content } = request
    const { roomVersion, built } = await this.#handshake.prepare(server, { roomId, userId, membership: 'join', content }, asking)
    const answer = await sendJoin(this.#client, server, built, asking)
    const join = await this.#readJoin(server, roomVersion, built, answer)
    const read = await this.#readRoom(server, roomVersion, roomId, answer)
    const stateBefore = await this.#storeRoom(server, roomVersion, roomId, read)
    const room = { roomId, roomVersion: roomVersion.id, stateEvents: [], authChain: [] }
    await this.#noteTold(join.event.eventId, server)
    const result = await this.#writer.importRoom({ ...room, join: { ...join, stateBefore } })
    if (result !== 'accepted' && result !== 'known') {
      const reason = typeof result === 'string' ? `the join was ${result}` : `${result.missing.length} events are missing`
      throw new BadAnswerError(server, `the room's state does not allow the join: ${reason}`)
    }
    return join.event.eventId
  }

  /** Our join, with the signature of the server that authorised it. Spec: server-server-api § Restricted rooms. */
  async #readJoin(server: ServerName, roomVersion: RoomVersion, built: BuiltEvent, answer: JoinAnswer): Promise<ForeignEvent> {
    const { event } = built
    const authoriser = event.content['join_authorised_via_users_server']
    const signer = typeof authoriser === 'string' ? serverNameOf(authoriser) : undefined
    if (signer === undefined) return built
    const signatures = answer.event?.['signatures']
    const signature = isJsonObject(signatures) ? signatures[signer] : undefined
    if (!isJsonObject(signature))
      throw new BadAnswerError(server, 'the join came back without the signature of who authorised it')
    const pdu = { ...event.pdu, signatures: { ...event.pdu.signatures, [signer]: signature } } as unknown as JsonObject
    const [reading] = await this.#reader.read([pdu], roomVersion, { roomId: event.roomId })
    if (reading?.kind !== 'read')
      throw new BadAnswerError(server, `the authorised join is not in order: ${reading?.reason ?? ''}`)
    return {
      event: eventFromStoredPdu(pdu as unknown as Pdu, event.eventId, event.roomId, roomVersion),
      json: canonicalJson(pdu, { allowAnyNumber: !roomVersion.strictCanonicalJson }),
    }
  }

  /** The room's state and auth chain, each event looked at. What is badly signed is left out, as long as the room stands without it. */
  async #readRoom(
    server: ServerName,
    roomVersion: RoomVersion,
    roomId: RoomId,
    answer: JoinAnswer,
  ): Promise<{ state: readonly ForeignEvent[]; events: readonly ForeignEvent[] }> {
    const readings = await this.#reader.read([...answer.state, ...answer.authChain], roomVersion, { roomId })
    const good = new Map(readings.flatMap((one) => (one.kind === 'read' ? [[one.pdu.event.eventId, one.pdu] as const] : [])))
    const refused = new Set(readings.flatMap((one) => (one.kind === 'refused' && one.eventId !== undefined ? [one.eventId] : [])))
    if (refused.size > 0 || good.size === 0) {
      const [first] = readings.flatMap((one) => (one.kind === 'refused' && !isRepetition(one, good) ? [one.reason] : []))
      if (first !== undefined)
        this.#logger.info('events of a joined room were refused', { room: roomId, server, count: refused.size, first })
    }
    // An event may stand in both lists: the reader counts its first copy only.
    const state = readings.slice(0, answer.state.length).flatMap((one) => {
      const eventId = one.kind === 'read' ? one.pdu.event.eventId : one.eventId
      return (eventId === undefined ? undefined : good.get(eventId)) ?? []
    })
    assertState(server, roomVersion, [...new Set(state)])
    for (const { event } of good.values()) {
      // What the server did not send although it must, unlike what is there and is not signed as it should be.
      const missing = event.authEventIds.find((id) => !good.has(id) && !refused.has(id))
      if (missing !== undefined) throw new BadAnswerError(server, `the auth chain lacks ${missing}`)
    }
    return { state: [...new Set(state)], events: [...good.values()] }
  }

  /** Stores state and auth chain. Returns the ids of the state. */
  async #storeRoom(
    server: ServerName,
    roomVersion: RoomVersion,
    roomId: RoomId,
    room: { readonly state: readonly ForeignEvent[]; readonly events: readonly ForeignEvent[] },
  ): Promise<EventId[]> {
    const results = await this.#writer.storeOutliers({ roomId, roomVersion: roomVersion.id, events: room.events })
    const isStored = new Set(
      room.events.flatMap(({ event }, index) => (typeof results[index] === 'string' ? [event.eventId] : [])),
    )
    const stateIds = room.state.flatMap(({ event }) => (isStored.has(event.eventId) ? [event.eventId] : []))
    const create = room.state.find(({ event }) => event.type === 'm.room.create')
    if (!create || !isStored.has(create.event.eventId)) throw new BadAnswerError(server, 'the room has no create event')
    return stateIds
  }
}

function isRepetition(reading: { readonly eventId: EventId | undefined }, good: ReadonlyMap<EventId, ForeignEvent>): boolean {
  return reading.eventId !== undefined && good.has(reading.eventId)
}

/** Each slot once, state events only, and a create event of the version that the server named. */
function assertState(server: ServerName, roomVersion: RoomVersion, state: readonly ForeignEvent[]): void {
  const slots = new Map<string, MatrixEvent>()
  for (const { event } of state) {
    if (event.stateKey === undefined) throw new BadAnswerError(server, 'an event of the state is no state event')
    const key = stateSlotKey(event.type, event.stateKey)
    if (slots.has(key)) throw new BadAnswerError(server, `the state holds ${event.type} twice`)
    slots.set(key, event)
  }
  const create = slots.get(stateSlotKey('m.room.create', ''))
  if (!create) throw new BadAnswerError(server, 'the state has no create event')
  const version = create.content['room_version'] ?? '1'
  if (version !== roomVersion.id)
    throw new BadAnswerError(server, `the room's version is ${JSON.stringify(version)}, not ${roomVersion.id}`)
}
