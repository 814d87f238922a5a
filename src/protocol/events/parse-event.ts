import { canonicalJson, compareCodePoints } from '../canonical-json.ts'
import { MatrixError } from '../errors.ts'
import { eventIdOfSignedText, roomIdOfCreateEvent, sha256Text } from '../hashes.ts'
import { type EventId, isEventUserId, type RoomId, type UserId } from '../ids.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../json.ts'
import { isKeptByRedaction, redactContent } from '../redaction.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { stripPadding } from '../../util/base64.ts'
import type { MatrixEvent, Pdu } from './event.ts'
import { assertEventSize, assertFieldSize, AUTH_EVENTS_MAX, DEPTH_MAX, PREV_EVENTS_MAX } from './event-limits.ts'

/** What one pass over a received event brings to light. */
export interface ReadPdu {
  readonly event: MatrixEvent
  /** The event in canonical JSON without `unsigned`: what is stored and sent on. */
  readonly json: string
  /** What the signatures cover, for `verifyText`. */
  readonly signedText: string
  /** False: only the redacted event may be used (`redactMatrixEvent`). Spec: server-server-api § Signing Events. */
  readonly hasValidHash: boolean
}

const HASH_ROOM_ID = /^![A-Za-z0-9_-]{43}$/

/**
 * Checks the shape of an event from another server and computes its id and hashes; judges neither signatures nor authorisation.
 * Number tokens are the reader's business (`parseStrictJson` with `canonicalNumbers`). Throws M_BAD_JSON, M_TOO_LARGE.
 * Spec: server-server-api § Checks performed on receipt of a PDU (1), rooms/ § Event format.
 */
export function readPdu(json: JsonObject, roomVersion: RoomVersion): ReadPdu {
  checkShape(json, roomVersion)
  const pdu = withoutUnsigned(json)
  const texts = writeTexts(pdu, roomVersion)
  assertEventSize(texts.json)
  const eventId = roomVersion.eventIdFormat === 1 ? (pdu.event_id as EventId) : eventIdOfSignedText(roomVersion, texts.signedText)
  const isHashRoomCreate = roomVersion.hashRoomId && pdu.type === 'm.room.create'
  const roomId = isHashRoomCreate ? roomIdOfCreateEvent(eventId) : (pdu.room_id as RoomId)
  const hasValidHash = stripPadding(pdu.hashes.sha256) === sha256Text(texts.hashedText, 'base64')
  const event = eventFromStoredPdu(pdu, eventId, roomId, roomVersion)
  return { event, json: texts.json, signedText: texts.signedText, hasValidHash }
}

/** Does what `readPdu` does, for callers that need the event alone. */
export function parsePdu(json: JsonObject, roomVersion: RoomVersion): MatrixEvent {
  return readPdu(json, roomVersion).event
}

/** Makes an event of a row that we stored ourselves: checks nothing, copies nothing. */
export function eventFromStoredPdu(pdu: Pdu, eventId: EventId, roomId: RoomId, roomVersion: RoomVersion): MatrixEvent {
  const hasPairs = roomVersion.eventIdFormat === 1
  return {
    eventId,
    roomId,
    roomVersion: roomVersion.id,
    type: pdu.type,
    stateKey: pdu.state_key,
    sender: pdu.sender as UserId,
    content: pdu.content,
    depth: Math.min(pdu.depth, DEPTH_MAX),
    originServerTs: pdu.origin_server_ts,
    prevEventIds: hasPairs ? pdu.prev_events.map(idOfPair) : (pdu.prev_events as readonly EventId[]),
    authEventIds: hasPairs ? pdu.auth_events.map(idOfPair) : (pdu.auth_events as readonly EventId[]),
    redacts: pdu.type === 'm.room.redaction' ? redactsOf(pdu, roomVersion) : undefined,
    pdu,
  }
}

function idOfPair(pair: string | readonly [string, JsonObject]): EventId {
  return (typeof pair === 'string' ? pair : pair[0]) as EventId
}

function redactsOf(pdu: Pdu, roomVersion: RoomVersion): EventId | undefined {
  const redacts = roomVersion.updatedRedactionRules ? pdu.content['redacts'] : pdu.redacts
  return typeof redacts === 'string' ? (redacts as EventId) : undefined
}

function withoutUnsigned(json: JsonObject): Pdu {
  if (!Object.hasOwn(json, 'unsigned')) return json as unknown as Pdu
  const { unsigned: _unsigned, ...pdu } = json
  return pdu as unknown as Pdu
}

/** Writes the event, what its content hash covers and what its signatures cover, in one pass over its values. */
function writeTexts(pdu: Pdu, roomVersion: RoomVersion): { json: string; hashedText: string; signedText: string } {
  const options = { allowAnyNumber: !roomVersion.strictCanonicalJson }
  let json = ''
  let hashed = ''
  let signed = ''
  for (const [key, value] of Object.entries(pdu as unknown as JsonObject).sort((a, b) => compareCodePoints(a[0], b[0]))) {
    const member = `,${canonicalJson(key)}:${canonicalJson(value, options)}`
    json += member
    if (key === 'signatures') continue
    if (key !== 'hashes') hashed += member
    if (key === 'content') {
      const redacted = redactContent(roomVersion, pdu.type, value)
      signed += redacted === value ? member : `,"content":${canonicalJson(redacted, options)}`
    } else if (isKeptByRedaction(roomVersion, key)) {
      signed += member
    }
  }
  return { json: `{${json.slice(1)}}`, hashedText: `{${hashed.slice(1)}}`, signedText: `{${signed.slice(1)}}` }
}

function checkShape(json: JsonObject, roomVersion: RoomVersion): void {
  const type = stringField(json, 'type', roomVersion)
  const sender = stringField(json, 'sender', roomVersion)
  if (!isEventUserId(sender)) throw badEvent('sender is not a user ID')
  if (json['state_key'] !== undefined) stringField(json, 'state_key', roomVersion)
  if (!isJsonObject(json['content'])) throw badEvent('content is not an object')
  checkRoomId(json, roomVersion, type)
  checkDepth(json['depth'], roomVersion)
  if (!Number.isSafeInteger(json['origin_server_ts'])) throw badEvent('origin_server_ts is not an integer')
  const { hashes, signatures } = json
  if (!isJsonObject(hashes) || typeof hashes['sha256'] !== 'string') throw badEvent('hashes has no sha256')
  if (!isJsonObject(signatures) || !Object.values(signatures).every(isJsonObject)) throw badEvent('signatures is malformed')
  checkReferences(json, 'prev_events', PREV_EVENTS_MAX, roomVersion)
  checkReferences(json, 'auth_events', AUTH_EVENTS_MAX, roomVersion)
  if (roomVersion.eventIdFormat === 1) {
    const eventId = stringField(json, 'event_id', roomVersion)
    if (eventId[0] !== '$' || !eventId.includes(':')) throw badEvent('event_id is not an event ID')
  }
}

function stringField(json: JsonObject, name: string, roomVersion: RoomVersion): string {
  const value = json[name]
  if (typeof value !== 'string') throw badEvent(`${name} is not a string`)
  assertFieldSize(value, name, roomVersion.limitsFieldBytes ? 'bytes' : 'code points')
  return value
}

function checkRoomId(json: JsonObject, roomVersion: RoomVersion, type: string): void {
  // Where it may not stand, the authorisation rules refuse it.
  if (roomVersion.hashRoomId && type === 'm.room.create' && json['room_id'] === undefined) return
  const roomId = stringField(json, 'room_id', roomVersion)
  if (roomVersion.hashRoomId ? !HASH_ROOM_ID.test(roomId) : roomId[0] !== '!') throw badEvent('room_id is not a room ID')
}

function checkDepth(depth: JsonValue | undefined, roomVersion: RoomVersion): void {
  if (typeof depth !== 'number' || !Number.isInteger(depth)) throw badEvent('depth is not an integer')
  if (depth < 0) throw badEvent('depth is negative')
  // 2^63 is what 2^63-1, the greatest depth of the old room versions, becomes as a double.
  if (depth > (roomVersion.strictCanonicalJson ? DEPTH_MAX : 2 ** 63)) throw badEvent('depth is too large')
}

function checkReferences(json: JsonObject, name: string, countMax: number, roomVersion: RoomVersion): void {
  const list = json[name]
  if (!Array.isArray(list)) throw badEvent(`${name} is not a list`)
  if (list.length > countMax) throw badEvent(`${name} has more than ${countMax} entries`)
  for (const entry of list as readonly JsonValue[]) {
    let eventId = entry
    if (roomVersion.eventIdFormat === 1) {
      if (!Array.isArray(entry) || entry.length !== 2 || !isJsonObject(entry[1])) throw badEvent(`${name} has a malformed entry`)
      eventId = entry[0] as JsonValue
    }
    if (typeof eventId !== 'string' || eventId[0] !== '$') throw badEvent(`${name} has a malformed entry`)
    assertFieldSize(eventId, name)
  }
}

function badEvent(message: string): MatrixError {
  return new MatrixError('M_BAD_JSON', `The event is malformed: ${message}`)
}
