import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { JsonValue } from '../../protocol/json.ts'

/** Spec: profile.yaml: the whole profile must stay below 64 KiB. */
export const PROFILE_BYTES_MAX = 64 * 1024
const FIELD_NAME_BYTES_MAX = 255
// Synapse's limits for names and avatars, which other servers expect in member events.
const DISPLAYNAME_CHARS_MAX = 256
const AVATAR_URL_CHARS_MAX = 1000
const TIME_ZONE_CHARS_MAX = 255
// Appendices § Common Namespaced Identifier Grammar.
const FIELD_NAME = /^[a-z][a-z0-9_.-]*$/

/** Checks a profile field's name. Throws M_KEY_TOO_LARGE, M_INVALID_PARAM. Spec: profile.yaml. */
export function checkFieldName(name: string): void {
  if (Buffer.byteLength(name) > FIELD_NAME_BYTES_MAX)
    throw new MatrixError('M_KEY_TOO_LARGE', `A field's name may have at most ${FIELD_NAME_BYTES_MAX} bytes`)
  if (!FIELD_NAME.test(name)) throw invalidParam('Invalid profile key')
}

/** Checks the value of a field that the spec defines; others may have any value. Throws M_INVALID_PARAM. Spec: profile.yaml. */
export function checkFieldValue(name: string, value: JsonValue): void {
  if (name === 'displayname') checkText(name, value, DISPLAYNAME_CHARS_MAX)
  else if (name === 'avatar_url') checkText(name, value, AVATAR_URL_CHARS_MAX)
  else if (name === 'm.tz') checkText(name, value, TIME_ZONE_CHARS_MAX)
}

function checkText(name: string, value: JsonValue, charsMax: number): void {
  if (typeof value !== 'string') throw invalidParam(`'${name}' must be a string`)
  if (value.length > charsMax) throw invalidParam(`'${name}' may have at most ${charsMax} characters`)
}
