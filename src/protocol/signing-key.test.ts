import { describe, expect, test } from 'vitest'
import type { Random } from '../util/random.ts'
import { generateSigningKey, makeSigningKey, parseSigningKeys, serializeSigningKeys } from './signing-key.ts'

const RANDOM: Random = { bytes: (count) => Buffer.alloc(count, 3), letters: (length) => 'AbCdEf'.slice(0, length) }

test('a generated key has a version as Synapse gives it and comes back from its file', () => {
  const key = generateSigningKey(RANDOM)
  expect(key.id).toBe('ed25519:a_AbCd')
  const text = serializeSigningKeys([key])
  expect(text).toBe(`ed25519 a_AbCd ${Buffer.alloc(32, 3).toString('base64').replace('=', '')}\n`)
  expect(parseSigningKeys(text)[0]?.publicKeyBase64).toBe(key.publicKeyBase64)
})

test('the public key belongs to the seed (RFC 8032, test 1)', () => {
  const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex')
  const publicKey = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex')
  expect(Buffer.from(makeSigningKey('1', seed).publicKeyBase64, 'base64')).toEqual(publicKey)
})

test('a file may hold several keys, spaces, empty lines and padding', () => {
  const one = Buffer.alloc(32, 1).toString('base64')
  const two = Buffer.alloc(32, 2).toString('base64').replace('=', '')
  const keys = parseSigningKeys(`\n  ed25519   a_One ${one}  \r\n\ned25519 old ${two}`)
  expect(keys.map((key) => key.id)).toEqual(['ed25519:a_One', 'ed25519:old'])
})

describe('a malformed line is refused and named', () => {
  const seed = Buffer.alloc(32).toString('base64')
  test.each([`rsa 1 ${seed}`, 'ed25519 1', 'ed25519 1 AAAA', `ed25519 1 ${seed} more`])('%s', (line) => {
    expect(() => parseSigningKeys(`ed25519 ok ${seed}\n${line}`)).toThrow(/Line 2/)
  })

  test('a version with odd characters', () => {
    expect(() => makeSigningKey('a:b', Buffer.alloc(32))).toThrow(RangeError)
    expect(() => makeSigningKey('a', Buffer.alloc(31))).toThrow(RangeError)
  })
})
