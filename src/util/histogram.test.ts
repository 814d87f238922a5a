import { expect, test } from 'vitest'
import { Histogram } from './histogram.ts'

test('a value counts at the first bound that it does not exceed', () => {
  const histogram = new Histogram([1, 5])
  for (const value of [0.5, 1, 2, 5, 6]) histogram.observe(value)
  expect(histogram.counts).toEqual([2, 2, 1])
  expect(histogram.sum).toBe(14.5)
})
