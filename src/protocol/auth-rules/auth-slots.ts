import { type MatrixEvent, stateSlotKey } from '../events/event.ts'
import { isJsonObject, type JsonObject } from '../json.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { ALLOWED, type AuthResult, denied } from './auth-result.ts'

/** One slot of room state. */
export interface StateSlot {
  readonly type: string
  readonly stateKey: string
}

/** What the selection of auth events needs to know of an event, which may not be built yet. */
export interface AuthSubject {
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  readonly content: JsonObject
}

/** An event named in `auth_events`, with what became of it. */
export interface AuthEventEntry {
  readonly event: MatrixEvent
  readonly isRejected: boolean
}

const CREATE: StateSlot = Object.freeze({ type: 'm.room.create', stateKey: '' })
const POWER_LEVELS: StateSlot = Object.freeze({ type: 'm.room.power_levels', stateKey: '' })
const JOIN_RULES: StateSlot = Object.freeze({ type: 'm.room.join_rules', stateKey: '' })

/**
 * Lists the state slots whose events belong into the event's `auth_events`, without repetition; slots that the state
 * does not fill are to be left out. Spec: server-server-api § Auth events selection; v12: the create event is implied.
 */
export function selectAuthSlots(roomVersion: RoomVersion, event: AuthSubject): readonly StateSlot[] {
  if (event.type === 'm.room.create') return []
  const member: StateSlot = { type: 'm.room.member', stateKey: event.sender }
  const slots = roomVersion.hashRoomId ? [POWER_LEVELS, member] : [CREATE, POWER_LEVELS, member]
  if (event.type === 'm.room.member') addMembershipSlots(roomVersion, event, slots)
  return slots
}

function addMembershipSlots(roomVersion: RoomVersion, event: AuthSubject, slots: StateSlot[]): void {
  const { content, sender, stateKey } = event
  const membership = content['membership']
  if (stateKey !== undefined && stateKey !== sender) slots.push({ type: 'm.room.member', stateKey })
  if (membership === 'join' || membership === 'invite' || membership === 'knock') slots.push(JOIN_RULES)
  if (membership === 'invite') {
    const token = thirdPartyInviteToken(content)
    if (token !== undefined) slots.push({ type: 'm.room.third_party_invite', stateKey: token })
  }
  if (membership === 'join' && roomVersion.hasRestrictedJoin) {
    const authoriser = content['join_authorised_via_users_server']
    if (typeof authoriser === 'string' && authoriser !== sender && authoriser !== stateKey) {
      slots.push({ type: 'm.room.member', stateKey: authoriser })
    }
  }
}

function thirdPartyInviteToken(content: JsonObject): string | undefined {
  const invite = content['third_party_invite']
  const signed = isJsonObject(invite) ? invite['signed'] : undefined
  const token = isJsonObject(signed) ? signed['token'] : undefined
  return typeof token === 'string' ? token : undefined
}

/**
 * Checks which events stand in `auth_events`, the rules that need no room state: rule 2 of room versions 1 to 11, rules 2
 * and 3 of version 12. `authEvents` are all events that the event names; `createEvent` is what the room id of a
 * version 12 room points to (undefined: unknown) and is not looked at before.
 */
export function checkAuthEventSelection(
  roomVersion: RoomVersion,
  event: MatrixEvent,
  authEvents: readonly AuthEventEntry[],
  createEvent: AuthEventEntry | undefined,
): AuthResult {
  if (event.type === 'm.room.create') return ALLOWED
  if (roomVersion.hashRoomId && !isCreateEventOf(event, createEvent)) {
    return denied('The room ID does not name an accepted m.room.create event') // v12: 2
  }
  const expected = new Set(selectAuthSlots(roomVersion, event).map((slot) => stateSlotKey(slot.type, slot.stateKey)))
  const seen = new Set<string>()
  for (const { event: authEvent, isRejected } of authEvents) {
    const key = authEvent.stateKey === undefined ? undefined : stateSlotKey(authEvent.type, authEvent.stateKey)
    // Numbers of room versions 1 to 11; version 12 counts 3.1 to 3.5.
    if (key !== undefined && seen.has(key)) return denied(`auth_events has two entries for ${describeSlot(authEvent)}`) // 2.1
    if (key === undefined || !expected.has(key)) return denied(`auth_events may not hold ${describeSlot(authEvent)}`) // 2.2
    if (isRejected) return denied(`Auth event ${authEvent.eventId} was rejected`) // 2.3
    if (authEvent.roomId !== event.roomId) return denied(`Auth event ${authEvent.eventId} is of another room`) // 2.5
    seen.add(key)
  }
  if (!roomVersion.hashRoomId && !seen.has(stateSlotKey(CREATE.type, CREATE.stateKey))) {
    return denied('auth_events has no m.room.create event') // 2.4
  }
  return ALLOWED
}

function isCreateEventOf(event: MatrixEvent, create: AuthEventEntry | undefined): boolean {
  if (create === undefined || create.isRejected || create.event.type !== 'm.room.create') return false
  return create.event.eventId.slice(1) === event.roomId.slice(1)
}

function describeSlot(event: MatrixEvent): string {
  return event.stateKey === undefined ? `a ${event.type} message` : `(${event.type}, ${event.stateKey})`
}
