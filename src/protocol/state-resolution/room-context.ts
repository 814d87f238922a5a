import type { MatrixEvent } from '../events/event.ts'
import { stateSlotKey } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import type { EventSource } from './event-source.ts'
import type { StateConflicts } from './state-conflicts.ts'

/** What the version 2 algorithms work with. */
export interface ResolutionContext extends StateConflicts {
  readonly roomVersion: RoomVersion
  readonly source: EventSource
  /** Tells whether an event was rejected; such events are not taken from `auth_events`. */
  readonly isRejected: (eventId: EventId) => boolean
}

export const CREATE_SLOT: string = stateSlotKey('m.room.create', '')
export const POWER_LEVELS_SLOT: string = stateSlotKey('m.room.power_levels', '')

/** The slot of a state event; a message has none and gets a key that no state has. */
export function slotKeyOf(event: MatrixEvent): string {
  return stateSlotKey(event.type, event.stateKey ?? '\u0000')
}

/** The id of the create event where the room id names it, since room version 12. */
export function impliedCreateEventId(roomVersion: RoomVersion, event: MatrixEvent): EventId | undefined {
  // The room id is `!` and the hash, the event id `$` and the same hash: valid if the room id is.
  return roomVersion.hashRoomId ? (`$${event.roomId.slice(1)}` as EventId) : undefined
}

/** Finds the power levels event among an event's auth events. */
export function powerLevelsAuthEvent(event: MatrixEvent, source: EventSource): MatrixEvent | undefined {
  return source.getAll(event.authEventIds).find((authEvent) => slotKeyOf(authEvent) === POWER_LEVELS_SLOT)
}

/** Finds the create event of an event's room: among its auth events, or by the room id since version 12. */
export function createEventFor(event: MatrixEvent, context: ResolutionContext): MatrixEvent | undefined {
  const implied = impliedCreateEventId(context.roomVersion, event)
  if (implied !== undefined) return context.source.get(implied)
  return context.source.getAll(event.authEventIds).find((authEvent) => slotKeyOf(authEvent) === CREATE_SLOT)
}

/** Compares ids as their code points stand. Event ids are ASCII but in room versions 1 and 2, where anything goes. */
export function compareIds(a: EventId, b: EventId): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
