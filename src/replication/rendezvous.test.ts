import { describe, expect, it } from 'vitest'
import { rendezvous, rendezvousOrder } from './rendezvous.ts'

const KEYS = Array.from({ length: 20_000 }, (_, index) => `!room${index}:example.org`)
const NAMES = ['main', 'event_persister1', 'event_persister2', 'event_persister3', 'generic_worker12']

describe('rendezvous', () => {
  it('spreads keys evenly over names', () => {
    const counts = new Map<string, number>()
    for (const key of KEYS) counts.set(rendezvous(key, NAMES) ?? '', (counts.get(rendezvous(key, NAMES) ?? '') ?? 0) + 1)
    for (const name of NAMES) expect(counts.get(name)).toBeGreaterThan((KEYS.length / NAMES.length) * 0.93)
  })

  it('moves about 1/n of the keys to an added name, and none between the others', () => {
    const more = [...NAMES, 'event_persister4']
    const moved = KEYS.filter((key) => rendezvous(key, NAMES) !== rendezvous(key, more))
    expect(moved.length / KEYS.length).toBeGreaterThan(1 / more.length - 0.02)
    expect(moved.length / KEYS.length).toBeLessThan(1 / more.length + 0.02)
    for (const key of moved) expect(rendezvous(key, more)).toBe('event_persister4')
  })

  it('does not depend on the order of the names, nor on the process', () => {
    const reversed = [...NAMES].reverse()
    for (const key of KEYS.slice(0, 500)) expect(rendezvous(key, reversed)).toBe(rendezvous(key, NAMES))
    // Processes of different versions must agree: these answers may never change.
    expect(['!a:hs', '!b:hs', '!c:hs', 'typing_owner:3'].map((key) => rendezvous(key, NAMES))).toEqual([
      'event_persister1',
      'main',
      'event_persister1',
      'event_persister1',
    ])
  })

  it('orders the names so that each is the pick when those before it are gone', () => {
    for (const key of KEYS.slice(0, 200)) {
      const order = rendezvousOrder(key, NAMES)
      let left = NAMES
      for (const name of order) {
        expect(rendezvous(key, left)).toBe(name)
        left = left.filter((one) => one !== name)
      }
    }
  })

  it('has no answer without names', () => expect(rendezvous('key', [])).toBeUndefined())
})
