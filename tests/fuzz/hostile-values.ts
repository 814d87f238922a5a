import type { SeededRandom } from './seeded-random.ts'

/** A piece of JSON text that is put into a body as it stands: not everything hostile survives JSON.stringify. */
export class RawJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

const ODD_TEXTS = [
  '',
  ' ',
  '\u0000',
  'before\u0000after',
  '\ufeff',
  '\u202etxt.exe',
  'e\u0301\u0323',
  '\u{1F468}\u200d\u{1F469}\u200d\u{1F467}',
  '\ufffe\uffff',
  '\u001b[2J\r\n\t\b',
  "'; DROP TABLE events; --",
  '%00%ff%2f..%2f..',
  '../../../../etc/passwd',
  '{{constructor}}',
  '__proto__',
  'constructor',
  'toString',
  'null',
  '0',
  '-1',
  'NaN',
  '*',
  '?'.repeat(50) + '*'.repeat(50),
  '@:',
  '@user',
  '@user:',
  '!',
  '#a:b:c:d',
  '$',
  'mxc://',
  'mxc://a/../b',
  '@' + 'x'.repeat(300) + ':example.org',
  'a'.repeat(256),
  'é'.repeat(200),
] as const

const ODD_RAW = [
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"a\\u0000b"',
  '{"\\ud800":1}',
  '{"a\\u0000b":1}',
  '{"a":1,"a":2}',
  '1e400',
  '-1e400',
  '1.0',
  '1.5',
  '1e2',
  '-0',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740993',
  '2147483648',
  '9223372036854775808',
  '123456789012345678901234567890',
  '{"__proto__":{"isAdmin":true}}',
  '{"constructor":{"prototype":{}}}',
  '{"toString":1,"length":-1}',
] as const

/** A text that programs stumble over. */
export function oddText(random: SeededRandom): string {
  if (random.chance(0.03)) return 'x'.repeat(random.pick([1000, 66_000, 300_000]))
  return random.pick(ODD_TEXTS)
}

/** Any value but likely not the one that is wanted: other types, limits of numbers, odd text, depth, size. */
export function oddValue(random: SeededRandom): unknown {
  switch (random.below(10)) {
    case 0:
      return null
    case 1:
      return random.chance(0.5)
    case 2:
      return random.pick([0, -1, 1, 255, 65_536, 2 ** 31, 2 ** 53 - 1])
    case 3:
      return random.pick([[], [null], [[[]]], [oddText(random), 1, {}]])
    case 4:
      return random.pick([{}, { '': '' }, { [oddText(random)]: oddText(random) }])
    case 5:
    case 6:
      return new RawJson(random.pick(ODD_RAW))
    case 7:
      return random.chance(0.2) ? deep(random) : oddText(random)
    default:
      return oddText(random)
  }
}

function deep(random: SeededRandom): RawJson {
  const depth = random.pick([50, 200, 5000])
  return random.chance(0.5)
    ? new RawJson('['.repeat(depth) + ']'.repeat(depth))
    : new RawJson('{"a":'.repeat(depth) + '1' + '}'.repeat(depth))
}

/** Writes JSON with the raw pieces in their places. */
export function writeJson(value: unknown): string {
  if (value instanceof RawJson) return value.text
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([key, member]) => `${JSON.stringify(key)}:${writeJson(member)}`)
      .join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}

/** Bodies that are no JSON object at all. */
export function brokenBody(random: SeededRandom): string | Uint8Array {
  return random.pick<string | Uint8Array>([
    '',
    '{',
    '[]',
    '"text"',
    'null',
    '{"a":1}garbage',
    '{"a":undefined}',
    "{'a':1}",
    Uint8Array.of(0xff, 0xfe, 0x7b, 0x7d),
    Uint8Array.of(0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d),
    Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d),
    '['.repeat(100_000),
    `{"a":"${'x'.repeat(400_000)}"}`,
  ])
}
