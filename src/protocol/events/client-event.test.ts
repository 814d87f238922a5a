import { expect, test } from 'vitest'
import type { EventId, RoomId } from '../ids.ts'
import type { JsonObject } from '../json.ts'
import { getRoomVersion } from '../room-versions/room-versions.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { spliceUnsigned, toClientEventJson, toStrippedEventJson } from './client-event.ts'
import type { MatrixEvent, Pdu } from './event.ts'
import { eventFromStoredPdu } from './parse-event.ts'

function event(id: string, over: Partial<Pdu> = {}): MatrixEvent {
  const pdu: Pdu = {
    type: 'm.room.message',
    sender: '@a:b',
    room_id: '!r:b',
    content: { body: 'a "quoted" 😀 text\n' },
    depth: 3,
    origin_server_ts: 4,
    prev_events: [],
    auth_events: [],
    hashes: { sha256: 'x' },
    signatures: {},
    ...over,
  }
  return eventFromStoredPdu(pdu, '$e' as EventId, '!r:b' as RoomId, getRoomVersion(id) as RoomVersion)
}

const parse = (json: string) => JSON.parse(json) as JsonObject
const MESSAGE = {
  content: { body: 'a "quoted" 😀 text\n' },
  event_id: '$e',
  origin_server_ts: 4,
  room_id: '!r:b',
  sender: '@a:b',
  type: 'm.room.message',
}

test('a message has the fields of the client format and no others', () => {
  expect(parse(toClientEventJson(event('11')))).toEqual(MESSAGE)
})

test('unsigned is spliced in, the room id left out on demand', () => {
  const json = toClientEventJson(event('11'), { unsignedJson: '{"age":5}', omitRoomId: true })
  const { room_id: _roomId, ...rest } = MESSAGE
  expect(parse(json)).toEqual({ ...rest, unsigned: { age: 5 } })
})

test('a state event has its state key, also when it is empty', () => {
  expect(parse(toClientEventJson(event('11', { type: 'x', state_key: '' })))['state_key']).toBe('')
})

test('a redaction names its target in both places, in every room version', () => {
  const old = event('10', { type: 'm.room.redaction', redacts: '$t', content: { reason: 'r' } })
  const modern = event('11', { type: 'm.room.redaction', content: { reason: 'r', redacts: '$t' } })
  for (const redaction of [old, modern]) {
    expect(parse(toClientEventJson(redaction))).toMatchObject({ redacts: '$t', content: { reason: 'r', redacts: '$t' } })
  }
  expect(old.content).toEqual({ reason: 'r' })
})

test('stripped state has four fields', () => {
  const json = toStrippedEventJson(event('11', { type: 'm.room.name', state_key: '', content: { name: 'n' } }))
  expect(parse(json)).toEqual({ type: 'm.room.name', state_key: '', sender: '@a:b', content: { name: 'n' } })
})

test('unsigned goes into objects with and without members', () => {
  expect(spliceUnsigned('{"a":1}', '{"b":2}')).toBe('{"a":1,"unsigned":{"b":2}}')
  expect(spliceUnsigned('{}', '{}')).toBe('{"unsigned":{}}')
})
