import { canonicalJson, canonicalString } from '../canonical-json.ts'
import { eventIdOfSignedText, roomIdOfCreateEvent, sha256Text } from '../hashes.ts'
import type { EventId, RoomId, ServerName, UserId } from '../ids.ts'
import type { JsonObject } from '../json.ts'
import { redactContent } from '../redaction.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { signText } from '../signatures.ts'
import type { SigningKey } from '../signing-key.ts'
import { assert } from '../../util/assert.ts'
import type { MatrixEvent, Pdu } from './event.ts'
import { assertEventSize, assertFieldSize } from './event-limits.ts'
import { eventFromStoredPdu } from './parse-event.ts'

/** What the author of an event decides; hashes, signature and id follow from it. */
export interface EventTemplate {
  readonly type: string
  readonly sender: UserId
  readonly stateKey?: string | undefined
  readonly content: JsonObject
  /** Undefined for the create event of a room whose id is the hash of that event (room version 12). */
  readonly roomId: RoomId | undefined
  readonly depth: number
  readonly originServerTs: number
  readonly prevEvents: readonly EventId[]
  readonly authEvents: readonly EventId[]
  /** Comes to stand where the room version keeps it. */
  readonly redacts?: EventId | undefined
  /** Room versions 1 and 2 only: the id, `$opaque:server`, drawn by the caller. */
  readonly eventId?: EventId | undefined
  /** Room versions 1 and 2 only: `computeReferenceHash` of every event in `prevEvents` and `authEvents`. */
  readonly referenceHashes?: ReadonlyMap<EventId, string> | undefined
}

/** Who builds the event, for which kind of room. */
export interface EventAuthor {
  readonly roomVersion: RoomVersion
  readonly serverName: ServerName
  readonly signingKey: SigningKey
}

/** An event with its final wire text: canonical JSON, hashed and signed. */
export interface BuiltEvent {
  readonly event: MatrixEvent
  readonly json: string
}

/**
 * Hashes and signs a new event. Throws M_BAD_JSON where the content is not canonical JSON, M_TOO_LARGE where the event is
 * too large.
 *
 * Three texts are needed: what the content hash covers, what the signature and the event id cover (the redacted event), and
 * the event itself. They differ in single members only, so each value is written once and the texts share the pieces:
 *
 *     hashed = head + content          + depth          + middle + redacts + sender              + tail
 *     signed = head + redacted content + depth + hashes + middle           + sender              + tail
 *     json   = head + content          + depth + hashes + middle + redacts + sender + signatures + tail
 *
 * Spec: server-server-api § Adding hashes and signatures to outgoing events.
 */
export function buildEvent(template: EventTemplate, author: EventAuthor): BuiltEvent {
  const { roomVersion, serverName, signingKey } = author
  assertFields(template, roomVersion)
  const content = contentOf(template, roomVersion)
  const authEvents = references(template.authEvents, template, roomVersion)
  const prevEvents = references(template.prevEvents, template, roomVersion)
  const topLevelRedacts = roomVersion.updatedRedactionRules ? undefined : template.redacts

  const contentText = canonicalJson(content)
  const redacted = redactContent(roomVersion, template.type, content)
  const redactedText = redacted === content ? contentText : canonicalJson(redacted)
  const head = `{"auth_events":${canonicalJson(authEvents as never)},"content":`
  const eventIdMember = roomVersion.eventIdFormat === 1 ? `,"event_id":${canonicalString(template.eventId as string)}` : ''
  const depth = `,"depth":${canonicalJson(template.depth)}${eventIdMember}`
  const timestamp = `,"origin_server_ts":${canonicalJson(template.originServerTs)}`
  const middle = `${timestamp},"prev_events":${canonicalJson(prevEvents as never)}`
  const redactsMember = topLevelRedacts === undefined ? '' : `,"redacts":${canonicalString(topLevelRedacts)}`
  const roomMember = template.roomId === undefined ? '' : `,"room_id":${canonicalString(template.roomId)}`
  const sender = `${roomMember},"sender":${canonicalString(template.sender)}`
  const stateKeyMember = template.stateKey === undefined ? '' : `,"state_key":${canonicalString(template.stateKey)}`
  const tail = `${stateKeyMember},"type":${canonicalString(template.type)}}`

  const sha256 = sha256Text(`${head}${contentText}${depth}${middle}${redactsMember}${sender}${tail}`, 'base64')
  const hashes = `,"hashes":{"sha256":"${sha256}"}`
  const signedText = `${head}${redactedText}${depth}${hashes}${middle}${sender}${tail}`
  const signature = signText(signedText, signingKey)
  const signatures = `,"signatures":{${canonicalString(serverName)}:{${canonicalString(signingKey.id)}:"${signature}"}}`
  const json = `${head}${contentText}${depth}${hashes}${middle}${redactsMember}${sender}${signatures}${tail}`
  assertEventSize(json)

  const eventId = roomVersion.eventIdFormat === 1 ? (template.eventId as EventId) : eventIdOfSignedText(roomVersion, signedText)
  const pdu: Pdu = {
    auth_events: authEvents,
    content,
    depth: template.depth,
    ...(roomVersion.eventIdFormat === 1 && { event_id: eventId }),
    hashes: { sha256 },
    origin_server_ts: template.originServerTs,
    prev_events: prevEvents,
    ...(topLevelRedacts !== undefined && { redacts: topLevelRedacts }),
    ...(template.roomId !== undefined && { room_id: template.roomId }),
    sender: template.sender,
    signatures: { [serverName]: { [signingKey.id]: signature } },
    ...(template.stateKey !== undefined && { state_key: template.stateKey }),
    type: template.type,
  }
  const roomId = template.roomId ?? roomIdOfCreateEvent(eventId)
  return { event: eventFromStoredPdu(pdu, eventId, roomId, roomVersion), json }
}

function assertFields(template: EventTemplate, roomVersion: RoomVersion): void {
  const isHashRoomCreate = roomVersion.hashRoomId && template.type === 'm.room.create'
  assert((template.roomId === undefined) === isHashRoomCreate, 'only the create event of a version 12 room has no room id')
  assert((template.eventId !== undefined) === (roomVersion.eventIdFormat === 1), 'only room versions 1 and 2 draw event ids')
  assertFieldSize(template.type, 'type')
  assertFieldSize(template.sender, 'sender')
  if (template.stateKey !== undefined) assertFieldSize(template.stateKey, 'state_key')
}

/** Puts `redacts` into the content where the room version wants it there. Spec: rooms/v11. */
function contentOf(template: EventTemplate, roomVersion: RoomVersion): JsonObject {
  if (template.redacts === undefined || !roomVersion.updatedRedactionRules) return template.content
  return template.content['redacts'] === template.redacts ? template.content : { ...template.content, redacts: template.redacts }
}

function references(eventIds: readonly EventId[], template: EventTemplate, roomVersion: RoomVersion): Pdu['prev_events'] {
  if (roomVersion.eventIdFormat !== 1) return eventIds
  return eventIds.map((eventId): readonly [string, JsonObject] => {
    const sha256 = template.referenceHashes?.get(eventId)
    assert(sha256 !== undefined, 'room versions 1 and 2 name events together with their hashes')
    return [eventId, { sha256 }]
  })
}
