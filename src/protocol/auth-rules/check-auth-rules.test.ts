import { describe, expect, test } from 'vitest'
import { CREATOR, MEMBER, MODERATOR, RuleRoom, STRANGER } from '../../../tests/kit/rule-room.ts'
import { ROOM_VERSION_IDS } from '../room-versions/room-version.ts'

const ALL = [...ROOM_VERSION_IDS]
const until = (last: number) => ALL.filter((id) => Number(id) <= last)
const from = (first: number) => ALL.filter((id) => Number(id) >= first)

describe('1. m.room.create', () => {
  const create = (room: RuleRoom, over: object = {}) =>
    room.allows({ type: 'm.room.create', stateKey: '', sender: CREATOR, content: { creator: CREATOR }, ...over })

  test.each(ALL)('v%s: is allowed as the first event', (id) => {
    expect(create(new RuleRoom(id))).toBe(true)
  })

  test.each(ALL)('v%s: 1.1 is refused with previous events', (id) => {
    expect(create(new RuleRoom(id), { prevEvents: ['$a:here'] })).toBe(false)
  })

  test.each(until(11))('v%s: 1.2 is refused in a room id of another server', (id) => {
    expect(create(new RuleRoom(id), { roomId: '!room:there' })).toBe(false)
  })

  test('v12: 1.2 is refused with a room_id', () => {
    expect(create(new RuleRoom('12'), { roomId: `!${'c'.repeat(43)}` })).toBe(false)
  })

  test.each(ALL)('v%s: 1.3 is refused for a room version that is not known', (id) => {
    for (const version of ['13', '', 1, null, '__proto__']) {
      expect(create(new RuleRoom(id), { content: { creator: CREATOR, room_version: version } })).toBe(false)
    }
    expect(create(new RuleRoom(id), { content: { creator: CREATOR, room_version: id } })).toBe(true)
  })

  test.each(until(10))('v%s: 1.4 is refused without creator', (id) => {
    expect(create(new RuleRoom(id), { content: {} })).toBe(false)
  })

  test.each(from(11))('v%s: needs no creator', (id) => {
    expect(create(new RuleRoom(id), { content: {} })).toBe(true)
  })

  test('v12: 1.4 is refused unless additional_creators is a list of user ids', () => {
    const long = `@${'a'.repeat(250)}:here`
    const bad = ['@a:b', {}, null, [5], ['@a:b', 'a:b'], ['@a'], ['@invalid:dom$ain$.com'], [long], [['@a:b']]]
    for (const additional of bad) {
      expect(create(new RuleRoom('12'), { content: { additional_creators: additional } })).toBe(false)
      expect(create(new RuleRoom('11'), { content: { additional_creators: additional } })).toBe(true)
    }
    for (const additional of [[], ['@foo:example.com', '@bar:baz.code', '@Ünï:[::1]:80']]) {
      expect(create(new RuleRoom('12'), { content: { additional_creators: additional } })).toBe(true)
    }
  })
})

describe('2. the room', () => {
  test.each(ALL)('v%s: nothing is allowed without create event', (id) => {
    const room = RuleRoom.usual(id)
    room.state.delete('m.room.create\u0000')
    expect(room.allows({ type: 'm.room.message' })).toBe(false)
  })

  test('v12: 2 the room id must name the create event', () => {
    expect(RuleRoom.usual('12').allows({ type: 'm.room.message', roomId: `!${'d'.repeat(43)}` })).toBe(false)
  })
})

describe('3. m.federate', () => {
  test.each(ALL)('v%s: false keeps users of other servers out, whatever else keeps them in', (id) => {
    for (const [federate, allowed] of [
      [false, false],
      [true, true],
      ['false', true],
    ] as const) {
      const room = RuleRoom.usual(id, {}, { 'm.federate': federate }).join(STRANGER)
      expect(room.allows({ type: 'm.room.message', sender: STRANGER })).toBe(allowed)
      expect(room.allowsMembership(STRANGER, STRANGER, 'join')).toBe(allowed)
      expect(room.allows({ type: 'm.room.message', sender: MEMBER })).toBe(true)
    }
  })
})

describe('v1: 4. m.room.aliases', () => {
  test.each(until(5))('v%s: any server may write its own aliases, and no others', (id) => {
    const room = RuleRoom.usual(id)
    expect(room.allows({ type: 'm.room.aliases', sender: STRANGER, stateKey: 'there' })).toBe(true)
    expect(room.allows({ type: 'm.room.aliases', sender: STRANGER, stateKey: 'here' })).toBe(false)
    expect(room.allows({ type: 'm.room.aliases', sender: CREATOR, stateKey: '' })).toBe(false)
    expect(room.allows({ type: 'm.room.aliases', sender: STRANGER })).toBe(false)
  })

  test.each(from(6))('v%s: is a state event like any other', (id) => {
    const room = RuleRoom.usual(id)
    expect(room.allows({ type: 'm.room.aliases', sender: STRANGER, stateKey: 'there' })).toBe(false)
    expect(room.allows({ type: 'm.room.aliases', sender: MODERATOR, stateKey: 'there' })).toBe(true)
  })
})

describe('5 to 8. sending', () => {
  test.each(ALL)('v%s: 5 only members send', (id) => {
    const room = RuleRoom.usual(id)
    expect(room.allows({ type: 'm.room.message', sender: MEMBER })).toBe(true)
    for (const membership of ['leave', 'ban', 'invite', 'knock']) {
      room.membership(STRANGER, membership)
      expect(room.allows({ type: 'm.room.message', sender: STRANGER })).toBe(false)
    }
  })

  test.each(ALL)('v%s: 6 a third-party invite asks for the invite level only', (id) => {
    const invite = { type: 'm.room.third_party_invite', sender: MEMBER, stateKey: 'token' }
    expect(RuleRoom.usual(id).allows(invite)).toBe(true)
    expect(RuleRoom.usual(id, { invite: 1 }).allows(invite)).toBe(false)
    expect(RuleRoom.usual(id, { invite: 50 }).allows({ ...invite, sender: MODERATOR })).toBe(true)
  })

  test.each(ALL)('v%s: 7 the event type decides about the level', (id) => {
    const room = RuleRoom.usual(id, { events: { 'm.room.name': 0, 'm.room.topic': 100, shout: 50 } })
    expect(room.allows({ type: 'm.room.name', stateKey: '' })).toBe(true)
    expect(room.allows({ type: 'm.room.avatar', stateKey: '' })).toBe(false)
    expect(room.allows({ type: 'm.room.avatar', sender: MODERATOR, stateKey: '' })).toBe(true)
    expect(room.allows({ type: 'm.room.topic', sender: MODERATOR, stateKey: '' })).toBe(false)
    expect(room.allows({ type: 'm.room.topic', sender: CREATOR, stateKey: '' })).toBe(true)
    expect(room.allows({ type: 'shout' })).toBe(false)
    expect(room.allows({ type: 'constructor' })).toBe(true)
    expect(RuleRoom.usual(id, { events_default: 1 }).allows({ type: 'm.room.message' })).toBe(false)
    expect(RuleRoom.usual(id, { state_default: 0 }).allows({ type: 'm.room.avatar', stateKey: '' })).toBe(true)
  })

  test.each(ALL)('v%s: 7 without power levels the creator has all and the others what asks for nothing', (id) => {
    const room = new RuleRoom(id).join(CREATOR).join(MEMBER)
    expect(room.allows({ type: 'm.room.message' })).toBe(true)
    expect(room.allows({ type: 'm.room.name', stateKey: '' })).toBe(false)
    expect(room.allows({ type: 'm.room.name', sender: CREATOR, stateKey: '' })).toBe(true)
  })

  test('v1 to v10: the creator is who the content names, from v11 on who sent the create event', () => {
    const rename = { type: 'm.room.name', sender: MEMBER, stateKey: '' }
    expect(new RuleRoom('10', { creator: MEMBER }).join(MEMBER).allows(rename)).toBe(true)
    expect(new RuleRoom('11', { creator: MEMBER }).join(MEMBER).allows(rename)).toBe(false)
    expect(new RuleRoom('10', { creator: 5 }).join(CREATOR).allows({ ...rename, sender: CREATOR })).toBe(false)
  })

  test('v12: creators stand above every level, also the additional ones', () => {
    const room = RuleRoom.usual('12', { events: { 'm.room.tombstone': 2 ** 53 - 1 } }, { additional_creators: [MEMBER] })
    const tombstone = { type: 'm.room.tombstone', stateKey: '' }
    expect(room.allows({ ...tombstone, sender: CREATOR })).toBe(true)
    expect(room.allows({ ...tombstone, sender: MEMBER })).toBe(true)
    expect(room.allows({ ...tombstone, sender: MODERATOR })).toBe(false)
  })

  test.each(ALL)('v%s: 8 nobody writes state under the id of another user', (id) => {
    const room = RuleRoom.usual(id, { state_default: 0 })
    expect(room.allows({ type: 'x', sender: MEMBER, stateKey: MEMBER })).toBe(true)
    expect(room.allows({ type: 'x', sender: CREATOR, stateKey: MEMBER })).toBe(false)
    expect(room.allows({ type: 'x', sender: CREATOR, stateKey: '@' })).toBe(false)
    expect(room.allows({ type: 'x', sender: MEMBER, stateKey: 'other' })).toBe(true)
  })
})

describe('v1: 11. m.room.redaction', () => {
  const redaction = (sender: string, redacts: string) => ({ type: 'm.room.redaction', sender, redacts, eventId: '$r:here' })

  test.each(until(2))('v%s: asks for the redact level, or for an event of the same server', (id) => {
    const room = RuleRoom.usual(id)
    expect(room.allows(redaction(MODERATOR, '$x:there'))).toBe(true)
    expect(room.allows(redaction(MEMBER, '$x:there'))).toBe(false)
    expect(room.allows(redaction(MEMBER, '$x:here'))).toBe(true)
    expect(room.allows({ type: 'm.room.redaction', sender: MEMBER })).toBe(false)
    expect(RuleRoom.usual(id, { redact: 0 }).allows(redaction(MEMBER, '$x:there'))).toBe(true)
  })

  test.each(from(3))('v%s: is an event like any other', (id) => {
    expect(RuleRoom.usual(id).allows(redaction(MEMBER, '$x:there'))).toBe(true)
    expect(RuleRoom.usual(id, { events: { 'm.room.redaction': 50 } }).allows(redaction(MEMBER, '$x:there'))).toBe(false)
  })
})
