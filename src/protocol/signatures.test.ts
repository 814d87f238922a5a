import { describe, expect, test } from 'vitest'
import { decodeBase64 } from '../util/base64.ts'
import type { MatrixEvent, Pdu } from './events/event.ts'
import { computeContentHash } from './hashes.ts'
import type { JsonObject } from './json.ts'
import { getRoomVersion } from './room-versions/room-versions.ts'
import type { RoomVersion } from './room-versions/room-version.ts'
import {
  importVerifyKey,
  requiredSigners,
  signatureOf,
  signEvent,
  signingKeyIdsOf,
  signJson,
  type VerifyKey,
  verifyEventSignature,
  verifySignatureText,
  verifySignedJson,
  signedJsonText,
} from './signatures.ts'
import { makeSigningKey } from './signing-key.ts'

// Spec: appendices § Cryptographic Test Vectors.
const KEY = makeSigningKey('1', decodeBase64('YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1') as Buffer)
const VERIFY_KEY = importVerifyKey(KEY.id, KEY.publicKeyBase64) as VerifyKey
const V1 = getRoomVersion('1') as RoomVersion
const V11 = getRoomVersion('11') as RoomVersion

describe('the test vectors of the specification', () => {
  test.each([
    [{}, 'K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ'],
    [{ one: 1, two: 'Two' }, 'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw'],
  ])('signs %j', (json: JsonObject, signature) => {
    const signed = signJson(json, 'domain', KEY)
    expect(signed).toEqual({ ...json, signatures: { domain: { 'ed25519:1': signature } } })
    expect(verifySignedJson(signed, 'domain', VERIFY_KEY)).toBe(true)
  })

  test('hashes and signs a minimal event', () => {
    const event = {
      room_id: '!x:domain',
      sender: '@a:domain',
      origin: 'domain',
      origin_server_ts: 1000000,
      signatures: {},
      hashes: {},
      type: 'X',
      content: {},
      prev_events: [],
      auth_events: [],
      depth: 3,
      unsigned: { age_ts: 1000000 },
    } satisfies JsonObject
    const sha256 = computeContentHash(V1, event)
    expect(sha256).toBe('5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos')
    const signed = signEvent(V1, { ...event, hashes: { sha256 } }, 'domain', KEY)
    expect(signed).toEqual({
      ...event,
      hashes: { sha256 },
      signatures: {
        domain: { 'ed25519:1': 'KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg' },
      },
    })
    expect(verifyEventSignature(V1, signed, 'domain', VERIFY_KEY)).toBe(true)
  })

  test('hashes and signs an event whose content is redactable', () => {
    const event: JsonObject = {
      content: { body: 'Here is the message content' },
      event_id: '$0:domain',
      origin: 'domain',
      origin_server_ts: 1000000,
      type: 'm.room.message',
      room_id: '!r:domain',
      sender: '@u:domain',
      signatures: {},
      unsigned: { age_ts: 1000000 },
    }
    const sha256 = computeContentHash(V1, event)
    expect(sha256).toBe('onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g')
    const signed = signEvent(V1, { ...event, hashes: { sha256 } } as unknown as Pdu, 'domain', KEY)
    expect(signatureOf(signed, 'domain', 'ed25519:1')).toBe(
      'Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA',
    )
    const redacted = { ...signed, content: {} }
    expect(verifyEventSignature(V1, redacted, 'domain', VERIFY_KEY)).toBe(true)
  })
})

describe('signed JSON', () => {
  const signed = signJson({ a: 1, signatures: { other: { 'ed25519:x': 'y' } }, unsigned: { b: 1 } }, 'domain', KEY)

  test('keeps the signatures of others, and does not cover unsigned', () => {
    expect(signatureOf(signed, 'other', 'ed25519:x')).toBe('y')
    expect(verifySignedJson({ ...signed, unsigned: 'changed' }, 'domain', VERIFY_KEY)).toBe(true)
    expect(signed['signatures']).toMatchObject({ domain: {} })
  })

  test('fails when anything else changes, for other names and other keys', () => {
    const otherKey = makeSigningKey('1', Buffer.alloc(32, 1))
    expect(verifySignedJson({ ...signed, a: 2 }, 'domain', VERIFY_KEY)).toBe(false)
    expect(verifySignedJson(signed, 'other', VERIFY_KEY)).toBe(false)
    expect(verifySignedJson(signed, 'constructor', VERIFY_KEY)).toBe(false)
    expect(verifySignedJson(signed, 'domain', importVerifyKey('ed25519:1', otherKey.publicKeyBase64) as VerifyKey)).toBe(false)
    expect(verifySignedJson(signed, 'domain', importVerifyKey('ed25519:2', KEY.publicKeyBase64) as VerifyKey)).toBe(false)
  })

  test.each<[unknown]>([['AAAA'], ['not base64!'], [5], [null], [{}]])('a signature %j is no signature', (signature) => {
    const broken = { a: 1, signatures: { domain: { 'ed25519:1': signature } } } as JsonObject
    expect(verifySignedJson(broken, 'domain', VERIFY_KEY)).toBe(false)
  })

  test('only ed25519 keys are listed', () => {
    const json = { signatures: { d: { 'ed25519:1': 'x', 'rsa:1': 'x', 'ed25519:2': 7 } } }
    expect(signingKeyIdsOf(json, 'd')).toEqual(['ed25519:1'])
    expect(signingKeyIdsOf({ signatures: 5 }, 'd')).toEqual([])
  })

  test('is refused for content that is not canonical, but may be checked', () => {
    expect(() => signJson({ a: 1.5 }, 'domain', KEY)).toThrow(/integers/)
    expect(verifySignedJson({ a: 1.5, signatures: { domain: { 'ed25519:1': 'AAAA' } } }, 'domain', VERIFY_KEY)).toBe(false)
  })
})

describe('keys', () => {
  test.each([
    ['ed25519:1', 'AAAA'],
    ['ed25519:1', '***'],
    ['curve25519:1', KEY.publicKeyBase64],
  ])('%s %s is no key', (id, publicKey) => {
    expect(importVerifyKey(id, publicKey)).toBeUndefined()
  })

  test('a key written in URL-safe base64 verifies too', () => {
    const json = signJson({ a: 1 }, 'domain', KEY)
    const urlSafe = KEY.publicKeyBase64.replaceAll('+', '-').replaceAll('/', '_')
    const signature = signatureOf(json, 'domain', KEY.id) as string
    expect(verifySignatureText(signedJsonText(json), signature, urlSafe)).toBe(true)
  })
})

describe('the servers that must have signed an event', () => {
  const event = (over: Partial<MatrixEvent>) =>
    ({ eventId: '$e:event.example', type: 'm.room.message', sender: '@u:sender.example', content: {}, ...over }) as MatrixEvent

  test('are that of the sender, and in old versions that of the event id', () => {
    expect(requiredSigners(V11, event({ eventId: '$hash' as MatrixEvent['eventId'] }))).toEqual(['sender.example'])
    expect(requiredSigners(V1, event({}))).toEqual(['sender.example', 'event.example'])
  })

  test('are also that of the user who authorises a restricted join', () => {
    const join = event({
      type: 'm.room.member',
      content: { membership: 'join', join_authorised_via_users_server: '@a:authoriser.example' },
    })
    expect(requiredSigners(V11, join)).toEqual(['sender.example', 'authoriser.example'])
    expect(requiredSigners(getRoomVersion('7') as RoomVersion, join)).toEqual(['sender.example'])
  })

  test('are not that of the sender for a third-party invite', () => {
    const invite = event({ type: 'm.room.member', content: { membership: 'invite', third_party_invite: {} } })
    expect(requiredSigners(V11, invite)).toEqual([])
  })
})
