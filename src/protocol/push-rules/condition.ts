import { compileGlob, compileWordGlob, compileWordLiteral } from '../../util/glob.ts'
import type { UserId } from '../ids.ts'
import type { JsonValue } from '../json.ts'
import { parsePropertyPath } from '../property-path.ts'
import type { PushEvent } from './event-property.ts'
import { readEventProperty } from './event-property.ts'
import type { PushCondition } from './push-rule.ts'

/** What push rules need to know beside the event: about the user whose rules they are, and about the room. */
export interface PushContext {
  readonly userId: UserId
  /** The user's display name in the room. */
  readonly displayName: string | undefined
  /** Joined members of the room. */
  readonly roomMemberCount: number
  /** Infinity for creators since room version 12. */
  readonly senderPowerLevel: number
  /** `notifications` of the room's power levels; a level that is not there is 50. */
  readonly notificationPowerLevels: Readonly<Record<string, number>>
}

/** A condition made ready for many events. */
export type CompiledCondition = (event: PushEvent, context: PushContext) => boolean

const NOTIFICATION_POWER_LEVEL_DEFAULT = 50
const MEMBER_COUNT = /^(==|<=|>=|<|>)?([0-9]{1,15})$/
const NEVER: CompiledCondition = () => false

/** Makes a condition ready; one that is malformed or not known never holds. Spec: client-server-api § Conditions. */
export function compileCondition(condition: PushCondition): CompiledCondition {
  switch (condition.kind) {
    case 'event_match':
      return compileEventMatch(condition['key'], condition['pattern'])
    case 'event_property_is':
      return compilePropertyIs(condition['key'], condition['value'])
    case 'event_property_contains':
      return compilePropertyContains(condition['key'], condition['value'])
    case 'contains_display_name':
      return containsDisplayName
    case 'room_member_count':
      return compileMemberCount(condition['is'])
    case 'sender_notification_permission':
      return compileNotificationPermission(condition['key'])
    default:
      return NEVER
  }
}

/** The condition that a content rule stands for: the pattern occurs in the body, as words. */
export function compileEventMatch(key: JsonValue | undefined, pattern: JsonValue | undefined): CompiledCondition {
  if (typeof key !== 'string' || typeof pattern !== 'string') return NEVER
  const path = parsePropertyPath(key)
  const glob = key === 'content.body' ? compileWordGlob(pattern) : compileGlob(pattern)
  return (event) => {
    const value = readEventProperty(event, path)
    return typeof value === 'string' && glob.matches(value)
  }
}

function compilePropertyIs(key: JsonValue | undefined, expected: JsonValue | undefined): CompiledCondition {
  if (typeof key !== 'string' || !isSimpleValue(expected)) return NEVER
  const path = parsePropertyPath(key)
  return (event) => readEventProperty(event, path) === expected
}

function compilePropertyContains(key: JsonValue | undefined, expected: JsonValue | undefined): CompiledCondition {
  if (typeof key !== 'string' || !isSimpleValue(expected)) return NEVER
  const path = parsePropertyPath(key)
  return (event) => {
    const value = readEventProperty(event, path)
    return Array.isArray(value) && value.includes(expected)
  }
}

/** Strings, booleans, null and integers in the range of canonical JSON. */
function isSimpleValue(value: JsonValue | undefined): value is string | number | boolean | null {
  return typeof value === 'string' || typeof value === 'boolean' || value === null || Number.isSafeInteger(value)
}

function containsDisplayName(event: PushEvent, context: PushContext): boolean {
  const body = event.content['body']
  // An empty name would be found everywhere.
  if (context.displayName === undefined || context.displayName === '' || typeof body !== 'string') return false
  return compileWordLiteral(context.displayName).matches(body)
}

function compileMemberCount(is: JsonValue | undefined): CompiledCondition {
  const parsed = typeof is === 'string' ? MEMBER_COUNT.exec(is) : null
  if (parsed === null) return NEVER
  const count = Number(parsed[2])
  switch (parsed[1]) {
    case '<':
      return (_, context) => context.roomMemberCount < count
    case '>':
      return (_, context) => context.roomMemberCount > count
    case '<=':
      return (_, context) => context.roomMemberCount <= count
    case '>=':
      return (_, context) => context.roomMemberCount >= count
    default:
      return (_, context) => context.roomMemberCount === count
  }
}

function compileNotificationPermission(key: JsonValue | undefined): CompiledCondition {
  if (typeof key !== 'string') return NEVER
  return (_, context) => {
    const levels = context.notificationPowerLevels
    const needed = Object.hasOwn(levels, key) ? levels[key] : undefined
    return context.senderPowerLevel >= (needed ?? NOTIFICATION_POWER_LEVEL_DEFAULT)
  }
}
