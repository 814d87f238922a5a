import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../canonical-json.ts'
import { computeContentHash, computeEventId, computeReferenceHash } from '../hashes.ts'
import type { EventId, RoomId, ServerName, UserId } from '../ids.ts'
import type { JsonObject } from '../json.ts'
import { redactEvent } from '../redaction.ts'
import { getRoomVersion, ROOM_VERSIONS } from '../room-versions/room-versions.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { importVerifyKey, signEvent, type VerifyKey, verifyEventSignature } from '../signatures.ts'
import { makeSigningKey } from '../signing-key.ts'
import { parseStrictJson } from '../strict-json.ts'
import { buildEvent, type EventTemplate } from './event-builder.ts'
import { EVENT_BYTES_MAX } from './event-limits.ts'
import { readPdu } from './parse-event.ts'

const IDS = ROOM_VERSIONS.map((version) => version.id)
const KEY = makeSigningKey('a_test', Buffer.alloc(32, 9))
const VERIFY_KEY = importVerifyKey(KEY.id, KEY.publicKeyBase64) as VerifyKey
const author = (id: string) => ({
  roomVersion: getRoomVersion(id) as RoomVersion,
  serverName: 'here.example' as ServerName,
  signingKey: KEY,
})

function template(id: string, over: Partial<EventTemplate> = {}): EventTemplate {
  const isOld = Number(id) <= 2
  return {
    type: 'm.room.message',
    sender: '@ann:here.example' as UserId,
    content: { body: 'hé\n"llo" 😀', msgtype: 'm.text' },
    roomId: (id === '12' ? `!${'r'.repeat(43)}` : '!room:here.example') as RoomId,
    depth: 7,
    originServerTs: 1_700_000_000_000,
    prevEvents: ['$prev:x'] as string[] as EventId[],
    authEvents: ['$auth1:x', '$auth2:x'] as string[] as EventId[],
    eventId: isOld ? ('$own:here.example' as EventId) : undefined,
    referenceHashes: isOld
      ? new Map([
          ['$prev:x', 'hash0'],
          ['$auth1:x', 'hash1'],
          ['$auth2:x', 'hash2'],
        ] as [EventId, string][])
      : undefined,
    ...over,
  }
}

const KINDS: [string, Partial<EventTemplate>][] = [
  ['message', {}],
  ['state event', { type: 'm.room.name', stateKey: '', content: { name: 'x' } }],
  ['member', { type: 'm.room.member', stateKey: '@ann:here.example', content: { membership: 'join', displayname: 'Ann' } }],
  ['power levels', { type: 'm.room.power_levels', stateKey: '', content: { users: { '@ann:here.example': 100 }, invite: 1 } }],
  ['redaction', { type: 'm.room.redaction', content: { reason: 'r' }, redacts: '$target:x' as EventId }],
]
for (const [kind, over] of KINDS) {
  test.each(IDS)(`v%s: a built ${kind} is canonical, has the right hash, id and signature, and reads back as itself`, (id) => {
    const { event, json } = buildEvent(template(id, over), author(id))
    const { roomVersion } = author(id)
    const parsed = parseStrictJson(json, { canonicalNumbers: true }) as JsonObject
    expect(canonicalJson(parsed)).toBe(json)
    expect(parsed).toEqual(event.pdu)
    expect(event.pdu.hashes.sha256).toBe(computeContentHash(roomVersion, parsed))
    expect(event.eventId).toBe(computeEventId(roomVersion, parsed))
    expect(verifyEventSignature(roomVersion, event.pdu, 'here.example', VERIFY_KEY)).toBe(true)
    expect(verifyEventSignature(roomVersion, redactEvent(roomVersion, event.pdu), 'here.example', VERIFY_KEY)).toBe(true)
    expect(signEvent(roomVersion, { ...event.pdu, signatures: {} }, 'here.example', KEY)).toEqual(event.pdu)
    const read = readPdu(parsed, roomVersion)
    expect(read).toMatchObject({ event, json, hasValidHash: true })
  })
}

test.each(IDS)('v%s: the create event is built in a room that it may have to name itself', (id) => {
  const over = { type: 'm.room.create', stateKey: '', content: { room_version: id }, prevEvents: [], authEvents: [], depth: 1 }
  const built = buildEvent(template(id, { ...over, ...(id === '12' && { roomId: undefined }) }), author(id))
  if (id === '12') {
    expect(built.event.roomId).toBe(`!${built.event.eventId.slice(1)}`)
    expect(built.event.pdu.room_id).toBeUndefined()
  } else {
    expect(built.event.roomId).toBe('!room:here.example')
  }
  const { roomVersion } = author(id)
  expect(readPdu(JSON.parse(built.json) as JsonObject, roomVersion).event).toEqual(built.event)
})

test('redacts stands at the top up to version 10 and inside the content from version 11 on', () => {
  const redaction = { type: 'm.room.redaction', content: { reason: 'r' }, redacts: '$target:x' as EventId }
  const old = buildEvent(template('10', redaction), author('10')).event
  expect([old.redacts, old.pdu.redacts, old.content]).toEqual(['$target:x', '$target:x', { reason: 'r' }])
  const modern = buildEvent(template('11', redaction), author('11')).event
  expect([modern.redacts, modern.pdu.redacts]).toEqual(['$target:x', undefined])
  expect(modern.content).toEqual({ reason: 'r', redacts: '$target:x' })
})

test('versions 1 and 2 name events with their reference hashes', () => {
  const { event } = buildEvent(template('1'), author('1'))
  expect(event.pdu.prev_events).toEqual([['$prev:x', { sha256: 'hash0' }]])
  expect(event.prevEventIds).toEqual(['$prev:x'])
  expect(event.eventId).toBe('$own:here.example')
  expect(computeReferenceHash(author('1').roomVersion, event.pdu)).toMatch(/^[A-Za-z0-9+/]{43}$/)
  expect(() => buildEvent(template('1', { referenceHashes: undefined }), author('1'))).toThrow(/hashes/)
})

describe('limits', () => {
  test('the whole event may have 65536 bytes', () => {
    const build = (length: number) => buildEvent(template('11', { content: { body: 'x'.repeat(length) } }), author('11')).json
    const overhead = build(0).length
    expect(build(EVENT_BYTES_MAX - overhead)).toHaveLength(EVENT_BYTES_MAX)
    expect(() => build(EVENT_BYTES_MAX - overhead + 1)).toThrow(expect.objectContaining({ errcode: 'M_TOO_LARGE', status: 413 }))
    const wide = { body: 'é'.repeat(EVENT_BYTES_MAX / 2) }
    expect(() => buildEvent(template('11', { content: wide }), author('11'))).toThrow(/larger/)
  })

  test.each<[string, Partial<EventTemplate>]>([
    ['type', { type: 'é'.repeat(128) }],
    ['state_key', { stateKey: 'x'.repeat(256) }],
    ['sender', { sender: `@${'x'.repeat(255)}:here` as UserId }],
  ])('%s may have 255 bytes', (_name, over) => {
    expect(() => buildEvent(template('11', over), author('11'))).toThrow(expect.objectContaining({ errcode: 'M_TOO_LARGE' }))
  })

  test('content must be canonical, in old versions too', () => {
    for (const id of IDS) {
      expect(() => buildEvent(template(id, { content: { a: 1.5 } }), author(id))).toThrow(/integers/)
    }
  })

  test('U+0000 stands in content but in no identifier', () => {
    expect(buildEvent(template('11', { content: { a: '\u0000' } }), author('11')).json).toContain('\\u0000')
    expect(() => buildEvent(template('11', { stateKey: '\u0000' }), author('11'))).toThrow(/U\+0000/)
  })
})

test('any canonical content survives the way over the wire', () => {
  const leaf = fc.oneof(fc.string({ unit: 'binary' }), fc.maxSafeInteger(), fc.boolean(), fc.constant(null))
  const content = fc.dictionary(fc.string({ unit: 'binary' }), fc.oneof(leaf, fc.array(leaf), fc.dictionary(fc.string(), leaf)))
  fc.assert(
    fc.property(content, fc.constantFrom('3', '10', '11', '12'), (body, id) => {
      const { event, json } = buildEvent(template(id, { content: JSON.parse(JSON.stringify(body)) as JsonObject }), author(id))
      const wire = parseStrictJson(Buffer.from(json), { canonicalNumbers: true }) as JsonObject
      expect(readPdu(wire, author(id).roomVersion)).toMatchObject({ event, json, hasValidHash: true })
    }),
    { numRuns: 60 },
  )
})
