import { describe, expect, test } from 'vitest'
import { CREATOR, MEMBER, MODERATOR, RuleRoom, STRANGER } from '../../../tests/kit/rule-room.ts'
import { ROOM_VERSION_IDS } from '../room-versions/room-version.ts'

const ALL = [...ROOM_VERSION_IDS]
const until = (last: number) => ALL.filter((id) => Number(id) <= last)
const from = (first: number) => ALL.filter((id) => Number(id) >= first)
const NEW = '@new:there'

describe('4.1, 4.2 and 4.8: the shape', () => {
  test.each(ALL)('v%s: state key and membership must be there and known', (id) => {
    const room = RuleRoom.usual(id)
    const member = { type: 'm.room.member', sender: NEW }
    expect(room.allows({ ...member, content: { membership: 'join' } })).toBe(false)
    expect(room.allows({ ...member, stateKey: NEW, content: {} })).toBe(false)
    for (const membership of ['other', '', 5, null, {}]) {
      expect(room.allows({ ...member, stateKey: NEW, content: { membership } })).toBe(false)
    }
  })

  test('from v8 on the authorising user must be a user id', () => {
    for (const authoriser of [5, null, 'nobody']) {
      const more = { join_authorised_via_users_server: authoriser }
      expect(RuleRoom.usual('7').allowsMembership(NEW, NEW, 'join', more)).toBe(true)
      expect(RuleRoom.usual('8').allowsMembership(NEW, NEW, 'join', more)).toBe(false)
      expect(RuleRoom.usual('12').allowsMembership(NEW, NEW, 'join', more)).toBe(false)
    }
  })
})

describe('4.3 join', () => {
  test.each(ALL)('v%s: 4.3.1 the creator joins right after the create event, and nobody else does', (id) => {
    const room = new RuleRoom(id, id === '12' ? { additional_creators: [MEMBER] } : {})
    const join = (userId: string, prevEvents: readonly string[]) =>
      room.allows({ type: 'm.room.member', sender: userId, stateKey: userId, content: { membership: 'join' }, prevEvents })
    expect(join(CREATOR, [room.create.eventId])).toBe(true)
    expect(join(CREATOR, [room.create.eventId, '$other:here'])).toBe(false)
    expect(join(CREATOR, ['$other:here'])).toBe(false)
    expect(join(MEMBER, [room.create.eventId])).toBe(false)
  })

  test.each(ALL)('v%s: 4.3.2 nobody joins another user', (id) => {
    expect(RuleRoom.usual(id).allowsMembership(CREATOR, NEW, 'join')).toBe(false)
  })

  test.each(ALL)('v%s: 4.3.3 a banned user stays out, even of a public room', (id) => {
    expect(RuleRoom.usual(id).membership(NEW, 'ban').allowsMembership(NEW, NEW, 'join')).toBe(false)
  })

  const table: [joinRule: string | undefined, versions: readonly string[], allowed: readonly string[]][] = [
    ['public', ALL, ['none', 'leave', 'knock', 'invite', 'join']],
    ['invite', ALL, ['invite', 'join']],
    [undefined, ALL, ['invite', 'join']],
    ['private', ALL, []],
    ['nonsense', ALL, []],
    ['knock', until(6), []],
    ['knock', from(7), ['invite', 'join']],
    ['restricted', until(7), []],
    ['restricted', from(8), ['invite', 'join']],
    ['knock_restricted', until(9), []],
    ['knock_restricted', from(10), ['invite', 'join']],
  ]
  for (const [joinRule, versions, allowed] of table) {
    test.each(versions)(`v%s: join rule ${joinRule} lets in ${allowed.join(', ') || 'nobody'}`, (id) => {
      for (const membership of ['none', 'leave', 'knock', 'invite', 'join', 'ban']) {
        const room = RuleRoom.usual(id)
        if (joinRule === undefined) room.state.delete('m.room.join_rules\u0000')
        else room.joinRule(joinRule)
        if (membership !== 'none') room.membership(NEW, membership)
        expect([membership, room.allowsMembership(NEW, NEW, 'join')]).toEqual([membership, allowed.includes(membership)])
      }
    })
  }

  test('a join rule that is no string lets nobody in, an event without one counts as invite', () => {
    const room = RuleRoom.usual('11').membership(NEW, 'invite')
    room.set({ type: 'm.room.join_rules', sender: CREATOR, stateKey: '', content: { join_rule: 5 } })
    expect(room.allowsMembership(NEW, NEW, 'join')).toBe(false)
    room.set({ type: 'm.room.join_rules', sender: CREATOR, stateKey: '', content: {} })
    expect(room.allowsMembership(NEW, NEW, 'join')).toBe(true)
  })

  for (const [joinRule, versions] of [
    ['restricted', from(8)],
    ['knock_restricted', from(10)],
  ] as const) {
    test.each(versions)(`v%s: 4.3.5.2 ${joinRule} takes the word of a member who may invite`, (id) => {
      const join = (room: RuleRoom, authoriser: string) =>
        room.joinRule(joinRule).allowsMembership(NEW, NEW, 'join', { join_authorised_via_users_server: authoriser })
      expect(join(RuleRoom.usual(id), MEMBER)).toBe(true)
      expect(join(RuleRoom.usual(id, { invite: 50 }), MEMBER)).toBe(false)
      expect(join(RuleRoom.usual(id, { invite: 50 }), MODERATOR)).toBe(true)
      expect(join(RuleRoom.usual(id), STRANGER)).toBe(false)
      expect(join(RuleRoom.usual(id).membership(STRANGER, 'invite'), STRANGER)).toBe(false)
      expect(join(RuleRoom.usual(id).membership(NEW, 'ban'), MEMBER)).toBe(false)
    })
  }
})

describe('4.4 invite', () => {
  test.each(ALL)('v%s: 4.4.2 only members invite, 4.4.3 only who is neither in nor banned', (id) => {
    const room = RuleRoom.usual(id).membership('@banned:there', 'ban').membership('@gone:there', 'leave')
    expect(room.allowsMembership(MEMBER, NEW, 'invite')).toBe(true)
    expect(room.allowsMembership(MEMBER, '@gone:there', 'invite')).toBe(true)
    expect(room.allowsMembership(STRANGER, NEW, 'invite')).toBe(false)
    expect(room.allowsMembership(MEMBER, MODERATOR, 'invite')).toBe(false)
    expect(room.allowsMembership(MEMBER, '@banned:there', 'invite')).toBe(false)
  })

  test.each(ALL)('v%s: 4.4.4 asks for the invite level', (id) => {
    const room = RuleRoom.usual(id, { invite: 50 })
    expect(room.allowsMembership(MEMBER, NEW, 'invite')).toBe(false)
    expect(room.allowsMembership(MODERATOR, NEW, 'invite')).toBe(true)
    expect(room.allowsMembership(CREATOR, NEW, 'invite')).toBe(true)
  })
})

describe('4.5 leave', () => {
  test.each(ALL)('v%s: 4.5.1 who is in, invited, or (v7) knocking leaves', (id) => {
    const canLeave = (membership: string) => RuleRoom.usual(id).membership(NEW, membership).allowsMembership(NEW, NEW, 'leave')
    expect(canLeave('join')).toBe(true)
    expect(canLeave('invite')).toBe(true)
    expect(canLeave('knock')).toBe(Number(id) >= 7)
    expect(canLeave('leave')).toBe(false)
    expect(canLeave('ban')).toBe(false)
    expect(RuleRoom.usual(id).allowsMembership(NEW, NEW, 'leave')).toBe(false)
  })

  test.each(ALL)('v%s: 4.5.2 to 4.5.4 kicking asks for membership, the kick level and more power than the target', (id) => {
    const room = RuleRoom.usual(id).join('@second:here').join(NEW)
    expect(room.allowsMembership(MODERATOR, MEMBER, 'leave')).toBe(true)
    expect(room.allowsMembership(MODERATOR, CREATOR, 'leave')).toBe(false)
    expect(room.allowsMembership(MEMBER, NEW, 'leave')).toBe(false)
    expect(room.allowsMembership(STRANGER, MEMBER, 'leave')).toBe(false)
    const equals = RuleRoom.usual(id, { kick: 0, users: { [MODERATOR]: 50, '@second:here': 50 } }).join('@second:here')
    expect(equals.allowsMembership(MODERATOR, '@second:here', 'leave')).toBe(false)
    expect(equals.allowsMembership(MODERATOR, MEMBER, 'leave')).toBe(true)
  })

  test.each(ALL)('v%s: 4.5.3 unbanning asks for the ban level too', (id) => {
    const room = RuleRoom.usual(id, { ban: 60, kick: 50 }).membership(NEW, 'ban')
    expect(room.allowsMembership(MODERATOR, NEW, 'leave')).toBe(false)
    expect(room.allowsMembership(CREATOR, NEW, 'leave')).toBe(true)
  })
})

describe('4.6 ban', () => {
  test.each(ALL)('v%s: asks for membership, the ban level and more power than the target', (id) => {
    const room = RuleRoom.usual(id)
    expect(room.allowsMembership(MODERATOR, MEMBER, 'ban')).toBe(true)
    expect(room.allowsMembership(MODERATOR, NEW, 'ban')).toBe(true)
    expect(room.allowsMembership(MODERATOR, CREATOR, 'ban')).toBe(false)
    expect(room.allowsMembership(MODERATOR, MODERATOR, 'ban')).toBe(false)
    expect(room.allowsMembership(MEMBER, NEW, 'ban')).toBe(false)
    expect(room.allowsMembership(STRANGER, MEMBER, 'ban')).toBe(false)
    expect(RuleRoom.usual(id, { ban: 0, users_default: -1 }).allowsMembership(MODERATOR, NEW, 'ban')).toBe(true)
  })

  test('v12: creators cannot be banned, not even by each other', () => {
    const room = RuleRoom.usual('12', {}, { additional_creators: [MEMBER] })
    expect(room.allowsMembership(CREATOR, MEMBER, 'ban')).toBe(false)
    expect(room.allowsMembership(MEMBER, CREATOR, 'leave')).toBe(false)
    expect(room.allowsMembership(CREATOR, MODERATOR, 'ban')).toBe(true)
  })
})

describe('4.7 knock', () => {
  test.each(ALL)('v%s: 4.7.1 only a join rule that says so allows it', (id) => {
    const knock = (joinRule: string) => RuleRoom.usual(id).joinRule(joinRule).allowsMembership(NEW, NEW, 'knock')
    expect(knock('knock')).toBe(Number(id) >= 7)
    expect(knock('knock_restricted')).toBe(Number(id) >= 10)
    for (const joinRule of ['public', 'invite', 'restricted', 'private']) expect(knock(joinRule)).toBe(false)
  })

  test.each(from(7))('v%s: 4.7.2 for oneself, 4.7.3 by who is neither banned, invited nor in', (id) => {
    const room = () => RuleRoom.usual(id).joinRule('knock')
    expect(room().allowsMembership(MEMBER, NEW, 'knock')).toBe(false)
    for (const [membership, allowed] of Object.entries({ leave: true, knock: true, ban: false, invite: false, join: false })) {
      expect([membership, room().membership(NEW, membership).allowsMembership(NEW, NEW, 'knock')]).toEqual([membership, allowed])
    }
  })
})
