import { describe, expect, test } from 'vitest'
import {
  isEventUserId,
  isValidUserId,
  localpartOf,
  makeUserId,
  parseDeviceId,
  parseEventId,
  parseRoomAlias,
  parseRoomId,
  parseServerName,
  parseUserId,
  type ServerName,
  serverNameOf,
} from './ids.ts'

const invalid = expect.objectContaining({ errcode: 'M_INVALID_PARAM', status: 400 })
const HASH = 'aB3_-'.repeat(9).slice(0, 43)

test.each([
  'matrix.org',
  'matrix.org:8888',
  '1.2.3.4',
  '1.2.3.4:1234',
  '[1234:5678::abcd]',
  '[1234:5678::abcd]:5678',
  'localhost',
])('%s is a server name', (name) => {
  expect(parseServerName(name)).toBe(name)
  expect(parseUserId(`@a:${name}`)).toBe(`@a:${name}`)
})

test.each(['', 'a b', 'exa_mple.org', 'a:b', 'a:123456', '[::1', '::1', 'a/b', 'ü.de', 'a:'])('%j is no server name', (name) => {
  expect(() => parseServerName(name)).toThrow(invalid)
})

describe('user ids', () => {
  test.each(['@a:b', '@A.b=_-/+:b', '@ünï cödé\n:b', '@:b'])('%j is read', (id) => {
    expect(parseUserId(id)).toBe(id)
    expect(isEventUserId(id)).toBe(true)
    expect(isValidUserId(id)).toBe(true)
  })

  test.each(['', '@', 'a:b', '@a', '@a:', '@a:b c', '@a\u0000:b', `@${'a'.repeat(253)}:b`, `@${'é'.repeat(127)}:b`, '@\ud800:b'])(
    '%j is refused',
    (id) => {
      expect(() => parseUserId(id)).toThrow(invalid)
      expect(isValidUserId(id)).toBe(false)
    },
  )

  test('events may name servers that no client may', () => {
    expect(isEventUserId('@a:b_c')).toBe(true)
    expect(isValidUserId('@a:b_c')).toBe(false)
    for (const id of ['a:b', '@a', '@a\u0000:b', `@${'é'.repeat(127)}:b`, 5, null]) expect(isEventUserId(id)).toBe(false)
  })

  test('new accounts use the narrow grammar', () => {
    expect(makeUserId('a.b_c=d-e/f+0', 'here' as ServerName)).toBe('@a.b_c=d-e/f+0:here')
    for (const localpart of ['', 'A', 'a b', 'ü', 'a:b', 'a'.repeat(250)]) {
      expect(() => makeUserId(localpart, 'here' as ServerName)).toThrow(
        expect.objectContaining({ errcode: 'M_INVALID_USERNAME' }),
      )
    }
  })
})

test('room ids have a server, or are hashes', () => {
  for (const id of ['!a:b', '!ü b:b:80', `!${HASH}`]) expect(parseRoomId(id)).toBe(id)
  for (const id of ['!', 'a:b', '!:b', '!a', '!a:b c', `!${HASH}x`, '!a\u0000:b']) expect(() => parseRoomId(id)).toThrow(invalid)
})

test('aliases, event ids and device ids', () => {
  expect(parseRoomAlias('#ü b:c')).toBe('#ü b:c')
  expect(() => parseRoomAlias('#a')).toThrow(invalid)
  for (const id of ['$a:b', '$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk']) expect(parseEventId(id)).toBe(id)
  for (const id of ['$', 'a', '', '$a\u0000']) expect(() => parseEventId(id)).toThrow(invalid)
  expect(parseDeviceId('ü x')).toBe('ü x')
  for (const id of ['', '\u0000', 'x'.repeat(256)]) expect(() => parseDeviceId(id)).toThrow(invalid)
})

test('ids come apart at their first colon', () => {
  expect(serverNameOf('@a:b:80')).toBe('b:80')
  expect(serverNameOf('$hash')).toBeUndefined()
  expect(localpartOf(parseUserId('@a.b:c:80'))).toBe('a.b')
})
