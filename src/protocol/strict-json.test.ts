import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MatrixError } from './errors.ts'
import type { JsonValue } from './json.ts'
import { JSON_DEPTH_MAX, parseStrictJson } from './strict-json.ts'

function errcodeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof MatrixError) return error.errcode
    throw error
  }
  return 'none'
}

describe('syntax', () => {
  test('text and bytes give the same value', () => {
    const text = '{"a":[1,"é日😀",null,true],"b":{}}'
    expect(parseStrictJson(text)).toEqual({ a: [1, 'é日😀', null, true], b: {} })
    expect(parseStrictJson(Buffer.from(text))).toEqual(parseStrictJson(text))
  })

  test.each(['', '{', '{"a":1,}', "{'a':1}", 'NaN', '01', '\ufeff{}', '{} x'])('%j is not JSON', (text) => {
    expect(errcodeOf(() => parseStrictJson(text))).toBe('M_NOT_JSON')
    expect(errcodeOf(() => parseStrictJson(Buffer.from(text)))).toBe('M_NOT_JSON')
  })

  test.each([[[0x22, 0xff, 0x22]], [[0x22, 0xc3, 0x22]], [[0x22, 0xed, 0xa0, 0x80, 0x22]], [[0x22, 0xc0, 0x80, 0x22]]])(
    'bytes %j that are not UTF-8 are not JSON',
    (bytes) => {
      expect(errcodeOf(() => parseStrictJson(Buffer.from(bytes)))).toBe('M_NOT_JSON')
    },
  )

  test('the last one of repeated keys holds', () => {
    expect(parseStrictJson('{"a":1,"b":2,"a":3}')).toEqual({ a: 3, b: 2 })
  })

  test('__proto__ is a property like any other', () => {
    const value = parseStrictJson('{"__proto__":{"isAdmin":true}}') as Record<string, JsonValue>
    expect(value['isAdmin']).toBeUndefined()
    expect(Object.keys(value)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined()
  })
})

describe('surrogates', () => {
  test.each(['"\\ud800"', '{"a":["\\uDC00x"]}', '{"\\ud83d":1}', '"\\ude00\\ud83d"', '"\ud800"'])('%j is refused', (text) => {
    expect(errcodeOf(() => parseStrictJson(text))).toBe('M_BAD_JSON')
  })

  test('pairs written as escapes are fine, and so is a backslash before the letter u', () => {
    expect(parseStrictJson('"\\ud83d\\ude00"')).toBe('😀')
    expect(parseStrictJson('"\\\\ud83d"')).toBe('\\ud83d')
  })
})

describe('depth', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

  test('the limit itself is fine, one more is refused', () => {
    expect(parseStrictJson(nested(JSON_DEPTH_MAX))).toBeInstanceOf(Array)
    expect(errcodeOf(() => parseStrictJson(nested(JSON_DEPTH_MAX + 1)))).toBe('M_BAD_JSON')
    expect(errcodeOf(() => parseStrictJson('{"a":'.repeat(101) + '1' + '}'.repeat(101)))).toBe('M_BAD_JSON')
    expect(errcodeOf(() => parseStrictJson(nested(6), { depthMax: 5 }))).toBe('M_BAD_JSON')
  })

  test('many brackets side by side or in strings are no depth', () => {
    expect(parseStrictJson(`[${'[],{},'.repeat(500)}1]`)).toHaveLength(1001)
    expect(parseStrictJson(JSON.stringify('[{'.repeat(500)))).toHaveLength(1000)
  })

  test('a hundred thousand levels end in an answer, not in a stack overflow', () => {
    expect(errcodeOf(() => parseStrictJson(nested(100_000)))).toBe('M_BAD_JSON')
  })
})

describe('canonical numbers', () => {
  const refused = [
    '1.0',
    '-0.0',
    '1e2',
    '1E2',
    '1e-2',
    '0.5',
    '9007199254740992',
    '9007199254740993',
    '-9007199254740992',
    '1e400',
  ]
  const positions = (token: string) => [token, `[${token}]`, `{"a":${token}}`, `{"a" : \n ${token} }`, `[1,\t${token},2]`]

  test.each(refused)('%s is refused wherever it stands, by its text', (token) => {
    for (const text of positions(token)) {
      expect(errcodeOf(() => parseStrictJson(text, { canonicalNumbers: true }))).toBe('M_BAD_JSON')
      expect(errcodeOf(() => parseStrictJson(text))).toBe('none')
    }
  })

  test.each(['0', '-0', '-1', '9007199254740991', '-9007199254740991'])('%s is an integer in range', (token) => {
    for (const text of positions(token)) expect(errcodeOf(() => parseStrictJson(text, { canonicalNumbers: true }))).toBe('none')
  })

  test('numbers inside of strings are text', () => {
    const value = { version: '1.5', list: 'a, 1.5', range: '[1e9]', long: ':12345678901234567890' }
    expect(parseStrictJson(JSON.stringify(value), { canonicalNumbers: true })).toEqual(value)
  })
})

test('whatever JSON.stringify writes of integers and well-formed strings is read back unchanged', () => {
  const leaf = fc.oneof(fc.string({ unit: 'binary' }), fc.maxSafeInteger(), fc.boolean(), fc.constant(null))
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value')),
      fc.dictionary(fc.string({ unit: 'binary' }), tie('value')),
    ),
  }))
  fc.assert(
    fc.property(value, fc.constantFrom(undefined, 1, '\t'), (json, indent) => {
      const text = JSON.stringify(json, undefined, indent)
      expect(parseStrictJson(Buffer.from(text), { canonicalNumbers: true })).toEqual(JSON.parse(text))
    }),
    { numRuns: 200 },
  )
})

test('arbitrary bytes give a value or a MatrixError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.string({ maxLength: 40 }), (bytes, text) => {
      for (const input of [Buffer.from(bytes), text]) {
        expect(['none', 'M_NOT_JSON', 'M_BAD_JSON']).toContain(
          errcodeOf(() => parseStrictJson(input, { canonicalNumbers: true })),
        )
      }
    }),
    { numRuns: 300 },
  )
})
