import type { MatrixEvent } from '../events/event.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../json.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import type { AuthStateLookup } from './auth-result.ts'

/** The levels that `m.room.power_levels` names at its top, with the defaults that hold with and without the event. */
export const DEFAULT_LEVELS = {
  ban: 50,
  events_default: 0,
  invite: 0,
  kick: 50,
  redact: 50,
  state_default: 50,
  users_default: 0,
} as const
export type LevelName = keyof typeof DEFAULT_LEVELS

const INTEGER_STRING = /^\s*[+-]?[0-9]+\s*$/
const CREATOR_LEVEL_BEFORE_POWER_LEVELS = 100

/**
 * A view on the power levels in force. It reads the event's content at each question instead of unpacking it first:
 * most events ask for two users and one event type, and `users` may have thousands of entries.
 */
export interface PowerLevels {
  readonly roomVersion: RoomVersion
  /** Content of the `m.room.power_levels` event, undefined where the room has none. */
  readonly content: JsonObject | undefined
  /** Who made the room; since room version 12 they stand above every level. */
  readonly creators: readonly string[]
}

/** Reads a level as the room version allows it to be written; undefined where it is no level. Spec: rooms/v1, rooms/v10. */
export function parseLevel(roomVersion: RoomVersion, value: JsonValue | undefined): number | undefined {
  if (typeof value === 'number') {
    if (Number.isInteger(value)) return value
    return roomVersion.strictCanonicalJson || !Number.isFinite(value) ? undefined : Math.trunc(value)
  }
  if (typeof value !== 'string' || roomVersion.integerPowerLevels || !INTEGER_STRING.test(value)) return undefined
  return Number(value)
}

/** Lists the creators of a room. Spec: rooms/v12 § Authorisation rules (room creators); `content.creator` up to v10. */
export function roomCreators(roomVersion: RoomVersion, createEvent: MatrixEvent): readonly string[] {
  if (!roomVersion.implicitRoomCreator) {
    const creator = createEvent.content['creator']
    return typeof creator === 'string' ? [creator] : []
  }
  const additional = roomVersion.privilegedCreators ? createEvent.content['additional_creators'] : undefined
  if (!Array.isArray(additional)) return [createEvent.sender]
  return [createEvent.sender, ...additional.filter((entry): entry is string => typeof entry === 'string')]
}

/** Builds the view of the power levels in force, from the two state events that decide them. */
export function getPowerLevels(
  roomVersion: RoomVersion,
  powerLevelsEvent: MatrixEvent | undefined,
  createEvent: MatrixEvent | undefined,
): PowerLevels {
  return {
    roomVersion,
    content: powerLevelsEvent?.content,
    creators: createEvent === undefined ? [] : roomCreators(roomVersion, createEvent),
  }
}

/** Builds the view of the power levels in force in the given state. */
export function getPowerLevelsOf(roomVersion: RoomVersion, state: AuthStateLookup): PowerLevels {
  return getPowerLevels(roomVersion, state('m.room.power_levels', ''), state('m.room.create', ''))
}

/** Reads one entry of `users`, `events` or `notifications`, safe against keys such as `__proto__`. */
function levelEntry(levels: PowerLevels, map: 'users' | 'events', key: string): number | undefined {
  const entries = levels.content?.[map]
  if (!isJsonObject(entries) || !Object.hasOwn(entries, key)) return undefined
  return parseLevel(levels.roomVersion, entries[key])
}

/** Returns a user's power level; positive infinity for the creators since room version 12. */
export function userPowerLevel(levels: PowerLevels, userId: string): number {
  if (levels.roomVersion.privilegedCreators && levels.creators.includes(userId)) return Number.POSITIVE_INFINITY
  if (levels.content === undefined) return levels.creators.includes(userId) ? CREATOR_LEVEL_BEFORE_POWER_LEVELS : 0
  return levelEntry(levels, 'users', userId) ?? namedPowerLevel(levels, 'users_default')
}

/** Returns the invite, kick, ban or redact level, or one of the defaults. */
export function namedPowerLevel(levels: PowerLevels, name: LevelName): number {
  return parseLevel(levels.roomVersion, levels.content?.[name]) ?? DEFAULT_LEVELS[name]
}

/** Returns the level that sending an event of this type asks for. Spec: server-server-api § Definitions. */
export function requiredPowerLevel(levels: PowerLevels, event: { readonly type: string; readonly isState: boolean }): number {
  return levelEntry(levels, 'events', event.type) ?? namedPowerLevel(levels, event.isState ? 'state_default' : 'events_default')
}

/** Tells whether the user's level suffices to send an event of this type; says nothing about membership. */
export function canSendEvent(
  levels: PowerLevels,
  userId: string,
  event: { readonly type: string; readonly isState: boolean },
): boolean {
  return userPowerLevel(levels, userId) >= requiredPowerLevel(levels, event)
}

/**
 * Tells whether a redaction may take effect, which since room version 3 is asked when it is applied, not by the auth rules.
 * Spec: rooms/v3 § Handling redactions.
 */
export function canApplyRedaction(levels: PowerLevels, redactionSender: string, targetSender: string): boolean {
  if (userPowerLevel(levels, redactionSender) >= namedPowerLevel(levels, 'redact')) return true
  return redactionSender.slice(redactionSender.indexOf(':')) === targetSender.slice(targetSender.indexOf(':'))
}
