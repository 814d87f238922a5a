import type { MatrixEvent } from '../events/event.ts'
import { isEventUserId } from '../ids.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../json.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { ALLOWED, type AuthResult, denied } from './auth-result.ts'
import { DEFAULT_LEVELS, parseLevel, type PowerLevels, userPowerLevel } from './power-levels.ts'

const LEVEL_NAMES = Object.keys(DEFAULT_LEVELS)
const NOTHING: JsonObject = Object.freeze({})

/**
 * 9. Rules on `m.room.power_levels`, numbered as in rooms/v11 (v6 to v9 lack 9.1 and 9.2, v12 has one more after 9.3).
 * `levels` are those in force, `previous` is the event that they come from.
 */
export function checkPowerLevelRules(levels: PowerLevels, event: MatrixEvent, previous: MatrixEvent | undefined): AuthResult {
  const { roomVersion } = levels
  const shape = checkShape(roomVersion, event.content)
  if (!shape.allowed) return shape
  const users = event.content['users']
  if (roomVersion.privilegedCreators && isJsonObject(users)) {
    for (const creator of levels.creators) {
      if (Object.hasOwn(users, creator)) return denied(`users names ${creator}, a creator of the room`) // v12: 10.4
    }
  }
  if (previous === undefined) return ALLOWED // 9.4
  const change = new LevelChange(roomVersion, userPowerLevel(levels, event.sender))
  for (const name of LEVEL_NAMES) {
    const refusal = change.check(name, previous.content[name], event.content[name]) // 9.5
    if (refusal !== undefined) return denied(refusal)
  }
  for (const map of roomVersion.limitNotificationsPowerLevels ? ['events', 'notifications'] : ['events']) {
    const refusal = checkMap(change, previous.content[map], event.content[map], undefined) // 9.6, 9.7
    if (refusal !== undefined) return denied(refusal)
  }
  const refusal = checkMap(change, previous.content['users'], users, event.sender) // 9.8, 9.9
  return refusal === undefined ? ALLOWED : denied(refusal) // 9.10
}

/** 9.1 to 9.3. Checks that what should be a level is one. */
function checkShape(roomVersion: RoomVersion, content: JsonObject): AuthResult {
  if (roomVersion.integerPowerLevels) {
    for (const name of LEVEL_NAMES) {
      if (Object.hasOwn(content, name) && !Number.isInteger(content[name])) return denied(`${name} is not an integer`) // 9.1
    }
  }
  for (const map of ['events', 'notifications']) {
    if (!Object.hasOwn(content, map)) continue
    const entries = content[map]
    // Before room version 10 no rule says so, but a list of levels that is no list cannot be compared with the former one.
    if (!isJsonObject(entries)) return denied(`${map} is not an object`) // 9.2
    if (roomVersion.integerPowerLevels && !Object.values(entries).every(Number.isInteger)) {
      return denied(`${map} has a value that is not an integer`) // 9.2
    }
  }
  if (!Object.hasOwn(content, 'users')) return ALLOWED
  const users = content['users']
  if (!isJsonObject(users)) return denied('users is not an object') // 9.3
  for (const userId of Object.keys(users)) {
    if (!isEventUserId(userId)) return denied('users has a key that is not a user ID') // 9.3
    if (parseLevel(roomVersion, users[userId]) === undefined) return denied(`The level of ${userId} is not an integer`) // 9.3
  }
  return ALLOWED
}

/** Judges alterations of single levels against the level of the sender. */
class LevelChange {
  readonly #roomVersion: RoomVersion
  readonly senderLevel: number

  constructor(roomVersion: RoomVersion, senderLevel: number) {
    this.#roomVersion = roomVersion
    this.senderLevel = senderLevel
  }

  /** Returns why the alteration is refused. `isOtherUser`: the current level must be lower than the sender's, not only equal. */
  check(name: string, before: JsonValue | undefined, after: JsonValue | undefined, isOtherUser = false): string | undefined {
    if (before === after) return undefined
    const current = parseLevel(this.#roomVersion, before)
    const next = parseLevel(this.#roomVersion, after)
    if (after !== undefined && next === undefined) return `The level ${name} is not an integer`
    if (current === next) return undefined
    if (current !== undefined && (isOtherUser ? current >= this.senderLevel : current > this.senderLevel)) {
      return `The current level of ${name} is too high for the sender to change it` // 9.5.1, 9.6.1, 9.8.1
    }
    if (next !== undefined && next > this.senderLevel) {
      return `The new level of ${name} is higher than the sender's` // 9.5.2, 9.7.1, 9.9.1
    }
    return undefined
  }
}

function checkMap(
  change: LevelChange,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  sender: string | undefined,
): string | undefined {
  const old = isJsonObject(before) ? before : NOTHING
  const fresh = isJsonObject(after) ? after : NOTHING
  const isUsers = sender !== undefined
  for (const key of Object.keys(fresh)) {
    const current = Object.hasOwn(old, key) ? old[key] : undefined
    const refusal = change.check(key, current, fresh[key], isUsers && key !== sender)
    if (refusal !== undefined) return refusal
  }
  for (const key of Object.keys(old)) {
    if (Object.hasOwn(fresh, key)) continue
    const refusal = change.check(key, old[key], undefined, isUsers && key !== sender)
    if (refusal !== undefined) return refusal
  }
  return undefined
}
