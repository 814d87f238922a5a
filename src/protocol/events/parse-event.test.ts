import { describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../json.ts'
import { getRoomVersion, ROOM_VERSIONS } from '../room-versions/room-versions.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { EVENT_BYTES_MAX } from './event-limits.ts'
import { parsePdu, readPdu } from './parse-event.ts'

const IDS = ROOM_VERSIONS.map((version) => version.id)
const version = (id: string) => getRoomVersion(id) as RoomVersion

function valid(id: string, over: Record<string, JsonValue | undefined> = {}): JsonObject {
  const isOld = Number(id) <= 2
  const reference = (eventId: string) => (isOld ? [eventId, { sha256: 'x' }] : eventId)
  const pdu: Record<string, JsonValue | undefined> = {
    type: 'm.room.message',
    sender: '@a:b',
    room_id: id === '12' ? `!${'r'.repeat(43)}` : '!r:b',
    content: { body: 'x' },
    depth: 3,
    origin_server_ts: 4,
    prev_events: [reference('$p:b')],
    auth_events: [reference('$q:b')],
    hashes: { sha256: 'x' },
    signatures: { b: { 'ed25519:1': 's' } },
    ...(isOld && { event_id: '$e:b' }),
    ...over,
  }
  for (const key of Object.keys(pdu)) if (pdu[key] === undefined) delete pdu[key]
  return pdu as JsonObject
}

test.each(IDS)('v%s: a valid event is read, without unsigned', (id) => {
  const { event, json, hasValidHash } = readPdu(valid(id, { unsigned: { age: 5 }, extra: [1] }), version(id))
  expect(event).toMatchObject({
    roomVersion: id,
    type: 'm.room.message',
    stateKey: undefined,
    sender: '@a:b',
    depth: 3,
    originServerTs: 4,
    prevEventIds: ['$p:b'],
    authEventIds: ['$q:b'],
    redacts: undefined,
  })
  expect(event.pdu).toEqual(valid(id, { extra: [1] }))
  expect(json).not.toContain('unsigned')
  expect(hasValidHash).toBe(false)
  expect(event.eventId).toMatch(Number(id) <= 2 ? /^\$e:b$/ : /^\$[A-Za-z0-9+/_-]{43}$/)
})

const EVERYWHERE = ['type', 'sender', 'content', 'depth', 'origin_server_ts', 'room_id']
const REQUIRED = [...EVERYWHERE, 'prev_events', 'auth_events', 'hashes', 'signatures']
const BAD: [name: string, over: Record<string, JsonValue | undefined>][] = [
  ...REQUIRED.flatMap((key): [string, Record<string, JsonValue | undefined>][] => [
    [`${key} missing`, { [key]: undefined }],
    [`${key} null`, { [key]: null }],
    [`${key} true`, { [key]: true }],
  ]),
  ['type with U+0000', { type: 'a\u0000' }],
  ['sender without sigil', { sender: 'a:b' }],
  ['sender without server', { sender: '@a' }],
  ['room_id without sigil', { room_id: 'r:b' }],
  ['state_key no string', { state_key: null }],
  ['content a list', { content: [] }],
  ['depth negative', { depth: -1 }],
  ['depth a fraction', { depth: 1.5 }],
  ['depth beyond 64 bits', { depth: 2 ** 64 }],
  ['origin_server_ts a fraction', { origin_server_ts: 1.5 }],
  ['hashes without sha256', { hashes: {} }],
  ['hashes with a number', { hashes: { sha256: 5 } }],
  ['signatures of strings', { signatures: { b: 'x' } }],
  ['prev_events of numbers', { prev_events: [5] }],
  ['prev_events without sigil', { prev_events: ['p'] }],
  ['prev_events of triples', { prev_events: [['$p', {}, 1]] }],
  ['21 prev_events', { prev_events: Array<string>(21).fill('$p') }],
  ['11 auth_events', { auth_events: Array<string>(11).fill('$p') }],
]
describe.each(BAD)('%s', (_name, over) => {
  test.each(IDS)('v%s: is refused', (id) => {
    expect(() => parsePdu(valid(id, over), version(id))).toThrow(expect.objectContaining({ errcode: 'M_BAD_JSON' }))
  })
})

test.each(IDS)('v%s: references have the form of the version', (id) => {
  const isOld = Number(id) <= 2
  const pairs = { prev_events: [['$p:b', { sha256: 'x' }]] }
  const plain = { prev_events: ['$p:b'] }
  expect(() => parsePdu(valid(id, isOld ? plain : pairs), version(id))).toThrow(/prev_events/)
  expect(parsePdu(valid(id, isOld ? pairs : plain), version(id)).prevEventIds).toEqual(['$p:b'])
})

test('versions 1 and 2 need an event id with a server name', () => {
  for (const eventId of [undefined, 5, 'e:b', '$e']) {
    expect(() => parsePdu(valid('2', { event_id: eventId }), version('2'))).toThrow(/event_id/)
  }
})

test('version 12 takes only room ids that are hashes, and none on the create event', () => {
  expect(() => parsePdu(valid('12', { room_id: '!r:b' }), version('12'))).toThrow(/room_id/)
  const create = valid('12', { type: 'm.room.create', state_key: '', room_id: undefined })
  const event = parsePdu(create, version('12'))
  expect(event.roomId).toBe(`!${event.eventId.slice(1)}`)
  expect(() => parsePdu(valid('11', { type: 'm.room.create', room_id: undefined }), version('11'))).toThrow(/room_id/)
})

test('depth ends at 2^53-1 since version 6, at 2^63-1 before', () => {
  for (const id of IDS) {
    expect(parsePdu(valid(id, { depth: 2 ** 53 - 1 }), version(id)).depth).toBe(2 ** 53 - 1)
    if (Number(id) >= 6) expect(() => parsePdu(valid(id, { depth: 2 ** 53 }), version(id))).toThrow(/depth/)
  }
  const text = JSON.stringify(valid('5', { depth: 0 })).replace('"depth":0', '"depth":9223372036854775807')
  const { event, json } = readPdu(JSON.parse(text) as JsonObject, version('5'))
  expect(event.depth).toBe(2 ** 53 - 1)
  expect(json).toContain('"depth":9223372036854775807')
})

test('numbers in the content must be canonical since version 6 only', () => {
  for (const id of IDS) {
    const read = () => parsePdu(valid(id, { content: { a: 1.5 } }), version(id))
    if (Number(id) >= 6) expect(read).toThrow(/integers/)
    else expect(read().content).toEqual({ a: 1.5 })
  }
})

test('what is too long is too large', () => {
  const tooLarge = expect.objectContaining({ errcode: 'M_TOO_LARGE' })
  const long = 'é'.repeat(128)
  const longId = { sender: `@${long}:b`, room_id: `!${long}`, prev_events: [`$${long}`] }
  for (const over of [{ type: long }, { state_key: long }, ...Object.entries(longId).map(([key, value]) => ({ [key]: value }))]) {
    expect(() => parsePdu(valid('11', over), version('11'))).toThrow(tooLarge)
  }
  expect(() => parsePdu(valid('11', { content: { a: 'x'.repeat(EVENT_BYTES_MAX) } }), version('11'))).toThrow(tooLarge)
  const unsigned = { a: 'x'.repeat(EVENT_BYTES_MAX) }
  expect(parsePdu(valid('11', { unsigned }), version('11')).type).toBe('m.room.message')
})

test('the target of a redaction is read from where the version keeps it, and only if it is a string', () => {
  const redaction = { type: 'm.room.redaction', redacts: '$top', content: { redacts: '$inner' } }
  expect(parsePdu(valid('10', redaction), version('10')).redacts).toBe('$top')
  expect(parsePdu(valid('11', redaction), version('11')).redacts).toBe('$inner')
  expect(parsePdu(valid('10', { ...redaction, redacts: 5 }), version('10')).redacts).toBeUndefined()
  expect(parsePdu(valid('10', { redacts: '$top' }), version('10')).redacts).toBeUndefined()
})

test.each(IDS)('v%s: keys may have 255 code points of any size up to version 10, 255 bytes since', (id) => {
  const read = (stateKey: string) => () => parsePdu(valid(id, { state_key: stateKey }), version(id))
  if (Number(id) <= 10) expect(read('💥'.repeat(255))).not.toThrow()
  else expect(read('💥'.repeat(70))).toThrow(/longer than 255 bytes/)
  expect(read('💥'.repeat(256))).toThrow(/longer than 255/)
})
