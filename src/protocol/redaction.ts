import type { MatrixEvent, Pdu } from './events/event.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'
import type { RoomVersion } from './room-versions/room-version.ts'

/** Top-level properties that outlive redaction since room version 11. Spec: rooms/v11 § Redactions. */
const KEPT_SINCE_V11: ReadonlySet<string> = new Set([
  'event_id',
  'type',
  'room_id',
  'sender',
  'state_key',
  'content',
  'hashes',
  'signatures',
  'depth',
  'prev_events',
  'auth_events',
  'origin_server_ts',
])
/** The same up to room version 10. Spec: rooms/v1 § Redactions. */
const KEPT_BEFORE_V11: ReadonlySet<string> = new Set([...KEPT_SINCE_V11, 'prev_state', 'origin', 'membership'])

const POWER_LEVEL_KEYS = ['ban', 'events', 'events_default', 'kick', 'redact', 'state_default', 'users', 'users_default'] as const
const POWER_LEVEL_KEYS_SINCE_V11 = [...POWER_LEVEL_KEYS, 'invite'] as const
const NOTHING: JsonObject = Object.freeze({})

/**
 * Strips the properties of an event that a redaction removes; `unsigned` goes too. Never changes its argument.
 * Spec: rooms/v1, v6, v8, v9, v11 § Redactions.
 */
export function redactEvent(roomVersion: RoomVersion, pdu: Pdu): Pdu {
  return redactPduJson(roomVersion, pdu as unknown as JsonObject) as unknown as Pdu
}

/** Does what `redactEvent` does, on an event whose shape is not checked yet. */
export function redactPduJson(roomVersion: RoomVersion, pdu: JsonObject): JsonObject {
  const out: Record<string, JsonValue> = {}
  for (const key of Object.keys(pdu)) {
    if (!isKeptByRedaction(roomVersion, key)) continue
    const value = pdu[key] as JsonValue // the key is its own
    out[key] = key === 'content' ? redactContent(roomVersion, pdu['type'], value) : value
  }
  return out
}

/** Tells whether a top-level property outlives redaction; `content` does, but stripped. */
export function isKeptByRedaction(roomVersion: RoomVersion, key: string): boolean {
  return (roomVersion.updatedRedactionRules ? KEPT_SINCE_V11 : KEPT_BEFORE_V11).has(key)
}

/** Makes the redacted form of a parsed event. It keeps its id and place in the graph. */
export function redactMatrixEvent(roomVersion: RoomVersion, event: MatrixEvent): MatrixEvent {
  const pdu = redactEvent(roomVersion, event.pdu)
  const redacts = roomVersion.updatedRedactionRules ? event.redacts : undefined
  return { ...event, content: pdu.content, redacts, pdu }
}

/** Strips the content of an event as a redaction does. Never changes its argument. Spec: rooms/v1 to rooms/v11 § Redactions. */
export function redactContent(roomVersion: RoomVersion, type: JsonValue | undefined, content: JsonValue): JsonObject {
  if (!isJsonObject(content)) return NOTHING
  const updated = roomVersion.updatedRedactionRules
  switch (type) {
    case 'm.room.member':
      return redactMemberContent(roomVersion, content)
    case 'm.room.create':
      return updated ? content : pick(content, ['creator'])
    case 'm.room.join_rules':
      return pick(content, roomVersion.hasRestrictedJoin ? ['join_rule', 'allow'] : ['join_rule'])
    case 'm.room.power_levels':
      return pick(content, updated ? POWER_LEVEL_KEYS_SINCE_V11 : POWER_LEVEL_KEYS)
    case 'm.room.history_visibility':
      return pick(content, ['history_visibility'])
    case 'm.room.aliases':
      return roomVersion.specialAliasesAuth ? pick(content, ['aliases']) : NOTHING
    case 'm.room.redaction':
      return updated ? pick(content, ['redacts']) : NOTHING
  }
  return NOTHING
}

function redactMemberContent(roomVersion: RoomVersion, content: JsonObject): JsonObject {
  const keys = roomVersion.redactionKeepsJoinAuthorised ? ['membership', 'join_authorised_via_users_server'] : ['membership']
  const out = pick(content, keys)
  const invite = content['third_party_invite']
  if (!roomVersion.updatedRedactionRules || !isJsonObject(invite)) return out
  // An invite without `signed` stays as an empty object: MSC3821, and the hash depends on it.
  return { ...out, third_party_invite: pick(invite, ['signed']) }
}

function pick(content: JsonObject, keys: readonly string[]): JsonObject {
  const out: Record<string, JsonValue> = {}
  for (const key of keys) if (Object.hasOwn(content, key)) out[key] = content[key] as JsonValue // the key is its own
  return out
}
