import { MatrixError } from './errors.ts'
import type { JsonObject, JsonValue } from './json.ts'

/** What to write otherwise than as it stands. */
export interface CanonicalJsonOptions {
  /** Properties of the outermost object to leave out, such as `signatures`. */
  readonly omit?: readonly string[]
  /**
   * Writes numbers that are not canonical instead of refusing them: events of room versions 1 to 5 may hold them.
   * Integers lose digits beyond 2^53 and `1.0` becomes `1`, so such an event may fail its hash check and count as redacted.
   */
  readonly allowAnyNumber?: boolean
}

/** How deep a value may nest before it is refused; what `parseStrictJson` lets through always fits. */
export const CANONICAL_JSON_DEPTH_MAX = 256

/** Control characters, quote and backslash need an escape; surrogates need a look whether they come in pairs. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const NEEDS_CARE = /["\\\u0000-\u001f\ud800-\udfff]/
const SURROGATE = /[\ud800-\udfff]/

/**
 * Writes a value as canonical JSON: no spaces, keys by code point, integers only. Properties that are undefined are left out.
 * Throws M_BAD_JSON on numbers that are no integers in ±(2^53−1), on lone surrogates and on too deep nesting.
 * Spec: appendices § Canonical JSON.
 */
export function canonicalJson(value: JsonValue, options?: CanonicalJsonOptions): string {
  const anyNumber = options?.allowAnyNumber === true
  if (options?.omit !== undefined && isObject(value)) return writeObject(value, 0, anyNumber, options.omit)
  return write(value, 0, anyNumber)
}

/** Writes a string as JSON, as canonical JSON wants it. Throws M_BAD_JSON on lone surrogates. */
export function canonicalString(text: string): string {
  if (!NEEDS_CARE.test(text)) return `"${text}"`
  if (!text.isWellFormed()) throw new MatrixError('M_BAD_JSON', 'A string holds a lone surrogate')
  return JSON.stringify(text)
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function write(value: JsonValue, depth: number, anyNumber: boolean): string {
  switch (typeof value) {
    case 'string':
      return canonicalString(value)
    case 'number':
      // Adding 0 turns -0 into 0.
      return Number.isSafeInteger(value) ? `${value + 0}` : oddNumber(value, anyNumber)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? writeArray(value, depth, anyNumber) : writeObject(value as JsonObject, depth, anyNumber)
  }
  throw new MatrixError('M_BAD_JSON', `A ${typeof value} is no JSON value`)
}

function writeArray(values: readonly JsonValue[], depth: number, anyNumber: boolean): string {
  if (depth >= CANONICAL_JSON_DEPTH_MAX) throw tooDeep()
  let out = ''
  for (const value of values) out += out === '' ? write(value, depth + 1, anyNumber) : `,${write(value, depth + 1, anyNumber)}`
  return `[${out}]`
}

function writeObject(object: JsonObject, depth: number, anyNumber: boolean, omit?: readonly string[]): string {
  if (depth >= CANONICAL_JSON_DEPTH_MAX) throw tooDeep()
  const keys = sortKeys(Object.keys(object))
  let out = ''
  for (const key of keys) {
    const value = object[key]
    if (value === undefined || omit?.includes(key) === true) continue
    const member = `${canonicalString(key)}:${write(value, depth + 1, anyNumber)}`
    out = out === '' ? member : `${out},${member}`
  }
  return `{${out}}`
}

/** Sorts by code point, in place. JavaScript compares UTF-16 units, which differs only where surrogates are involved. */
function sortKeys(keys: string[]): string[] {
  let isSorted = true
  let hasSurrogate = false
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string // in range
    if (i > 0 && (keys[i - 1] as string) > key) isSorted = false
    if (SURROGATE.test(key)) hasSurrogate = true
  }
  if (hasSurrogate) return keys.sort(compareCodePoints)
  return isSorted ? keys : keys.sort()
}

/** Compares two strings by Unicode code point. */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i)
    const right = b.charCodeAt(i)
    if (left !== right) return codePointRank(left) - codePointRank(right)
  }
  return a.length - b.length
}

/** Surrogates stand for code points above U+FFFF, so they rank above every other unit; their order among themselves holds. */
function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}

function oddNumber(value: number, anyNumber: boolean): string {
  if (!anyNumber || !Number.isFinite(value)) {
    throw new MatrixError('M_BAD_JSON', 'Numbers must be integers between -(2^53)+1 and (2^53)-1')
  }
  // No event may hold 2^63: it was 2^63-1 before it was read, the greatest depth of the old room versions.
  if (value === 2 ** 63) return '9223372036854775807'
  if (Number.isInteger(value)) return BigInt(value).toString()
  // Other servers write the shortest digits too, with an exponent below 1e-4 and with at least two digits in it.
  if (Math.abs(value) >= 1e-4) return String(value)
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
}

function tooDeep(): MatrixError {
  return new MatrixError('M_BAD_JSON', 'The JSON nests too deep')
}
