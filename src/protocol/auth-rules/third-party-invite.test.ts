import { describe, expect, test } from 'vitest'
import { CREATOR, MEMBER, RuleRoom, STRANGER } from '../../../tests/kit/rule-room.ts'
import type { JsonObject } from '../json.ts'
import { ROOM_VERSION_IDS } from '../room-versions/room-version.ts'
import { signJson } from '../signatures.ts'
import { makeSigningKey } from '../signing-key.ts'
import { THIRD_PARTY_INVITE_VERIFICATIONS_MAX } from './third-party-invite.ts'

const KEY = makeSigningKey('0', Buffer.alloc(32, 5))
const OTHER_KEY = makeSigningKey('0', Buffer.alloc(32, 6))
const TARGET = '@target:there'
const SIGNED = signJson({ mxid: TARGET, token: 'tok' }, 'id.example', KEY)

function room(id: string, content: JsonObject = { public_key: KEY.publicKeyBase64 }): RuleRoom {
  const made = RuleRoom.usual(id, { invite: 0 }).joinRule('invite')
  return made.set({ type: 'm.room.third_party_invite', sender: MEMBER, stateKey: 'tok', content })
}

function redeem(made: RuleRoom, thirdPartyInvite: unknown, sender = MEMBER, target = TARGET): boolean {
  return made.allowsMembership(sender, target, 'invite', { third_party_invite: thirdPartyInvite as JsonObject })
}

describe.each([...ROOM_VERSION_IDS])('v%s: 4.4.1', (id) => {
  test('an invite signed with the key of the third-party invite is allowed', () => {
    expect(redeem(room(id), { display_name: 't', signed: SIGNED })).toBe(true)
  })

  test('the sender need not be in the room any more, nor have the invite level', () => {
    expect(redeem(room(id).membership(MEMBER, 'leave'), { signed: SIGNED })).toBe(true)
  })

  test('4.4.1.1 a banned user is refused', () => {
    expect(redeem(room(id).membership(TARGET, 'ban'), { signed: SIGNED })).toBe(false)
  })

  test('4.4.1.2 and 4.4.1.3: signed with mxid and token must be there', () => {
    for (const invite of [null, 'x', {}, { signed: 'x' }, { signed: {} }]) expect(redeem(room(id), invite)).toBe(false)
    expect(redeem(room(id), { signed: signJson({ token: 'tok' }, 'id', KEY) })).toBe(false)
    expect(redeem(room(id), { signed: signJson({ mxid: TARGET }, 'id', KEY) })).toBe(false)
    expect(redeem(room(id), { signed: signJson({ mxid: TARGET, token: 5 }, 'id', KEY) })).toBe(false)
  })

  test('4.4.1.4 to 4.4.1.6: user, token and sender must match', () => {
    expect(redeem(room(id), { signed: SIGNED }, MEMBER, STRANGER)).toBe(false)
    expect(redeem(room(id), { signed: signJson({ mxid: TARGET, token: 'no' }, 'id', KEY) })).toBe(false)
    expect(redeem(room(id), { signed: SIGNED }, CREATOR)).toBe(false)
  })

  test('4.4.1.7 any of the public keys will do', () => {
    const keys = [{ public_key: OTHER_KEY.publicKeyBase64 }, 'x', { public_key: 5 }, { public_key: KEY.publicKeyBase64 }]
    expect(redeem(room(id, { public_keys: keys }), { signed: SIGNED })).toBe(true)
    expect(redeem(room(id, { public_key: 'junk', public_keys: keys }), { signed: SIGNED })).toBe(true)
  })

  test('4.4.1.8 other keys, no keys, changed content and no signatures will not', () => {
    expect(redeem(room(id, { public_key: OTHER_KEY.publicKeyBase64 }), { signed: SIGNED })).toBe(false)
    expect(redeem(room(id, {}), { signed: SIGNED })).toBe(false)
    expect(redeem(room(id), { signed: { ...SIGNED, more: 1 } })).toBe(false)
    expect(redeem(room(id), { signed: { mxid: TARGET, token: 'tok' } })).toBe(false)
    expect(redeem(room(id), { signed: { mxid: TARGET, token: 'tok', signatures: { a: 5, b: { 'ed25519:0': 7 } } } })).toBe(false)
  })
})

test('more pairs of keys and signatures than the limit are refused without trying them', () => {
  const keys = Array.from({ length: THIRD_PARTY_INVITE_VERIFICATIONS_MAX }, () => ({ public_key: KEY.publicKeyBase64 }))
  expect(redeem(room('11', { public_keys: keys }), { signed: SIGNED })).toBe(true)
  expect(redeem(room('11', { public_key: KEY.publicKeyBase64, public_keys: keys }), { signed: SIGNED })).toBe(false)
})
