import { describe, expect, test } from 'vitest'
import { CREATOR, MEMBER, MODERATOR, RuleRoom, STRANGER } from '../../../tests/kit/rule-room.ts'
import { stateSlotKey } from '../events/event.ts'
import type { JsonObject } from '../json.ts'
import { canApplyRedaction, canSendEvent, getPowerLevelsOf, namedPowerLevel, parseLevel, userPowerLevel } from './power-levels.ts'

function levelsOf(room: RuleRoom) {
  return getPowerLevelsOf(room.version, (type, stateKey) => room.state.get(stateSlotKey(type, stateKey)))
}

describe('reading a level', () => {
  test.each<[unknown, number | undefined, number | undefined, number | undefined]>([
    // value, v1, v6, v10
    [50, 50, 50, 50],
    [-3, -3, -3, -3],
    ['50', 50, 50, undefined],
    [' -00100 ', -100, -100, undefined],
    ['+7', 7, 7, undefined],
    [50.57, 50, undefined, undefined],
    [-50.57, -50, undefined, undefined],
    ['50.5', undefined, undefined, undefined],
    ['', undefined, undefined, undefined],
    [Number.POSITIVE_INFINITY, undefined, undefined, undefined],
    [true, undefined, undefined, undefined],
    [null, undefined, undefined, undefined],
    [undefined, undefined, undefined, undefined],
  ])('%j', (value, v1, v6, v10) => {
    const read = (id: string) => parseLevel(new RuleRoom(id).version, value as never)
    expect([read('1'), read('6'), read('10')]).toEqual([v1, v6, v10])
  })
})

test('users have their entry, else users_default, else 0; creators stand above since v12', () => {
  for (const [id, creator] of [
    ['11', 100],
    ['12', Number.POSITIVE_INFINITY],
  ] as const) {
    const levels = levelsOf(RuleRoom.usual(id, { users_default: 7 }))
    expect([CREATOR, MODERATOR, MEMBER].map((userId) => userPowerLevel(levels, userId))).toEqual([creator, 50, 7])
    expect(userPowerLevel(levels, '__proto__')).toBe(7)
    expect(userPowerLevel(levelsOf(RuleRoom.usual(id)), MEMBER)).toBe(0)
  }
})

test('without power levels the creator has 100, and only the first of v12 is not alone', () => {
  expect(userPowerLevel(levelsOf(new RuleRoom('11', { additional_creators: [MEMBER] })), MEMBER)).toBe(0)
  expect(userPowerLevel(levelsOf(new RuleRoom('11')), CREATOR)).toBe(100)
  expect(userPowerLevel(levelsOf(new RuleRoom('12', { additional_creators: [MEMBER] })), MEMBER)).toBe(Number.POSITIVE_INFINITY)
})

test('named levels have their defaults with and without the event', () => {
  for (const room of [new RuleRoom('11'), RuleRoom.usual('11'), RuleRoom.usual('11', { kick: 'x' } as JsonObject)]) {
    const levels = levelsOf(room)
    expect(namedPowerLevel(levels, 'kick')).toBe(50)
    expect(namedPowerLevel(levels, 'invite')).toBe(0)
    expect(canSendEvent(levels, MEMBER, { type: 'm.room.message', isState: false })).toBe(true)
    expect(canSendEvent(levels, MEMBER, { type: 'm.room.name', isState: true })).toBe(false)
  }
})

test('a redaction applies with the redact level or on the own server', () => {
  const levels = levelsOf(RuleRoom.usual('11'))
  expect(canApplyRedaction(levels, MODERATOR, STRANGER)).toBe(true)
  expect(canApplyRedaction(levels, MEMBER, STRANGER)).toBe(false)
  expect(canApplyRedaction(levels, MEMBER, MODERATOR)).toBe(true)
})
