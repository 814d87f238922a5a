import { parseLevel } from '../../protocol/auth-rules/power-levels.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'

/** What goes over into the new room as it stands. Spec: client-server-api § Room upgrades. */
const COPIED_TYPES: ReadonlySet<string> = new Set([
  'm.room.join_rules',
  'm.room.name',
  'm.room.topic',
  'm.room.history_visibility',
  'm.room.guest_access',
  'm.room.avatar',
  'm.room.encryption',
  'm.room.server_acl',
])
const SPACE = 'm.space'
const DEFAULT_BAN_LEVEL = 50
const DEFAULT_STATE_LEVEL = 50
/** The new room's tombstone, since version 12, needs more than administrators have. Spec: rooms/v12. */
const TOMBSTONE_LEVEL = 150

/** Picks the state that the new room begins with, besides power levels and memberships. */
export function copiedState(create: MatrixEvent, state: readonly MatrixEvent[]): MatrixEvent[] {
  const isSpace = create.content['type'] === SPACE
  return state.filter((event) => {
    if (event.stateKey === '' && COPIED_TYPES.has(event.type)) return true
    return isSpace && event.type === 'm.space.child' && Object.keys(event.content).length > 0
  })
}

/** What the new room's creator wishes for its create event, from the old one's. */
export function upgradedCreationContent(
  create: MatrixEvent,
  upgrade: {
    readonly version: RoomVersion
    readonly roomId: RoomId
    readonly lastEventId: EventId | undefined
    readonly additionalCreators: readonly UserId[]
  },
): JsonObject {
  const {
    creator: _creator,
    room_version: _version,
    additional_creators: _additional,
    predecessor: _predecessor,
    ...rest
  } = create.content
  const { version, roomId, lastEventId, additionalCreators } = upgrade
  return {
    ...rest,
    // Since version 12 the event id may be left out: the tombstone can only name the new room once that exists.
    predecessor: { room_id: roomId, ...(lastEventId !== undefined && !version.hashRoomId && { event_id: lastEventId }) },
    ...(version.privilegedCreators && additionalCreators.length > 0 && { additional_creators: additionalCreators }),
  }
}

/** Power levels of the new room: while its state is copied, and for good. They differ where the user has too little power. */
export interface UpgradedPowerLevels {
  readonly whileCopying: JsonObject
  readonly lasting: JsonObject
}

/** Makes the new room's power levels of the old one's content. */
export function upgradedPowerLevels(
  old: { readonly version: RoomVersion; readonly content: JsonObject },
  upgrade: {
    readonly version: RoomVersion
    readonly userId: UserId
    readonly creators: readonly UserId[]
    readonly oldCreators: readonly string[]
  },
): UpgradedPowerLevels {
  const content = withIntegers(old.version, old.content)
  const users = isJsonObject(content['users']) ? content['users'] : {}
  const events = isJsonObject(content['events']) ? content['events'] : {}
  if (upgrade.version.privilegedCreators) {
    const others = Object.fromEntries(Object.entries(users).filter(([userId]) => !upgrade.creators.includes(userId as UserId)))
    const lasting = {
      ...content,
      users: others,
      events: { ...events, 'm.room.tombstone': Math.max(numberOr(events['m.room.tombstone'], 0), TOMBSTONE_LEVEL) },
    }
    return { whileCopying: lasting, lasting }
  }
  // Who stood above all levels before keeps what administrators have.
  const creators = old.version.privilegedCreators ? Object.fromEntries(upgrade.oldCreators.map((userId) => [userId, 100])) : {}
  const lasting = { ...content, users: { ...users, ...creators } as JsonObject }
  const needed = Math.max(
    numberOr(content['state_default'], DEFAULT_STATE_LEVEL),
    numberOr(content['ban'], DEFAULT_BAN_LEVEL),
    ...Object.values(events).map((level) => numberOr(level, 0)),
  )
  const own = numberOr(lasting.users[upgrade.userId], numberOr(content['users_default'], 0))
  if (own >= needed) return { whileCopying: lasting, lasting }
  return { whileCopying: { ...lasting, users: { ...lasting.users, [upgrade.userId]: needed } }, lasting }
}

/** The old room's power levels after the upgrade: only moderators may speak or invite. Undefined where that holds already. */
export function closedPowerLevels(version: RoomVersion, content: JsonObject): JsonObject | undefined {
  const level = Math.max(50, (parseLevel(version, content['users_default']) ?? 0) + 1)
  const invite = Math.max(level, parseLevel(version, content['invite']) ?? 0)
  const eventsDefault = Math.max(level, parseLevel(version, content['events_default']) ?? 0)
  if (content['invite'] === invite && content['events_default'] === eventsDefault) return undefined
  return { ...content, invite, events_default: eventsDefault }
}

/** Old rooms may have levels written as strings, which newer versions refuse. */
function withIntegers(version: RoomVersion, content: JsonObject): JsonObject {
  const fixed = (value: JsonValue): JsonValue =>
    isJsonObject(value) ? mapValues(value, fixed) : (parseLevel(version, value) ?? value)
  return mapValues(content, fixed)
}

function mapValues(object: JsonObject, change: (value: JsonValue) => JsonValue): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))
}

function numberOr(value: JsonValue | undefined, fallback: number): number {
  return typeof value === 'number' ? value : fallback
}
