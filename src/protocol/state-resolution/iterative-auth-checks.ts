import { selectAuthSlots } from '../auth-rules/auth-slots.ts'
import { checkAuthRules } from '../auth-rules/check-auth-rules.ts'
import type { MatrixEvent } from '../events/event.ts'
import { stateSlotKey } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { ResolutionContext } from './room-context.ts'
import { CREATE_SLOT, impliedCreateEventId, slotKeyOf } from './room-context.ts'

/** The state that the checks start from, and what they change in it. */
export interface PartialState {
  /** Never listed, only asked for the slots that a check needs. */
  readonly base: (slotKey: string) => EventId | undefined
  readonly changes: Map<string, EventId>
}

/** Reads a slot of a partial state. */
export function readSlot(state: PartialState, slotKey: string): EventId | undefined {
  return state.changes.get(slotKey) ?? state.base(slotKey)
}

/**
 * Applies each event in turn to the state if the auth rules allow it there. What the state lacks is taken from the
 * event's auth events. Spec: rooms/v2 § Iterative auth checks.
 */
export function applyAllowed(events: readonly MatrixEvent[], state: PartialState, context: ResolutionContext): void {
  for (const event of events) {
    const result = checkAuthRules(context.roomVersion, event, (type, stateKey) => {
      const eventId = readSlot(state, stateSlotKey(type, stateKey))
      return eventId === undefined ? findAuthEvent(event, stateSlotKey(type, stateKey), context) : context.source.get(eventId)
    })
    if (result.allowed) state.changes.set(slotKeyOf(event), event.eventId)
  }
}

function findAuthEvent(event: MatrixEvent, slotKey: string, context: ResolutionContext): MatrixEvent | undefined {
  if (slotKey === CREATE_SLOT) {
    const implied = impliedCreateEventId(context.roomVersion, event)
    if (implied !== undefined) return context.source.get(implied)
  }
  for (const authEventId of event.authEventIds) {
    const authEvent = context.source.get(authEventId)
    if (authEvent !== undefined && slotKeyOf(authEvent) === slotKey && !context.isRejected(authEventId)) return authEvent
  }
  return undefined
}

/**
 * Looks up everything that the checks of these events may ask for, so that what is missing becomes known at once and not
 * one by one.
 */
export function prefetchForChecks(events: readonly MatrixEvent[], base: PartialState['base'], context: ResolutionContext): void {
  for (const event of events) {
    for (const authEventId of event.authEventIds) context.source.get(authEventId)
    const implied = impliedCreateEventId(context.roomVersion, event)
    if (implied !== undefined) context.source.get(implied)
    for (const slot of selectAuthSlots(context.roomVersion, event)) {
      const eventId = base(stateSlotKey(slot.type, slot.stateKey))
      if (eventId !== undefined) context.source.get(eventId)
    }
  }
}
