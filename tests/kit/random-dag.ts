import { createHash } from 'node:crypto'
import { selectAuthSlots } from '../../src/protocol/auth-rules/auth-slots.ts'
import { checkAuthRules } from '../../src/protocol/auth-rules/check-auth-rules.ts'
import type { MatrixEvent, Pdu, StateMap } from '../../src/protocol/events/event.ts'
import { stateSlotKey } from '../../src/protocol/events/event.ts'
import type { EventId, RoomId, UserId } from '../../src/protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../src/protocol/json.ts'
import type { RoomVersion } from '../../src/protocol/room-versions/room-version.ts'

/** What a test says of an event; the rest follows from the graph. */
export interface EventDraft {
  readonly type: string
  readonly sender: UserId
  readonly stateKey?: string
  readonly content: JsonObject
  readonly originServerTs?: number
}

export type Resolve = (stateSets: readonly StateMap<EventId>[]) => StateMap<EventId>

export const ALICE = '@alice:a.org' as UserId
export const BOB = '@bob:b.org' as UserId
export const CAROL = '@carol:c.org' as UserId
export const DAVE = '@dave:d.org' as UserId

/**
 * A room's event graph, built without hashes and signatures. Events may be appended to any earlier ones; `allowed` ones
 * are checked against the state before them, as an honest server does.
 */
export class TestDag {
  readonly roomVersion: RoomVersion
  readonly roomId: RoomId
  readonly events = new Map<EventId, MatrixEvent>()
  /** The state after each event. */
  readonly states = new Map<EventId, StateMap<EventId>>()
  readonly order: EventId[] = []
  readonly #resolve: Resolve

  readonly #suffix: string

  /** With a suffix, ids of room and events are others than in another graph. */
  constructor(roomVersion: RoomVersion, resolve: Resolve, suffix = '') {
    this.roomVersion = roomVersion
    this.#resolve = resolve
    this.#suffix = suffix
    this.roomId = (roomVersion.hashRoomId ? `!${hashOf(`create${suffix}`)}` : `!room${suffix}:a.org`) as RoomId
  }

  /** Appends the events that a new public room starts with: Alice makes it, Bob gets level 100, Carol 50; all but Dave join. */
  start(): EventId {
    const users = { ...(this.roomVersion.privilegedCreators ? {} : { [ALICE]: 100 }), [BOB]: 100, [CAROL]: 50 }
    const creator = this.roomVersion.implicitRoomCreator ? {} : { creator: ALICE }
    const drafts: EventDraft[] = [
      { type: 'm.room.create', sender: ALICE, stateKey: '', content: { ...creator, room_version: this.roomVersion.id } },
      membership(ALICE, ALICE, 'join'),
      { type: 'm.room.power_levels', sender: ALICE, stateKey: '', content: { users } },
      { type: 'm.room.join_rules', sender: ALICE, stateKey: '', content: { join_rule: 'public' } },
      membership(BOB, BOB, 'join'),
      membership(CAROL, CAROL, 'join'),
    ]
    let last: EventId | undefined
    for (const draft of drafts) last = this.append(last === undefined ? [] : [last], draft)
    if (last === undefined) throw new Error('A room starts with events')
    return last
  }

  /** Appends an event that the auth rules allow. */
  append(prevEventIds: readonly EventId[], draft: EventDraft): EventId {
    const eventId = this.tryAppend(prevEventIds, draft)
    if (typeof eventId !== 'string') throw new Error(`${draft.type} of ${draft.sender} is not allowed: ${eventId.reason}`)
    return eventId
  }

  /** Events that the auth rules do not allow: servers reject them, others may follow them all the same. */
  readonly rejected = new Set<EventId>()

  /** Appends an event, or tells why the auth rules do not allow it; `isForced`: a hostile server sends it all the same. */
  tryAppend(
    prevEventIds: readonly EventId[],
    draft: EventDraft,
    options: { readonly isForced?: boolean } = {},
  ): EventId | { readonly reason: string } {
    const stateBefore = this.stateAfter(prevEventIds)
    const event = this.#build(prevEventIds, draft, stateBefore)
    const result = checkAuthRules(this.roomVersion, event, (type, key) => this.#eventAt(stateBefore, stateSlotKey(type, key)))
    if (!result.allowed && options.isForced !== true) return { reason: result.reason }
    if (!result.allowed) this.rejected.add(event.eventId)
    this.events.set(event.eventId, event)
    this.order.push(event.eventId)
    const stateAfter = new Map(stateBefore)
    if (event.stateKey !== undefined && result.allowed) stateAfter.set(stateSlotKey(event.type, event.stateKey), event.eventId)
    this.states.set(event.eventId, stateAfter)
    return event.eventId
  }

  /** The resolution of the states after some events. */
  stateAfter(eventIds: readonly EventId[]): StateMap<EventId> {
    const stateSets = this.stateSets(eventIds)
    if (stateSets.length === 0) return new Map()
    const [first] = stateSets
    return stateSets.length === 1 && first !== undefined ? first : this.#resolve(stateSets)
  }

  stateSets(eventIds: readonly EventId[]): StateMap<EventId>[] {
    return eventIds.map((eventId) => {
      const state = this.states.get(eventId)
      if (state === undefined) throw new Error(`${eventId} is not in the graph`)
      return state
    })
  }

  #eventAt(state: StateMap<EventId>, slotKey: string): MatrixEvent | undefined {
    const eventId = state.get(slotKey)
    return eventId === undefined ? undefined : this.events.get(eventId)
  }

  #build(prevEventIds: readonly EventId[], draft: EventDraft, stateBefore: StateMap<EventId>): MatrixEvent {
    const { roomVersion, roomId } = this
    const stateKey = draft.stateKey
    const authEventIds = selectAuthSlots(roomVersion, { ...draft, stateKey })
      .map((slot) => stateBefore.get(stateSlotKey(slot.type, slot.stateKey)))
      .filter((eventId) => eventId !== undefined)
    const name = `${draft.type === 'm.room.create' ? 'create' : `event ${this.order.length}`}${this.#suffix}`
    const eventId = (
      roomVersion.eventIdFormat === 1
        ? `$${this.order.length}x${hashOf(name).slice(0, this.#suffix === '' ? 4 : 12)}:a.org`
        : `$${hashOf(name)}`
    ) as EventId
    const depth = 1 + Math.max(0, ...prevEventIds.map((prev) => this.events.get(prev)?.depth ?? 0))
    const originServerTs = draft.originServerTs ?? this.order.length
    const pdu: Pdu = {
      type: draft.type,
      sender: draft.sender,
      ...(roomVersion.hashRoomId && draft.type === 'm.room.create' ? {} : { room_id: roomId }),
      ...(stateKey === undefined ? {} : { state_key: stateKey }),
      content: draft.content,
      depth,
      origin_server_ts: originServerTs,
      prev_events: prevEventIds,
      auth_events: authEventIds,
      hashes: { sha256: '' },
      signatures: {},
    }
    const { type, sender, content } = draft
    return {
      eventId,
      roomId,
      roomVersion: roomVersion.id,
      type,
      stateKey,
      sender,
      content,
      depth,
      originServerTs,
      prevEventIds,
      authEventIds,
      redacts: undefined,
      pdu,
    }
  }
}

/** Drafts a membership event. */
export function membership(sender: UserId, target: UserId, value: string): EventDraft {
  return { type: 'm.room.member', sender, stateKey: target, content: { membership: value } }
}

/** Appends random events to random places, steered by the numbers; what is not allowed there is left out, or forced now and then. */
export function growRandomly(
  dag: TestDag,
  start: EventId,
  decisions: readonly number[],
  options: { readonly isHostile?: boolean } = {},
): void {
  const stream = new DecisionStream(decisions)
  const first = dag.order.indexOf(start)
  while (!stream.isEmpty) {
    // Mostly at one of the last events, now and then joining two branches.
    const recent = dag.order.slice(Math.max(first, dag.order.length - 8))
    const prevEventIds = new Set([stream.pick(recent)])
    if (stream.below(4) === 0) prevEventIds.add(stream.pick(recent))
    const prev = [...prevEventIds]
    const draft = { ...draftRandomly(dag, prev, stream), originServerTs: stream.below(6) }
    dag.tryAppend(prev, draft, { isForced: options.isHostile === true && stream.below(4) === 0 })
  }
}

function draftRandomly(dag: TestDag, prevEventIds: readonly EventId[], stream: DecisionStream): EventDraft {
  const users = [ALICE, BOB, CAROL, DAVE] as const
  const sender = stream.pick(users)
  const target = stream.pick(users)
  switch (stream.below(10)) {
    case 0:
    case 1:
      return membership(sender, sender, 'join')
    case 2:
      return membership(sender, target, 'leave')
    case 3:
      return membership(sender, target, 'ban')
    case 4:
      return membership(sender, target, 'invite')
    case 5:
    case 6:
      return { type: 'm.room.power_levels', sender, stateKey: '', content: changePowerLevels(dag, prevEventIds, target, stream) }
    case 7:
      return {
        type: 'm.room.join_rules',
        sender,
        stateKey: '',
        content: { join_rule: stream.pick(['public', 'invite'] as const) },
      }
    case 8:
      return { type: 'org.example.own', sender, stateKey: sender, content: { number: dag.order.length } }
    default:
      return { type: 'm.room.topic', sender, stateKey: '', content: { topic: String(dag.order.length) } }
  }
}

function changePowerLevels(dag: TestDag, prevEventIds: readonly EventId[], target: UserId, stream: DecisionStream): JsonObject {
  const eventId = dag.stateAfter(prevEventIds).get(stateSlotKey('m.room.power_levels', ''))
  const old = eventId === undefined ? {} : (dag.events.get(eventId)?.content ?? {})
  const level = stream.pick([0, 50, 100] as const)
  const what = stream.below(4)
  if (what === 0) return { ...old, ban: level }
  if (what === 1) return { ...old, state_default: level }
  const users: Record<string, JsonValue> = { ...(old['users'] as JsonObject | undefined) }
  // Room version 12 allows no entry for creators.
  if (target !== ALICE || !dag.roomVersion.privilegedCreators) users[target] = level
  return { ...old, users }
}

class DecisionStream {
  readonly #numbers: readonly number[]
  #position = 0

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers
  }

  get isEmpty(): boolean {
    return this.#position >= this.#numbers.length
  }

  below(limit: number): number {
    return (this.#numbers[this.#position++] ?? 0) % limit
  }

  pick<T>(list: readonly T[]): T {
    // Lists given here are not empty.
    return list[this.below(list.length)] as T
  }
}

function hashOf(name: string): string {
  return createHash('sha256').update(name).digest('base64url')
}
