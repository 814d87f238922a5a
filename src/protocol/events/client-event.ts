import { canonicalString } from '../canonical-json.ts'
import type { JsonObject } from '../json.ts'
import type { MatrixEvent } from './event.ts'

/** How to write an event for a client. */
export interface ClientEventOptions {
  /** The `unsigned` object as JSON text: it differs per reader (age, transaction id), so it is spliced in, not built in. */
  readonly unsignedJson?: string | undefined
  /** `/sync` leaves the room id out, because its answer is grouped by rooms. */
  readonly omitRoomId?: boolean | undefined
}

/**
 * Writes an event as clients get it. A redaction shows its target both at the top and inside the content, whichever place
 * the room version keeps it in. Spec: client-server-api § Room event format; rooms/v11 § Moving the redacts property.
 */
export function toClientEventJson(event: MatrixEvent, options?: ClientEventOptions): string {
  const redacts = event.redacts === undefined ? '' : `,"redacts":${canonicalString(event.redacts)}`
  const roomId = options?.omitRoomId === true ? '' : `,"room_id":${canonicalString(event.roomId)}`
  const stateKey = event.stateKey === undefined ? '' : `,"state_key":${canonicalString(event.stateKey)}`
  const unsigned = options?.unsignedJson === undefined ? '' : `,"unsigned":${options.unsignedJson}`
  return (
    `{"content":${JSON.stringify(clientContent(event))},"event_id":${canonicalString(event.eventId)}` +
    `,"origin_server_ts":${event.originServerTs}${redacts}${roomId},"sender":${canonicalString(event.sender)}${stateKey}` +
    `,"type":${canonicalString(event.type)}${unsigned}}`
  )
}

function clientContent(event: MatrixEvent): JsonObject {
  if (event.redacts === undefined || Object.hasOwn(event.content, 'redacts')) return event.content
  return { ...event.content, redacts: event.redacts }
}

/** The four fields that invites and knocks show of a room to someone outside. Spec: client-server-api § Stripped state. */
export function toStrippedEventJson(event: MatrixEvent): string {
  // By its time, clients tell a room's own creation from a made up one (MSC4311).
  const time = event.type === 'm.room.create' ? `,"origin_server_ts":${event.originServerTs}` : ''
  return (
    `{"content":${JSON.stringify(event.content)},"sender":${canonicalString(event.sender)}` +
    `,"state_key":${canonicalString(event.stateKey ?? '')},"type":${canonicalString(event.type)}${time}}`
  )
}

/** Puts `unsigned` into the JSON text of an object that has none, before its last brace. */
export function spliceUnsigned(objectJson: string, unsignedJson: string): string {
  const body = objectJson.slice(0, -1)
  return body === '{' ? `{"unsigned":${unsignedJson}}` : `${body},"unsigned":${unsignedJson}}`
}
