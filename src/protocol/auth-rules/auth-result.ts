import type { MatrixEvent } from '../events/event.ts'

/** The verdict of an auth rule. A "no" is a value, not an exception; the reason is for logs and error messages. */
export type AuthResult = { readonly allowed: true } | { readonly allowed: false; readonly reason: string }

/**
 * Looks up one slot of the room state that an event is checked against.
 * It must know `m.room.create` with state key '' in every room version, also in 12 where no event names it in `auth_events`.
 */
export type AuthStateLookup = (type: string, stateKey: string) => MatrixEvent | undefined

/** The one "yes", shared so that checks allocate nothing. */
export const ALLOWED: AuthResult = Object.freeze({ allowed: true })

/** Makes a "no". */
export function denied(reason: string): AuthResult {
  return { allowed: false, reason }
}
