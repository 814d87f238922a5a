import { describe, expect, it } from 'vitest'
import { eventPositionInLane, formatRoomPosition, formatSyncToken, parseRoomPosition, parseSyncToken } from './sync-token.ts'

describe('sync token', () => {
  it('has fourteen fields in the order that clients of Synapse know', () => {
    const token = parseSyncToken('s1_2_3_4_5_6_7_8_9_10_11_12_13_14')
    expect(token).toMatchObject({
      events: 1,
      presence: 2,
      typing: 3,
      receipts: 4,
      accountData: 5,
      pushRules: 6,
      toDevice: 7,
      deviceLists: 8,
    })
    expect(token).toMatchObject({ threadSubscriptions: 11, profiles: 14, eventLanes: undefined, depth: undefined })
    expect(formatSyncToken(token)).toBe('s1_2_3_4_5_6_7_8_0_0_11_0_0_14')
  })

  it('reads older tokens with fewer fields as zero for the rest', () => {
    expect(formatSyncToken(parseSyncToken('s2633508_17_338_6732159_1082514_541479_274711_265584_1'))).toBe(
      's2633508_17_338_6732159_1082514_541479_274711_265584_0_0_0_0_0_0',
    )
    expect(parseSyncToken('s5').events).toBe(5)
  })

  it('keeps the positions of lanes that are ahead', () => {
    const token = parseSyncToken('l40~1.45~3.44_0_0_0_0_0_0_0_0_0_0_0_0_0')
    expect([0, 1, 2, 3].map((lane) => eventPositionInLane(token, lane))).toEqual([40, 45, 40, 44])
    expect(formatSyncToken(token)).toBe('l40~1.45~3.44_0_0_0_0_0_0_0_0_0_0_0_0_0')
  })

  it('reads tokens of several writers as their minimum', () => {
    const token = parseSyncToken('m56~2.58~3.59_1_2_m7~1.9_5_6_7_m8~_9')
    expect(token).toMatchObject({ events: 56, eventLanes: undefined, receipts: 7, deviceLists: 8 })
  })

  it('keeps the depth of a place in history', () => {
    expect(formatRoomPosition(parseRoomPosition('t426-2633508'))).toBe('t426-2633508')
  })

  it.each([
    '',
    's',
    'x1',
    's-1',
    's1.5',
    's1e3',
    's99999999999999999999',
    's9007199254740993',
    't5',
    't-5',
    'l5~1',
    'l5~a.1',
    's1_',
    's1_x',
    's1__2',
    'S1',
    's1_2_3_4_5_6_7_8_9_10_11_12_13_14_15',
    's1_2_3_4_5_6_7_8_x',
    `s${'1'.repeat(2000)}`,
    's1\u0000',
    's 1',
    's1_0x10',
    'm',
    'm5~1',
  ])('refuses %j with M_INVALID_PARAM', (text) => {
    expect(() => parseSyncToken(text)).toThrow(expect.objectContaining({ errcode: 'M_INVALID_PARAM', status: 400 }))
  })
})
