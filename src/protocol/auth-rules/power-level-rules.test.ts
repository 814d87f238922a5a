import { describe, expect, test } from 'vitest'
import { CREATOR, MEMBER, MODERATOR, RuleRoom } from '../../../tests/kit/rule-room.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import { ROOM_VERSION_IDS } from '../room-versions/room-version.ts'

const ALL = [...ROOM_VERSION_IDS]
const until = (last: number) => ALL.filter((id) => Number(id) <= last)
const from = (first: number) => ALL.filter((id) => Number(id) >= first)
const NAMES = ['users_default', 'events_default', 'state_default', 'ban', 'redact', 'kick', 'invite']

/** Judges a change of power levels from `before` to `after`, each on top of the moderator's 50 (and a creator with 100). */
function change(id: string, sender: string, before: JsonObject, after: JsonObject): boolean {
  const usual: JsonObject = id === '12' ? { [MODERATOR]: 50 } : { [CREATOR]: 100, [MODERATOR]: 50 }
  const withUsers = (content: JsonObject) => ({
    ...content,
    users: { ...usual, ...(content['users'] as JsonObject | undefined) },
  })
  // The event type itself asks for 50.
  const room = RuleRoom.usual(id, withUsers(before))
  return room.allows({ type: 'm.room.power_levels', sender, stateKey: '', content: withUsers(after) })
}

/** Judges power levels in a room that has none yet. */
function first(id: string, content: JsonObject): boolean {
  const room = new RuleRoom(id, id === '12' ? { additional_creators: ['@co:here'] } : {}).join(CREATOR)
  return room.allows({ type: 'm.room.power_levels', sender: CREATOR, stateKey: '', content })
}

describe('9.1 to 9.3: the shape', () => {
  const notIntegers: readonly JsonValue[] = ['50', 50.5, null, true, {}, []]

  for (const name of NAMES) {
    test.each(from(10))(`v%s: 9.1 ${name} must be an integer`, (id) => {
      for (const value of notIntegers) expect(first(id, { [name]: value })).toBe(false)
      expect(first(id, { [name]: -5 })).toBe(true)
    })
    test.each(until(9))(`v%s: ${name} may be a string`, (id) => {
      expect(first(id, { [name]: '50' })).toBe(true)
    })
  }

  test.each(ALL)('v%s: 9.2 events and notifications must be objects, since v10 of integers', (id) => {
    for (const map of ['events', 'notifications']) {
      expect(first(id, { [map]: { a: 5, b: -5 } })).toBe(true)
      expect(first(id, { [map]: [] })).toBe(false)
      expect(first(id, { [map]: null })).toBe(false)
      for (const value of notIntegers) {
        if (Number(id) >= 10) expect(first(id, { [map]: { a: 1, b: value } })).toBe(false)
      }
      expect(first(id, { [map]: { a: '5' } })).toBe(Number(id) < 10)
    }
  })

  test.each(ALL)('v%s: 9.3 users must be an object of user ids and integers, as strings only before v10', (id) => {
    expect(first(id, {})).toBe(true)
    expect(first(id, { users: { '@a:b': 5, '@:b': 0, '@ünï:b_c': -1 } })).toBe(true)
    expect(first(id, { users: { '@a:b': ' +050 ' } })).toBe(Number(id) < 10)
    expect(first(id, { users: { '@a:b': 50.57 } })).toBe(Number(id) < 6)
    for (const users of [[], null, 'x', { a: 1 }, { '@a': 1 }, { '': 1 }]) expect(first(id, { users })).toBe(false)
    for (const value of [null, true, {}, '', 'x', '1.5', '1e2', '- 1'])
      expect(first(id, { users: { '@a:b': value } })).toBe(false)
  })

  test('v12: 10.4 users must not name a creator', () => {
    expect(first('12', { users: { [CREATOR]: 100 } })).toBe(false)
    expect(first('12', { users: { '@co:here': 100 } })).toBe(false)
    expect(first('12', { users: { '@other:here': 100 } })).toBe(true)
    expect(first('11', { users: { [CREATOR]: 100, '@co:here': 100 } })).toBe(true)
  })
})

describe('9.5 the named levels', () => {
  for (const name of NAMES) {
    test.each(ALL)(`v%s: ${name} changes only below the sender's level`, (id) => {
      const by = (before: number | undefined, after: number | undefined) => {
        const content = (value: number | undefined): JsonObject => (value === undefined ? {} : { [name]: value })
        // Whatever is asked for sending state or of users by default must not be in the way.
        return change(
          id,
          MODERATOR,
          { events: { 'm.room.power_levels': 0 }, ...content(before) },
          {
            events: { 'm.room.power_levels': 0 },
            ...content(after),
          },
        )
      }
      expect(by(10, 20)).toBe(true)
      expect(by(50, 50)).toBe(true)
      expect(by(10, 50)).toBe(true)
      expect(by(50, 10)).toBe(true)
      expect(by(60, 60)).toBe(true)
      expect(by(60, 10)).toBe(false) // 9.5.1
      expect(by(60, undefined)).toBe(false) // 9.5.1: removed
      expect(by(10, 60)).toBe(false) // 9.5.2
      expect(by(undefined, 60)).toBe(false) // 9.5.2: added
      expect(by(undefined, 40)).toBe(true)
      expect(by(40, undefined)).toBe(true)
    })
  }

  test.each(until(9))('v%s: the same level written otherwise is no change', (id) => {
    expect(change(id, MODERATOR, { ban: 60 }, { ban: '60' })).toBe(true)
    expect(change(id, MODERATOR, { ban: '60' }, { ban: 'many' })).toBe(false)
  })
})

describe('9.6 and 9.7: events and notifications', () => {
  for (const map of ['events', 'notifications']) {
    test.each(ALL)(`v%s: ${map}`, (id) => {
      const isChecked = map === 'events' || Number(id) >= 6
      const by = (before: JsonObject, after: JsonObject) => change(id, MODERATOR, { [map]: before }, { [map]: after })
      expect(by({ a: 10 }, { a: 50 })).toBe(true)
      expect(by({}, { a: 50 })).toBe(true)
      expect(by({ a: 50 }, {})).toBe(true)
      expect(by({ a: 60 }, { a: 60, b: 1 })).toBe(true)
      expect(by({ a: 60 }, { a: 50 })).toBe(!isChecked) // 9.6.1
      expect(by({ a: 60 }, {})).toBe(!isChecked) // 9.6.1
      expect(by({ a: 10 }, { a: 60 })).toBe(!isChecked) // 9.7.1
      expect(by({}, { a: 60 })).toBe(!isChecked) // 9.7.1
      expect(by({}, JSON.parse('{"__proto__":60}') as JsonObject)).toBe(!isChecked)
      expect(by({ toString: 60 }, { toString: 60 })).toBe(true)
      const removed = change(id, MODERATOR, { [map]: { a: 60 } }, {})
      expect(removed).toBe(!isChecked)
    })
  }
})

describe('9.8 and 9.9: users', () => {
  test.each(ALL)('v%s: others change only below the own level, and up to it', (id) => {
    const by = (before: JsonObject, after: JsonObject) => change(id, MODERATOR, { users: before }, { users: after })
    expect(by({}, { '@a:b': 50 })).toBe(true)
    expect(by({}, { '@a:b': 51 })).toBe(false) // 9.9.1
    expect(by({ '@a:b': 49 }, { '@a:b': 50 })).toBe(true)
    expect(by({ '@a:b': 50 }, { '@a:b': 10 })).toBe(false) // 9.8.1
    expect(by({ '@a:b': 50 }, {})).toBe(false) // 9.8.1
    expect(by({ '@a:b': 49 }, {})).toBe(true)
    expect(by({ '@a:b': 60 }, { '@a:b': 60 })).toBe(true)
    expect(by({ '@a:b': 60 }, { '@a:b': 40 })).toBe(false)
  })

  test.each(ALL)('v%s: the own level may fall, not rise', (id) => {
    expect(change(id, MODERATOR, {}, { users: { [MODERATOR]: 10 } })).toBe(true)
    expect(change(id, MODERATOR, {}, { users: { [MODERATOR]: 51 } })).toBe(false)
    expect(change(id, CREATOR, {}, { users: { [MODERATOR]: 100 } })).toBe(true)
  })

  test('v1 to v11: the creator is bound by its level like everyone, v12: by nothing', () => {
    for (const id of until(11)) {
      expect(change(id, CREATOR, {}, { users: { [MEMBER]: 101 } })).toBe(false)
      expect(change(id, CREATOR, { users: { [MEMBER]: 100 } }, { users: { [MEMBER]: 0 } })).toBe(false)
    }
    expect(change('12', CREATOR, {}, { users: { [MEMBER]: 2 ** 53 - 1 } })).toBe(true)
    expect(change('12', CREATOR, { users: { [MEMBER]: 2 ** 53 - 1 } }, { users: { [MEMBER]: 0 } })).toBe(true)
  })
})
