import type { Brand } from '../util/brand.ts'
import { MatrixError } from './errors.ts'

export type ServerName = Brand<string, 'ServerName'>
export type UserId = Brand<string, 'UserId'>
export type RoomId = Brand<string, 'RoomId'>
export type RoomAlias = Brand<string, 'RoomAlias'>
export type EventId = Brand<string, 'EventId'>
export type DeviceId = Brand<string, 'DeviceId'>

const ID_BYTES_MAX = 255
// Spec appendices § Server Name: IPv4, bracketed IPv6 or DNS name, then an optional port.
const SERVER_NAME = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::[0-9]{1,5})?$/
/** What new accounts may use. */
const USER_LOCALPART = /^[a-z0-9._=\-/+]+$/

function assertSize(value: string, what: string): void {
  if (value.length > ID_BYTES_MAX || Buffer.byteLength(value) > ID_BYTES_MAX) throw invalidId(what, 'is too long')
  if (value.includes('\u0000')) throw invalidId(what, 'contains U+0000')
  if (!value.isWellFormed()) throw invalidId(what, 'is not valid Unicode')
}

function invalidId(what: string, why: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', `The ${what} ${why}`)
}

/** Checks a server name. Throws M_INVALID_PARAM. Spec: appendices § Server Name. */
export function parseServerName(value: string): ServerName {
  if (!SERVER_NAME.test(value)) throw invalidId('server name', 'is malformed')
  return value as ServerName
}

function parseDomainId(value: string, sigil: string, what: string): void {
  assertSize(value, what)
  const colon = value.indexOf(':')
  if (value[0] !== sigil || colon < 1) throw invalidId(what, 'is malformed')
  if (!SERVER_NAME.test(value.slice(colon + 1))) throw invalidId(what, 'has a malformed server name')
}

/**
 * Checks a user id. The localpart may be anything without ':' and U+0000, since such users exist and must be dealt with (kicked,
 * say); what a new account may be called is up to `makeUserId`. Throws M_INVALID_PARAM. Spec: appendices § Historical User IDs.
 */
export function parseUserId(value: string): UserId {
  parseDomainId(value, '@', 'user ID')
  return value as UserId
}

/**
 * Tells whether a string in an event may stand as a user id. Events are judged by the grammar that every server must accept:
 * any localpart, also empty or outside ASCII; the server name is not looked at. Spec: appendices § Historical User IDs.
 */
export function isEventUserId(value: unknown): value is UserId {
  return (
    typeof value === 'string' &&
    value[0] === '@' &&
    value.includes(':', 1) &&
    value.length <= ID_BYTES_MAX &&
    !value.includes('\u0000') &&
    (value.length * 3 <= ID_BYTES_MAX || Buffer.byteLength(value) <= ID_BYTES_MAX)
  )
}

/** Tells whether a string is a user id whose server name is well-formed too. Spec: appendices § User Identifiers. */
export function isValidUserId(value: unknown): value is UserId {
  return isEventUserId(value) && value.isWellFormed() && SERVER_NAME.test(value.slice(value.indexOf(':') + 1))
}

/** Checks a room id: `!opaque:server`, or `!hash` since room version 12. Throws M_INVALID_PARAM. */
export function parseRoomId(value: string): RoomId {
  assertSize(value, 'room ID')
  if (value[0] !== '!' || value.length < 2) throw invalidId('room ID', 'is malformed')
  const colon = value.indexOf(':')
  if (colon === -1 ? !/^![A-Za-z0-9_-]{43}$/.test(value) : colon < 2 || !SERVER_NAME.test(value.slice(colon + 1))) {
    throw invalidId('room ID', 'is malformed')
  }
  return value as RoomId
}

/** Checks a room alias. Throws M_INVALID_PARAM. */
export function parseRoomAlias(value: string): RoomAlias {
  parseDomainId(value, '#', 'room alias')
  return value as RoomAlias
}

/** Checks an event id of any room version. Throws M_INVALID_PARAM. */
export function parseEventId(value: string): EventId {
  assertSize(value, 'event ID')
  if (value[0] !== '$' || value.length < 2) throw invalidId('event ID', 'is malformed')
  return value as EventId
}

/** Tells whether a value from another server looks like an event id of some room version. */
export function isEventId(value: unknown): value is EventId {
  return isSigilled(value, '$')
}

/** Tells whether a value from another server looks like a room id of some room version. */
export function isRoomId(value: unknown): value is RoomId {
  return isSigilled(value, '!')
}

function isSigilled(value: unknown, sigil: string): boolean {
  return (
    typeof value === 'string' &&
    value[0] === sigil &&
    value.length > 1 &&
    !value.includes('\u0000') &&
    value.isWellFormed() &&
    Buffer.byteLength(value) <= ID_BYTES_MAX
  )
}

/** Checks a device id: opaque, at most 255 bytes, no U+0000. Throws M_INVALID_PARAM. */
export function parseDeviceId(value: string): DeviceId {
  assertSize(value, 'device ID')
  if (value === '') throw invalidId('device ID', 'is empty')
  return value as DeviceId
}

/** Makes the id of a new local account. Throws M_INVALID_USERNAME where the localpart breaks the current grammar. */
export function makeUserId(localpart: string, serverName: ServerName): UserId {
  const userId = `@${localpart}:${serverName}`
  if (!USER_LOCALPART.test(localpart) || Buffer.byteLength(userId) > ID_BYTES_MAX) {
    throw new MatrixError('M_INVALID_USERNAME', 'User ID can only contain characters a-z, 0-9, or =_-./+, and at most 255 bytes')
  }
  return userId as UserId
}

/** The server part of a user id, alias, or room or event id that has one; undefined where there is none. */
export function serverNameOf(id: string): ServerName | undefined {
  const colon = id.indexOf(':')
  return colon === -1 ? undefined : (id.slice(colon + 1) as ServerName)
}

/** The part of a user id or alias between the sigil and the first colon. */
export function localpartOf(id: UserId | RoomAlias): string {
  return id.slice(1, id.indexOf(':'))
}
