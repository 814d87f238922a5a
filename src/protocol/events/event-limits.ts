import { MatrixError } from '../errors.ts'

/** The whole event in canonical JSON, signatures included. Spec: client-server-api § Size limits. */
export const EVENT_BYTES_MAX = 65_536
/** `type`, `state_key`, `sender`, `room_id` and event ids. Spec: client-server-api § Size limits. */
export const EVENT_FIELD_BYTES_MAX = 255
/** Spec: server-server-api, definition of a PDU. */
export const PREV_EVENTS_MAX = 20
/** Spec: server-server-api, definition of a PDU. */
export const AUTH_EVENTS_MAX = 10
/** Since room version 6; before, depth may be any 64-bit integer and we keep it at this. Spec: rooms/v6 § Event format. */
export const DEPTH_MAX = Number.MAX_SAFE_INTEGER

/** Throws M_TOO_LARGE where an event's canonical JSON is longer than an event may be. */
export function assertEventSize(json: string): void {
  if (json.length > EVENT_BYTES_MAX || (json.length * 3 > EVENT_BYTES_MAX && Buffer.byteLength(json) > EVENT_BYTES_MAX)) {
    throw new MatrixError('M_TOO_LARGE', `The event is larger than ${EVENT_BYTES_MAX} bytes`)
  }
}

/**
 * Throws M_TOO_LARGE where an identifier or key of an event is longer than it may be, M_BAD_JSON where it holds U+0000. `unit`: what is
 * counted, for events of others in old rooms.
 */
export function assertFieldSize(value: string, name: string, unit: 'bytes' | 'code points' = 'bytes'): void {
  // A UTF-16 unit takes at most 3 bytes of UTF-8, so that most strings need not be measured.
  if (value.length * 3 > EVENT_FIELD_BYTES_MAX) {
    const size =
      unit === 'bytes' ? Buffer.byteLength(value) : value.length > 2 * EVENT_FIELD_BYTES_MAX ? Infinity : [...value].length
    if (size > EVENT_FIELD_BYTES_MAX)
      throw new MatrixError('M_TOO_LARGE', `${name} is longer than ${EVENT_FIELD_BYTES_MAX} ${unit}`)
  }
  if (value.includes('\u0000')) throw new MatrixError('M_BAD_JSON', `${name} holds U+0000`)
}
