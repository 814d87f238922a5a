import { selectAuthSlots } from '../../src/protocol/auth-rules/auth-slots.ts'
import { buildEvent } from '../../src/protocol/events/event-builder.ts'
import type { BuiltEvent } from '../../src/protocol/events/event-builder.ts'
import { stateSlotKey } from '../../src/protocol/events/event.ts'
import { readPdu } from '../../src/protocol/events/parse-event.ts'
import { computeReferenceHash } from '../../src/protocol/hashes.ts'
import { parseEventId, parseRoomId, parseUserId } from '../../src/protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { getRoomVersion } from '../../src/protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../src/protocol/room-versions/room-version.ts'
import type { SigningKey } from '../../src/protocol/signing-key.ts'
import { systemRandom } from '../../src/util/random.ts'
import { PASS_ON } from './test-peer.ts'
import type { PeerTarget, TestPeer } from './test-peer.ts'

/** What a test says of an event; all else follows from the room. */
export interface PeerEvent {
  readonly type: string
  readonly sender: string
  readonly content: JsonObject
  readonly stateKey?: string
  readonly redacts?: string
  /** Of another room. */
  readonly roomId?: string
  /** Instead of the room's heads. */
  readonly prevEvents?: readonly string[]
  /** Instead of what the state before the event has for it. */
  readonly authEvents?: readonly string[]
  readonly depth?: number
  readonly originServerTs?: number
  /** Who signs, if not the peer. */
  readonly author?: { readonly serverName: ServerName; readonly signingKey: SigningKey }
}

/** As prev_events and auth_events hold it. */
type Reference = string | readonly [string, { readonly sha256: string }]

/** State slots to event ids. */
type RoomState = ReadonlyMap<string, EventId>

/**
 * A room as a TestPeer holds it: it builds valid signed events with their prev_events, auth_events and state, and answers other
 * servers' questions about the room (`serve`). The state of merged forks is simply that of the last prev_event that sets a slot.
 *
 *     const room = PeerRoom.create(peer, { version: '11' })         // a room of the peer
 *     const room = await PeerRoom.join(peer, server, roomId, '@bob:…') // a room of ours, by make_join and send_join
 *     const event = room.send({ type: 'm.room.message', sender: bob, content: { body: 'hi' } })
 *     await room.transmit(server, [event])
 */
export class PeerRoom {
  readonly peer: TestPeer
  readonly version: RoomVersion
  readonly events = new Map<EventId, BuiltEvent>()
  /** Forward extremities. */
  heads: EventId[] = []
  #roomId: RoomId | undefined
  readonly #stateAfter = new Map<EventId, RoomState>()
  /** Room versions 1 and 2: of events that only a template told of. */
  readonly #hashes = new Map<EventId, string>()
  #transactions = 0

  private constructor(peer: TestPeer, version: RoomVersion, roomId: RoomId | undefined) {
    this.peer = peer
    this.version = version
    this.#roomId = roomId
  }

  get roomId(): RoomId {
    if (this.#roomId === undefined) throw new Error('The room has no create event yet')
    return this.#roomId
  }

  /** Makes a public room of the peer with its creator; `state` comes after what every room has. */
  static create(
    peer: TestPeer,
    options: { version?: string; creator?: string; joinRule?: string; state?: readonly Omit<PeerEvent, 'sender'>[] } = {},
  ): PeerRoom {
    const version = getRoomVersion(options.version ?? '11')
    if (!version) throw new Error('The room version is not known')
    const creator = options.creator ?? `@creator:${peer.serverName}`
    const roomId = version.hashRoomId ? undefined : parseRoomId(`!${systemRandom.letters(18)}:${peer.serverName}`)
    const room = new PeerRoom(peer, version, roomId)
    const content = { room_version: version.id, ...(version.implicitRoomCreator ? {} : { creator }) }
    room.send({ type: 'm.room.create', stateKey: '', sender: creator, content })
    room.send({ type: 'm.room.member', stateKey: creator, sender: creator, content: { membership: 'join' } })
    const users = version.privilegedCreators ? {} : { [creator]: 100 }
    const levels = { users, users_default: 0, events_default: 0, state_default: 50, invite: 0, kick: 50, ban: 50, redact: 50 }
    room.send({ type: 'm.room.power_levels', stateKey: '', sender: creator, content: levels })
    const rules = { join_rule: options.joinRule ?? 'public' }
    room.send({ type: 'm.room.join_rules', stateKey: '', sender: creator, content: rules })
    room.send({ type: 'm.room.history_visibility', stateKey: '', sender: creator, content: { history_visibility: 'shared' } })
    for (const event of options.state ?? []) room.send({ sender: creator, ...event })
    return room
  }

  /** Joins a user of the peer to a room of our server, by make_join and send_join. */
  static async join(peer: TestPeer, server: PeerTarget, roomId: string, userId: string): Promise<PeerRoom> {
    const versions = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12'].map((id) => `ver=${id}`).join('&')
    const path = `${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}`
    const made = await peer.request<{ room_version: string; event: JsonObject }>(
      server,
      'GET',
      `/_matrix/federation/v1/make_join/${path}?${versions}`,
    )
    const version = getRoomVersion(made.body.room_version)
    if (made.status !== 200 || !version) throw new Error(`make_join was refused: ${JSON.stringify(made.body)}`)
    const room = new PeerRoom(peer, version, parseRoomId(roomId))
    const join = room.signTemplate(made.body.event)
    const answer = await peer.request<{ state: JsonObject[]; auth_chain: JsonObject[]; event?: JsonObject }>(
      server,
      'PUT',
      `/_matrix/federation/v2/send_join/${encodeURIComponent(roomId)}/${encodeURIComponent(join.event.eventId)}`,
      JSON.parse(join.json) as JsonObject,
    )
    if (answer.status !== 200) throw new Error(`send_join was refused: ${JSON.stringify(answer.body)}`)
    for (const pdu of [...answer.body.auth_chain, ...answer.body.state]) room.learn(pdu)
    const state = new Map(answer.body.state.map((pdu) => slotOf(room.learn(pdu))))
    const joined = answer.body.event ? room.learn(answer.body.event) : join
    room.setState(joined, state)
    room.heads = [joined.event.eventId]
    return room
  }

  /** Signs what make_join and its like answered, as the peer; perhaps of another room. */
  signTemplate(template: JsonObject, roomId: string = this.roomId): BuiltEvent {
    const pdu = template as unknown as {
      type: string
      sender: string
      state_key: string
      content: JsonObject
      depth: number
      prev_events: readonly Reference[]
      auth_events: readonly Reference[]
    }
    const idOf = (entry: Reference): string => (typeof entry === 'string' ? entry : entry[0])
    for (const entry of [...pdu.prev_events, ...pdu.auth_events])
      if (typeof entry !== 'string') this.#hashes.set(parseEventId(entry[0]), entry[1].sha256)
    return this.build({
      type: pdu.type,
      sender: pdu.sender,
      stateKey: pdu.state_key,
      content: pdu.content,
      depth: pdu.depth,
      prevEvents: pdu.prev_events.map(idOf),
      authEvents: pdu.auth_events.map(idOf),
      roomId,
    })
  }

  /** Builds an event and leaves the room as it is. */
  build(event: PeerEvent): BuiltEvent {
    const { type, content, stateKey } = event
    const sender = parseUserId(event.sender)
    const prevEvents = (event.prevEvents ?? this.heads).map(parseEventId)
    const state = this.#stateBefore(prevEvents)
    const subject = { type, stateKey, sender, content }
    const authEvents =
      event.authEvents?.map(parseEventId) ??
      selectAuthSlots(this.version, subject).flatMap((slot) => state.get(stateSlotKey(slot.type, slot.stateKey)) ?? [])
    const depth = event.depth ?? 1 + Math.max(0, ...prevEvents.map((id) => this.events.get(id)?.event.depth ?? 0))
    const isCreate = type === 'm.room.create'
    const hasOwnId = this.version.eventIdFormat === 1
    return buildEvent(
      {
        ...subject,
        roomId: isCreate && this.version.hashRoomId ? undefined : parseRoomId(event.roomId ?? this.roomId),
        depth,
        originServerTs: event.originServerTs ?? Date.now(),
        prevEvents,
        authEvents,
        ...(event.redacts === undefined ? {} : { redacts: parseEventId(event.redacts) }),
        ...(hasOwnId ? { eventId: parseEventId(`$${systemRandom.letters(18)}:${this.peer.serverName}`) } : {}),
        ...(hasOwnId ? { referenceHashes: this.#referenceHashes([...prevEvents, ...authEvents]) } : {}),
      },
      { roomVersion: this.version, ...(event.author ?? this.peer) },
    )
  }

  /** Adds a built event to the room: it replaces those heads that it names. */
  add(built: BuiltEvent): BuiltEvent {
    const { event } = built
    this.#roomId ??= event.roomId
    this.setState(built, this.#stateBefore(event.prevEventIds))
    this.heads = [...this.heads.filter((id) => !event.prevEventIds.includes(id)), event.eventId]
    return built
  }

  /** Builds an event and adds it. */
  send(event: PeerEvent): BuiltEvent {
    return this.add(this.build(event))
  }

  /** Builds a text message of a user and adds it. */
  sendText(sender: string, body: string): BuiltEvent {
    return this.send({ type: 'm.room.message', sender, content: { msgtype: 'm.text', body } })
  }

  /** Takes an event of somebody else, without a place in the room. */
  learn(pdu: JsonObject): BuiltEvent {
    const { event, json } = readPdu(pdu, this.version)
    const known = this.events.get(event.eventId)
    if (known) return known
    const built = { event, json }
    this.events.set(event.eventId, built)
    return built
  }

  /** Takes an event of somebody else as the room's next one, as a transaction brings it. */
  receive(pdu: JsonObject): BuiltEvent {
    return this.add(this.learn(pdu))
  }

  /** Says what the state before an event is. */
  setState(built: BuiltEvent, before: RoomState): void {
    const { event } = built
    this.events.set(event.eventId, built)
    const after = new Map(before)
    if (event.stateKey !== undefined) after.set(stateSlotKey(event.type, event.stateKey), event.eventId)
    this.#stateAfter.set(event.eventId, after)
  }

  /** The event in a slot of the state after the heads. */
  stateEvent(type: string, stateKey = ''): BuiltEvent | undefined {
    const eventId = this.#stateBefore(this.heads).get(stateSlotKey(type, stateKey))
    return eventId === undefined ? undefined : this.events.get(eventId)
  }

  /** The events of the state after the heads. */
  state(): BuiltEvent[] {
    return this.#pick(this.#stateBefore(this.heads).values())
  }

  /** Sends events, and EDUs, to our server in a transaction; returns status and what became of each event. */
  async transmit(
    server: PeerTarget,
    events: readonly BuiltEvent[],
    options: { edus?: readonly JsonObject[]; txnId?: string } = {},
  ): Promise<{ status: number; pdus: Readonly<Record<string, { error?: string }>> }> {
    const txnId = options.txnId ?? `room${++this.#transactions}-${systemRandom.letters(6)}`
    const { status, body } = await this.peer.request<{ pdus: Record<string, { error?: string }> }>(
      server,
      'PUT',
      `/_matrix/federation/v1/send/${txnId}`,
      {
        origin: this.peer.serverName,
        origin_server_ts: Date.now(),
        pdus: events.map((built) => JSON.parse(built.json) as JsonObject),
        ...(options.edus === undefined ? {} : { edus: options.edus }),
      },
    )
    return { status, pdus: body.pdus }
  }

  /** Answers what another server asks about the room, which of its events it may know or not; and its joins, leaves and knocks. */
  serve(): this {
    const { peer } = this
    const room = `(?:${[encodeURIComponent(this.roomId), encodeURI(this.roomId)].map((id) => id.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join('|')})`
    const at = (method: string, path: string, handler: Parameters<TestPeer['handle']>[2]): void =>
      peer.handle(method, new RegExp(`^/_matrix/federation/${path.replace('ROOM', room)}$`), handler)
    at('POST', 'v1/get_missing_events/ROOM', ({ body = {} }) => {
      const { earliest_events: earliest = [], latest_events: latest = [], limit = 10 } = body
      const found = this.#walk(latest as EventId[], earliest as EventId[], Number(limit))
      return { events: found.map(toPdu) }
    })
    at('GET', 'v1/backfill/ROOM', ({ query }) => {
      const from = query.getAll('v').map(parseEventId)
      const events = [...this.#pick(from), ...this.#walk(from, [], 1000).toReversed()].slice(0, Number(query.get('limit') ?? 10))
      return { origin: peer.serverName, origin_server_ts: Date.now(), pdus: events.map(toPdu) }
    })
    at('GET', 'v1/state_ids/ROOM', ({ query }) => {
      const state = this.#stateBeforeEvent(parseEventId(query.get('event_id') ?? ''))
      return { pdu_ids: state.map(idOf), auth_chain_ids: this.authChain(state).map(idOf) }
    })
    at('GET', 'v1/state/ROOM', ({ query }) => {
      const state = this.#stateBeforeEvent(parseEventId(query.get('event_id') ?? ''))
      return { pdus: state.map(toPdu), auth_chain: this.authChain(state).map(toPdu) }
    })
    at('GET', 'v1/event_auth/ROOM/([^/]+)', ({ captures }) => {
      const [event] = this.#pick([parseEventId(captures[0] ?? '')])
      return { auth_chain: event ? this.authChain([event]).map(toPdu) : [] }
    })
    for (const membership of ['join', 'leave', 'knock'] as const) {
      at('GET', `v1/make_${membership}/ROOM/([^/]+)`, ({ captures }) => this.makeTemplate(captures[0] ?? '', membership))
      at('PUT', `v[12]/send_${membership}/ROOM/[^/]+`, ({ body, path }) => this.#sendMembership(membership, body ?? {}, path))
    }
    this.#serveEvents()
    return this
  }

  #serveEvents(): void {
    const { peer } = this
    const pattern = /^\/_matrix\/federation\/v1\/event\/([^/]+)$/
    peer.handle('GET', pattern, (request) => {
      const event = this.events.get(request.captures[0] as EventId)
      if (event) return { origin: peer.serverName, origin_server_ts: Date.now(), pdus: [toPdu(event)] }
      return PASS_ON
    })
  }

  /** What make_join and its like answer. */
  makeTemplate(user: string, membership: 'join' | 'leave' | 'knock'): { room_version: string; event: JsonObject } {
    const userId: UserId = parseUserId(user)
    const { event } = this.build({ type: 'm.room.member', sender: userId, stateKey: userId, content: { membership } })
    const {
      hashes: _hashes,
      signatures: _signatures,
      event_id: _id,
      ...template
    } = event.pdu as unknown as JsonObject & {
      hashes: unknown
      signatures: unknown
      event_id: unknown
    }
    return { room_version: this.version.id, event: template }
  }

  #sendMembership(membership: 'join' | 'leave' | 'knock', pdu: JsonObject, path: string): unknown {
    const before = this.#stateBefore(this.heads)
    const state = this.#pick(before.values())
    const built = this.learn(pdu)
    this.setState(built, before)
    this.heads = [built.event.eventId]
    if (membership === 'leave') return path.includes('/v1/') ? [200, {}] : {}
    if (membership === 'knock') return { knock_room_state: state.map(toStripped) }
    const answer = {
      origin: this.peer.serverName,
      members_omitted: false,
      state: state.map(toPdu),
      auth_chain: this.authChain(state).map(toPdu),
      event: toPdu(built),
    }
    return path.includes('/v1/') ? [200, answer] : answer
  }

  /** All that authorises the events, and what authorises that. */
  authChain(events: readonly BuiltEvent[]): BuiltEvent[] {
    const found = new Map<EventId, BuiltEvent>()
    const next = [...events]
    for (let built = next.pop(); built; built = next.pop()) {
      for (const auth of this.#pick(built.event.authEventIds)) {
        if (found.has(auth.event.eventId)) continue
        found.set(auth.event.eventId, auth)
        next.push(auth)
      }
    }
    return [...found.values()].toSorted((a, b) => a.event.depth - b.event.depth)
  }

  #stateBefore(prevEvents: readonly EventId[]): RoomState {
    const [first = new Map<string, EventId>(), ...others] = prevEvents.flatMap((id) => this.#stateAfter.get(id) ?? [])
    return others.length === 0 ? first : new Map([first, ...others].flatMap((state) => [...state]))
  }

  #stateBeforeEvent(eventId: EventId): BuiltEvent[] {
    const built = this.events.get(eventId)
    return built ? this.#pick(this.#stateBefore(built.event.prevEventIds).values()) : []
  }

  #pick(eventIds: Iterable<EventId>): BuiltEvent[] {
    return [...eventIds].flatMap((id) => this.events.get(id) ?? [])
  }

  #walk(latest: readonly EventId[], earliest: readonly EventId[], limit: number): BuiltEvent[] {
    const found = new Map<EventId, BuiltEvent>()
    const queue = this.#pick(latest).flatMap(({ event }) => event.prevEventIds)
    for (let eventId = queue.shift(); eventId !== undefined && found.size < limit; eventId = queue.shift()) {
      const built = this.events.get(eventId)
      if (!built || earliest.includes(eventId) || found.has(eventId)) continue
      found.set(eventId, built)
      queue.push(...built.event.prevEventIds)
    }
    return [...found.values()].toSorted((a, b) => a.event.depth - b.event.depth)
  }

  #referenceHashes(eventIds: readonly EventId[]): Map<EventId, string> {
    const own = this.#pick(eventIds).map(({ event }) => [event.eventId, computeReferenceHash(this.version, event.pdu)] as const)
    return new Map([...this.#hashes, ...own])
  }
}

/** An event as JSON, as it goes over the wire. */
export function toPdu(built: BuiltEvent): JsonObject {
  return JSON.parse(built.json) as JsonObject
}

/** A state event as `invite_room_state` holds it in its old form. */
export function toStripped({ event }: BuiltEvent): JsonObject {
  return { type: event.type, state_key: event.stateKey ?? '', sender: event.sender, content: event.content }
}

function idOf({ event }: BuiltEvent): EventId {
  return event.eventId
}

function slotOf({ event }: BuiltEvent): [string, EventId] {
  return [stateSlotKey(event.type, event.stateKey ?? ''), event.eventId]
}
