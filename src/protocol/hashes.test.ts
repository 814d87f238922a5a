import { expect, test } from 'vitest'
import type { EventId } from './ids.ts'
import type { Pdu } from './events/event.ts'
import {
  computeContentHash,
  computeEventId,
  computeReferenceHash,
  createEventIdOfRoom,
  hasValidContentHash,
  roomIdOfCreateEvent,
} from './hashes.ts'
import { getRoomVersion } from './room-versions/room-versions.ts'
import type { RoomVersion } from './room-versions/room-version.ts'

const version = (id: string) => getRoomVersion(id) as RoomVersion

// Expected values computed with Python's json and hashlib.
const MESSAGE = {
  auth_events: ['$a', '$b'],
  content: { body: 'héllo 日本 😀', '10': 1, '9': 2, msgtype: 'm.text' },
  depth: 12,
  hashes: { sha256: 'cT9L/AFiW5su85iTepKPHXVKOszBkUDxq0bZ4e3mxUM' },
  origin_server_ts: 1700000000003,
  prev_events: ['$c'],
  room_id: '!r:example.org',
  sender: '@u:example.org',
  signatures: { 'example.org': { 'ed25519:1': 'x' } },
  type: 'm.room.message',
  unsigned: { age: 4 },
} satisfies Pdu

test('the content hash covers all but hashes, signatures and unsigned', () => {
  expect(computeContentHash(version('10'), MESSAGE)).toBe(MESSAGE.hashes.sha256)
  expect(hasValidContentHash(version('10'), MESSAGE)).toBe(true)
  expect(hasValidContentHash(version('10'), { ...MESSAGE, hashes: { sha256: `${MESSAGE.hashes.sha256}=` } })).toBe(true)
  expect(hasValidContentHash(version('10'), { ...MESSAGE, depth: 13 })).toBe(false)
})

test('the event id is the reference hash, in standard base64 for version 3 and URL-safe from version 4 on', () => {
  expect(computeEventId(version('3'), MESSAGE)).toBe('$H+jaIEIMxV1Fkh6EAFw3dZhfZKKlEey6i7w2+Yii/0I')
  for (const id of ['4', '5', '6', '7', '8', '9', '10', '11', '12']) {
    expect(computeEventId(version(id), MESSAGE)).toBe('$H-jaIEIMxV1Fkh6EAFw3dZhfZKKlEey6i7w2-Yii_0I')
  }
  expect(computeReferenceHash(version('1'), MESSAGE)).toBe('H+jaIEIMxV1Fkh6EAFw3dZhfZKKlEey6i7w2+Yii/0I')
})

test('the event id of versions 1 and 2 is what the event says', () => {
  expect(computeEventId(version('1'), { ...MESSAGE, event_id: '$x:y' })).toBe('$x:y')
  expect(computeEventId(version('2'), MESSAGE)).toBeUndefined()
})

test('the event id does not depend on what redaction removes', () => {
  const redacted = { ...MESSAGE, content: {}, redacts: '$gone' }
  expect(computeEventId(version('10'), redacted)).toBe(computeEventId(version('10'), MESSAGE))
})

test('the room id of version 12 is the create event with another sigil', () => {
  const create = {
    auth_events: [],
    content: { room_version: '12', additional_creators: ['@b:example.org'] },
    depth: 1,
    hashes: { sha256: 'tcNcCLrmnjBl2mBT6/88DO7zDFtNSbNtIC8wUObcIrw' },
    origin_server_ts: 1700000000000,
    prev_events: [],
    sender: '@u:example.org',
    signatures: {},
    state_key: '',
    type: 'm.room.create',
  } satisfies Pdu
  expect(computeContentHash(version('12'), create)).toBe(create.hashes.sha256)
  const eventId = computeEventId(version('12'), create) as EventId
  expect(eventId).toBe('$wSLyrd7vm21i-IJBxnI6fQNfcN4MyGRD7wDhOMNwEwM')
  expect(roomIdOfCreateEvent(eventId)).toBe('!wSLyrd7vm21i-IJBxnI6fQNfcN4MyGRD7wDhOMNwEwM')
  expect(createEventIdOfRoom(roomIdOfCreateEvent(eventId))).toBe(eventId)
})
