import { describe, expect, test } from 'vitest'
import { CREATOR, MEMBER, MODERATOR, RuleRoom } from '../../../tests/kit/rule-room.ts'
import type { MatrixEvent } from '../events/event.ts'
import type { JsonObject } from '../json.ts'
import { checkAuthEventSelection, selectAuthSlots } from './auth-slots.ts'
import { ROOM_VERSION_IDS } from '../room-versions/room-version.ts'

const ALL = [...ROOM_VERSION_IDS]
const until = (last: number) => ALL.filter((id) => Number(id) <= last)

function slotsOf(id: string, event: { type: string; stateKey?: string; sender?: string; content?: JsonObject }): string[] {
  const { type, stateKey, sender = '@a:b', content = {} } = event
  const slots = selectAuthSlots(new RuleRoom(id).version, { type, stateKey, sender, content })
  return slots.map((slot) => `${slot.type.replace('m.room.', '')} ${slot.stateKey}`.trim())
}

describe('selection', () => {
  test.each(ALL)('v%s: the create event needs nothing, a message the sender and the levels', (id) => {
    const create = id === '12' ? [] : ['create']
    expect(slotsOf(id, { type: 'm.room.create', stateKey: '' })).toEqual([])
    expect(slotsOf(id, { type: 'm.room.message' })).toEqual([...create, 'power_levels', 'member @a:b'])
  })

  const member = (membership: string, stateKey: string, more: JsonObject = {}) => ({
    type: 'm.room.member',
    stateKey,
    content: { membership, ...more },
  })
  const BASE = ['create', 'power_levels', 'member @a:b']
  const signed = { signed: { token: 'tok' } }
  test.each<[string, ReturnType<typeof member>, string[]]>([
    ['join', member('join', '@a:b'), [...BASE, 'join_rules']],
    ['invite', member('invite', '@c:d'), [...BASE, 'member @c:d', 'join_rules']],
    ['knock', member('knock', '@a:b'), [...BASE, 'join_rules']],
    ['leave', member('leave', '@a:b'), BASE],
    ['kick', member('leave', '@c:d'), [...BASE, 'member @c:d']],
    ['ban', member('ban', '@c:d'), [...BASE, 'member @c:d']],
    [
      'third-party invite',
      member('invite', '@c:d', { third_party_invite: signed }),
      [...BASE, 'member @c:d', 'join_rules', 'third_party_invite tok'],
    ],
    ['third-party join', member('join', '@a:b', { third_party_invite: signed }), [...BASE, 'join_rules']],
    [
      'restricted join',
      member('join', '@a:b', { join_authorised_via_users_server: '@e:f' }),
      [...BASE, 'join_rules', 'member @e:f'],
    ],
    ['restricted join by oneself', member('join', '@a:b', { join_authorised_via_users_server: '@a:b' }), [...BASE, 'join_rules']],
    ['restricted leave', member('leave', '@a:b', { join_authorised_via_users_server: '@e:f' }), BASE],
    ['malformed invite', member('invite', '@c:d', { third_party_invite: 'x' }), [...BASE, 'member @c:d', 'join_rules']],
  ])('%s', (_what, event, expected) => {
    expect(slotsOf('11', event)).toEqual(expected)
    expect(slotsOf('12', event)).toEqual(expected.slice(1))
  })

  test('before v8 nobody authorises joins', () => {
    expect(slotsOf('7', member('join', '@a:b', { join_authorised_via_users_server: '@e:f' }))).toEqual([...BASE, 'join_rules'])
  })
})

describe('check', () => {
  const accepted = (...events: (MatrixEvent | undefined)[]) =>
    events.map((event) => ({ event: event as MatrixEvent, isRejected: false }))

  function usual(id: string) {
    const room = RuleRoom.usual(id)
    const slot = (type: string, stateKey = '') => room.state.get(`m.room.${type}\u0000${stateKey}`) as MatrixEvent
    const create = slot('create')
    const own = [slot('power_levels'), slot('member', MEMBER)]
    const listed = room.version.hashRoomId ? own : [create, ...own]
    const check = (
      events: readonly { event: MatrixEvent; isRejected: boolean }[],
      message = room.event({ type: 'm.room.message' }),
    ) => checkAuthEventSelection(room.version, message, events, { event: create, isRejected: false }).allowed
    return { room, slot, create, listed, check }
  }

  test.each(ALL)('v%s: the selected events pass, also when some are not there', (id) => {
    const { check, listed, create, room } = usual(id)
    expect(check(accepted(...listed))).toBe(true)
    expect(check(accepted(...(room.version.hashRoomId ? [] : [create])))).toBe(true)
    expect(check([], room.create)).toBe(true)
  })

  test.each(ALL)('v%s: 2.1 two events for one slot are refused', (id) => {
    const { check, listed, room } = usual(id)
    const other = room.event({ type: 'm.room.power_levels', sender: CREATOR, stateKey: '' })
    expect(check(accepted(...listed, other))).toBe(false)
    expect(check(accepted(...listed, listed[0]))).toBe(false)
  })

  test.each(ALL)('v%s: 2.2 events that are not selected are refused', (id) => {
    const { check, listed, room, slot } = usual(id)
    expect(check(accepted(...listed, slot('member', MODERATOR)))).toBe(false)
    expect(check(accepted(...listed, slot('join_rules')))).toBe(false)
    expect(check(accepted(...listed, room.event({ type: 'm.room.power_levels' })))).toBe(false)
  })

  test.each(ALL)('v%s: 2.3 rejected events are refused', (id) => {
    const { check, listed } = usual(id)
    expect(check(listed.map((event, index) => ({ event, isRejected: index === 1 })))).toBe(false)
  })

  test.each(until(11))('v%s: 2.4 the create event must be there', (id) => {
    const { check, listed } = usual(id)
    expect(check(accepted(...listed.slice(1)))).toBe(false)
  })

  test('v12: 3.2 the create event must not be there', () => {
    const { check, listed, create } = usual('12')
    expect(check(accepted(create, ...listed))).toBe(false)
  })

  test.each(ALL)('v%s: 2.5 events of other rooms are refused', (id) => {
    const { check, listed, room } = usual(id)
    const roomId = room.version.hashRoomId ? `!${'d'.repeat(43)}` : '!other:here'
    const foreign = room.event({ type: 'm.room.power_levels', sender: CREATOR, stateKey: '', roomId })
    expect(check(accepted(...listed.filter((event) => event.type !== 'm.room.power_levels'), foreign))).toBe(false)
  })

  test('v12: 2 the room id must name an accepted create event', () => {
    const { room, create, listed } = usual('12')
    const message = room.event({ type: 'm.room.message' })
    const withCreate = (entry: { event: MatrixEvent; isRejected: boolean } | undefined) =>
      checkAuthEventSelection(room.version, message, accepted(...listed), entry).allowed
    expect(withCreate({ event: create, isRejected: false })).toBe(true)
    expect(withCreate({ event: create, isRejected: true })).toBe(false)
    expect(withCreate(undefined)).toBe(false)
    expect(withCreate({ event: listed[0] as MatrixEvent, isRejected: false })).toBe(false)
    const other = new RuleRoom('12').event({ type: 'm.room.create', stateKey: '', eventId: `$${'e'.repeat(43)}` })
    expect(withCreate({ event: other, isRejected: false })).toBe(false)
  })
})
