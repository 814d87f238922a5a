import type { AuthResult } from '../../src/protocol/auth-rules/auth-result.ts'
import { checkAuthRules } from '../../src/protocol/auth-rules/check-auth-rules.ts'
import { type MatrixEvent, type Pdu, stateSlotKey } from '../../src/protocol/events/event.ts'
import { eventFromStoredPdu } from '../../src/protocol/events/parse-event.ts'
import type { EventId, RoomId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { getRoomVersion } from '../../src/protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../src/protocol/room-versions/room-version.ts'

/** What a test says of an event; the rest is made up. */
export interface EventSketch {
  readonly type: string
  readonly sender?: string
  readonly stateKey?: string
  readonly content?: JsonObject
  readonly prevEvents?: readonly string[]
  readonly roomId?: string
  readonly redacts?: string
  readonly eventId?: string
}

/** Users of the rooms below. The creator has 100 (before version 12), the moderator 50, the others nothing. */
export const CREATOR = '@creator:here'
export const MODERATOR = '@moderator:here'
export const MEMBER = '@member:here'
export const STRANGER = '@stranger:there'

/** A room as the auth rules see it: a map of state events, without graph, hashes and signatures. */
export class RuleRoom {
  readonly version: RoomVersion
  readonly roomId: RoomId
  readonly state = new Map<string, MatrixEvent>()
  #nextId = 1

  /** An empty room: only the create event. */
  constructor(versionId: string, createContent: JsonObject = {}) {
    this.version = getRoomVersion(versionId) as RoomVersion
    this.roomId = (this.version.hashRoomId ? `!${'c'.repeat(43)}` : '!room:here') as RoomId
    const content = this.version.implicitRoomCreator ? createContent : { creator: CREATOR, ...createContent }
    const eventId = this.version.hashRoomId ? `$${'c'.repeat(43)}` : '$create:here'
    this.set({ type: 'm.room.create', sender: CREATOR, stateKey: '', content, eventId })
  }

  /** A public room with the users above joined and the usual power levels. */
  static usual(versionId: string, levels: JsonObject = {}, createContent: JsonObject = {}): RuleRoom {
    const room = new RuleRoom(versionId, createContent)
    room.join(CREATOR).join(MODERATOR).join(MEMBER).joinRule('public')
    const users = room.version.privilegedCreators ? { [MODERATOR]: 50 } : { [CREATOR]: 100, [MODERATOR]: 50 }
    room.set({ type: 'm.room.power_levels', sender: CREATOR, stateKey: '', content: { users, ...levels } })
    return room
  }

  get create(): MatrixEvent {
    return this.state.get(stateSlotKey('m.room.create', '')) as MatrixEvent // set by the constructor
  }

  event(sketch: EventSketch): MatrixEvent {
    const { type, sender = MEMBER, stateKey, content = {}, prevEvents = ['$before:here'], redacts } = sketch
    const isHashRoomCreate = this.version.hashRoomId && type === 'm.room.create'
    const roomId = sketch.roomId ?? (isHashRoomCreate ? undefined : this.roomId)
    const references = this.version.eventIdFormat === 1 ? prevEvents.map((id) => [id, {}] as const) : prevEvents
    const pdu: Pdu = {
      type,
      sender,
      content,
      depth: 1,
      origin_server_ts: 1,
      prev_events: type === 'm.room.create' && sketch.prevEvents === undefined ? [] : references,
      auth_events: [],
      hashes: { sha256: '' },
      signatures: {},
      ...(roomId !== undefined && { room_id: roomId }),
      ...(stateKey !== undefined && { state_key: stateKey }),
      ...(redacts !== undefined && { redacts }),
    }
    const eventId = (sketch.eventId ?? `$event${this.#nextId++}:here`) as EventId
    return eventFromStoredPdu(pdu, eventId, (roomId ?? this.roomId) as RoomId, this.version)
  }

  /** Puts an event into the state, unasked. */
  set(sketch: EventSketch): this {
    const event = this.event(sketch)
    this.state.set(stateSlotKey(event.type, event.stateKey ?? ''), event)
    return this
  }

  join(userId: string): this {
    return this.membership(userId, 'join')
  }

  membership(userId: string, membership: string): this {
    return this.set({ type: 'm.room.member', sender: userId, stateKey: userId, content: { membership } })
  }

  joinRule(joinRule: string): this {
    return this.set({ type: 'm.room.join_rules', sender: CREATOR, stateKey: '', content: { join_rule: joinRule } })
  }

  check(sketch: EventSketch): AuthResult {
    const lookup = (type: string, stateKey: string) => this.state.get(stateSlotKey(type, stateKey))
    return checkAuthRules(this.version, this.event(sketch), lookup)
  }

  allows(sketch: EventSketch): boolean {
    return this.check(sketch).allowed
  }

  /** Judges a membership event. */
  allowsMembership(sender: string, target: string, membership: string, more: JsonObject = {}): boolean {
    return this.allows({ type: 'm.room.member', sender, stateKey: target, content: { membership, ...more } })
  }
}
