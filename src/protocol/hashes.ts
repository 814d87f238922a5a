import { hash } from 'node:crypto'
import { stripPadding } from '../util/base64.ts'
import { canonicalJson } from './canonical-json.ts'
import type { Pdu } from './events/event.ts'
import type { EventId, RoomId } from './ids.ts'
import type { JsonObject } from './json.ts'
import { redactPduJson } from './redaction.ts'
import type { RoomVersion } from './room-versions/room-version.ts'

const NOT_IN_CONTENT_HASH = ['unsigned', 'signatures', 'hashes'] as const
const NOT_SIGNED = ['signatures', 'unsigned'] as const

/** Computes SHA-256 of a text's UTF-8, in unpadded base64 of the asked alphabet. */
export function sha256Text(text: string, alphabet: 'base64' | 'base64url'): string {
  return stripPadding(hash('sha256', text, alphabet))
}

/**
 * Computes the content hash, as it stands in `hashes.sha256`: it covers the unredacted event.
 * Spec: server-server-api § Calculating the content hash for an event.
 */
export function computeContentHash(roomVersion: RoomVersion, pdu: JsonObject | Pdu): string {
  const text = canonicalJson(pdu as JsonObject, { omit: NOT_IN_CONTENT_HASH, allowAnyNumber: !roomVersion.strictCanonicalJson })
  return sha256Text(text, 'base64')
}

/** Tells whether the event still is what was hashed; if not, only its redacted form may be used. */
export function hasValidContentHash(roomVersion: RoomVersion, pdu: Pdu): boolean {
  return stripPadding(pdu.hashes.sha256) === computeContentHash(roomVersion, pdu)
}

/**
 * Writes what signatures and the reference hash cover: the redacted event without `signatures` and `unsigned`.
 * Spec: server-server-api § Calculating the reference hash, § Signing Events.
 */
export function signedEventText(roomVersion: RoomVersion, pdu: JsonObject | Pdu): string {
  const redacted = redactPduJson(roomVersion, pdu as JsonObject)
  return canonicalJson(redacted, { omit: NOT_SIGNED, allowAnyNumber: !roomVersion.strictCanonicalJson })
}

/** Computes the reference hash in standard base64, as `prev_events` of room versions 1 and 2 name it. */
export function computeReferenceHash(roomVersion: RoomVersion, pdu: JsonObject | Pdu): string {
  return sha256Text(signedEventText(roomVersion, pdu), 'base64')
}

/** Makes the event id out of `signedEventText`. Only for room versions from 3 on, where the id is a hash. */
export function eventIdOfSignedText(roomVersion: RoomVersion, signedText: string): EventId {
  return `$${sha256Text(signedText, roomVersion.eventIdFormat === 3 ? 'base64' : 'base64url')}` as EventId
}

/** Computes the id of an event. In room versions 1 and 2 it is the property `event_id`; undefined where that is missing. */
export function computeEventId(roomVersion: RoomVersion, pdu: JsonObject | Pdu): EventId | undefined {
  if (roomVersion.eventIdFormat !== 1) return eventIdOfSignedText(roomVersion, signedEventText(roomVersion, pdu))
  return typeof pdu['event_id'] === 'string' ? (pdu['event_id'] as EventId) : undefined
}

/** Makes the id of a room out of the id of its create event. Only for room versions from 12 on. Spec: rooms/v12. */
export function roomIdOfCreateEvent(createEventId: EventId): RoomId {
  return `!${createEventId.slice(1)}` as RoomId
}

/** Makes the id of the create event out of the id of its room. Only for room versions from 12 on. Spec: rooms/v12. */
export function createEventIdOfRoom(roomId: RoomId): EventId {
  return `$${roomId.slice(1)}` as EventId
}
