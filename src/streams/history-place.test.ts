import { expect, it } from 'vitest'
import {
  HISTORY_ORDINALS_MAX,
  placeAfter,
  placeBefore,
  placeOf,
  placeOfToken,
  placeToToken,
  splitPlace,
} from './history-place.ts'

it('places sort as position and ordinal, and survive tokens', () => {
  const places = [
    { position: 4, ordinal: 0 },
    { position: 5, ordinal: -HISTORY_ORDINALS_MAX },
    { position: 5, ordinal: -2 },
    { position: 5, ordinal: -1 },
    { position: 5, ordinal: 0 },
    { position: 4_000_000_000, ordinal: -1 },
  ]
  const numbers = places.map(placeOf)
  expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers)
  for (const [index, place] of places.entries()) {
    const number = numbers[index] ?? 0
    const { events, depth } = placeToToken(number)
    expect(splitPlace(placeOfToken(events, depth))).toEqual({ position: place.position, ordinal: place.ordinal || 0 })
  }
})

it('the places beside an event are between it and its neighbours', () => {
  expect(splitPlace(placeBefore(5))).toEqual({ position: 5, ordinal: -1 })
  expect(splitPlace(placeAfter(4))).toEqual({ position: 5, ordinal: -HISTORY_ORDINALS_MAX })
  expect(placeToToken(placeBefore(5)).events).toBe(4)
})
