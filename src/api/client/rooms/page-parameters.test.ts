import { expect, test } from 'vitest'
import { formatPageToken, parsePageLimit, parsePageToken, parseQueryFilter } from './page-parameters.ts'

test('tokens of pages and of /sync name a place in the timeline', () => {
  expect(parsePageToken(formatPageToken(42))).toBe(42)
  expect(parsePageToken('s42_1_2_3_4_5_6_7_0_0_0_0_0_0')).toBe(42)
  // Among what was filled in between two positions.
  expect(Math.floor(parsePageToken('t7-42') ?? 0)).toBe(42)
  expect(formatPageToken(parsePageToken('t7-42') ?? 0)).toBe('t7-42')
  expect(parsePageToken('')).toBeUndefined()
  expect(parsePageToken(undefined)).toBeUndefined()
  expect(() => parsePageToken('banana')).toThrow('malformed')
})

test('limits are cut to what a page may have', () => {
  expect(parsePageLimit(undefined)).toBe(10)
  expect(parsePageLimit(1_000_000)).toBe(1000)
  expect(parsePageLimit(0)).toBe(1)
  expect(parsePageLimit(0, { min: 0 })).toBe(0)
  expect(() => parsePageLimit(-1)).toThrow('negative')
})

test('a filter that does not parse is refused', () => {
  expect(parseQueryFilter('{"types":["m.room.message"]}')?.matches({ type: 'm.room.topic' })).toBe(false)
  expect(parseQueryFilter(undefined)).toBeUndefined()
  expect(() => parseQueryFilter('[]')).toThrow()
})
