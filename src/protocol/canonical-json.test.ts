import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CANONICAL_JSON_DEPTH_MAX, canonicalJson, compareCodePoints } from './canonical-json.ts'
import type { JsonObject, JsonValue } from './json.ts'

describe('the examples of the specification', () => {
  const auth =
    '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":' +
    '[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}'
  test.each<[string, string]>([
    ['{}', '{}'],
    ['{"one": 1, "two": "Two"}', '{"one":1,"two":"Two"}'],
    ['{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'],
    [
      `{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {"display_name": "John Doe", "three_pids":
        [{"medium": "email", "address": "john.doe@example.org"}, {"medium": "msisdn", "address": "123456789"}]}}}`,
      auth,
    ],
    ['{"a": "日本語"}', '{"a":"日本語"}'],
    ['{"本": 2, "日": 1}', '{"日":1,"本":2}'],
    ['{"a": "\\u65E5"}', '{"a":"日"}'],
    ['{"a": null}', '{"a":null}'],
    ['{"a": -0, "b": 1e10}', '{"a":0,"b":10000000000}'],
  ])('%s', (input, expected) => {
    expect(canonicalJson(JSON.parse(input) as JsonValue)).toBe(expected)
  })
})

describe('against the output of another implementation (Python, json.dumps with sort_keys)', () => {
  test('keys sort by code point, not by UTF-16 unit', () => {
    const value = { '\uffff': 1, '\u{10000}': 2, '\ue000': 3, a: 0 }
    expect(canonicalJson(value)).toBe('{"a":0,"\ue000":3,"\uffff":1,"\u{10000}":2}')
  })

  test('keys that look like integers sort as text', () => {
    expect(canonicalJson({ 10: 1, 9: 2, '01': 3, '-1': 4 })).toBe('{"-1":4,"01":3,"10":1,"9":2}')
  })

  test('only control characters, quotes and backslashes are escaped', () => {
    expect(canonicalJson('\u007f\u0080\u2028/')).toBe('"\u007f\u0080\u2028/"')
    expect(canonicalJson('\b\t\n\f\r"\\\u0001\u001f')).toBe('"\\b\\t\\n\\f\\r\\"\\\\\\u0001\\u001f"')
  })

  test('numbers of old room versions are written where they are asked for', () => {
    const values = [1e-5, 0.0001, 1.5, 123456789.25, 5e-324, -2.5e-7, -0, 2 ** 60, 2 ** 63]
    expect(canonicalJson(values, { allowAnyNumber: true })).toBe(
      '[1e-05,0.0001,1.5,123456789.25,5e-324,-2.5e-07,0,1152921504606846976,9223372036854775807]',
    )
  })
})

describe('refusals', () => {
  test.each([1.5, 2 ** 53, -(2 ** 53), Number.NaN, Number.POSITIVE_INFINITY])('the number %d', (value) => {
    expect(() => canonicalJson({ a: [value] })).toThrow(expect.objectContaining({ errcode: 'M_BAD_JSON' }))
  })

  test('infinity, even where any number goes', () => {
    expect(() => canonicalJson(Number.NEGATIVE_INFINITY, { allowAnyNumber: true })).toThrow(/integers/)
  })

  test.each<[string, JsonValue]>([
    ['value', '\ud800'],
    ['key', { '\udc00': 1 }],
  ])('a lone surrogate in a %s', (_where, value) => {
    expect(() => canonicalJson(value)).toThrow(/surrogate/)
  })

  test('nesting beyond the limit', () => {
    let value: JsonValue = 1
    for (let depth = 0; depth < CANONICAL_JSON_DEPTH_MAX; depth++) value = [value]
    expect(canonicalJson(value)).toHaveLength(2 * CANONICAL_JSON_DEPTH_MAX + 1)
    const tooDeep = { a: value }
    expect(() => canonicalJson(tooDeep)).toThrow(expect.objectContaining({ errcode: 'M_BAD_JSON' }))
  })
})

test('properties that are undefined or asked to be omitted are left out, the latter only at the top', () => {
  const value = { b: undefined, a: { signatures: 1 }, signatures: 2 } as unknown as JsonObject
  expect(canonicalJson(value, { omit: ['signatures'] })).toBe('{"a":{"signatures":1}}')
})

test('__proto__ is written like any key', () => {
  expect(canonicalJson(JSON.parse('{"b":1,"__proto__":{"a":1}}') as JsonValue)).toBe('{"__proto__":{"a":1},"b":1}')
})

/** An implementation that is obviously right and slow: it sorts arrays of code points. */
function naive(value: JsonValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value === 0 ? 0 : value)
  if (Array.isArray(value)) return `[${value.map(naive).join(',')}]`
  const byCodePoint = ([a]: [string, JsonValue], [b]: [string, JsonValue]) => {
    const left = [...a].map((c) => c.codePointAt(0) as number)
    const right = [...b].map((c) => c.codePointAt(0) as number)
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      if (left[i] !== right[i]) return (left[i] as number) - (right[i] as number)
    }
    return left.length - right.length
  }
  const entries = Object.entries(value as JsonObject).sort(byCodePoint)
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${naive(inner)}`).join(',')}}`
}

describe('properties', () => {
  const text = fc.string({ unit: 'binary', maxLength: 6 })
  const key = fc.oneof(text, fc.constantFrom('a', '1', '10', '2', '\uffff', '\u{10000}', '__proto__'))
  const leaf = fc.oneof(text, fc.maxSafeInteger(), fc.boolean(), fc.constant(null))
  const { value } = fc.letrec<{ value: JsonValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value')),
      fc.dictionary(key, tie('value'), { maxKeys: 6 }),
    ) as never,
  }))

  test('equals the naive implementation, whatever the order of the keys', () => {
    fc.assert(
      fc.property(value, (json) => {
        expect(canonicalJson(json)).toBe(naive(json))
        if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
          const reversed = Object.fromEntries(Object.entries(json).reverse())
          expect(canonicalJson(reversed)).toBe(naive(json))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('is idempotent: parsing and writing again changes nothing', () => {
    fc.assert(
      fc.property(value, (json) => {
        const once = canonicalJson(json)
        expect(canonicalJson(JSON.parse(once) as JsonValue)).toBe(once)
      }),
      { numRuns: 200 },
    )
  })

  test('code points compare as a total order', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareCodePoints(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))))
      }),
      { numRuns: 200 },
    )
  })
})
