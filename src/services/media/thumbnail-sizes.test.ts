import { expect, it } from 'vitest'
import { chooseThumbnailSize } from './thumbnail-sizes.ts'

const sizes = [
  { width: 96, height: 96, method: 'crop' },
  { width: 32, height: 32, method: 'crop' },
  { width: 640, height: 480, method: 'scale' },
  { width: 320, height: 240, method: 'scale' },
] as const

it('takes the smallest size that is large enough, of the method asked for', () => {
  expect(chooseThumbnailSize({ width: 33, height: 10, method: 'crop' }, sizes)).toBe(sizes[0])
  expect(chooseThumbnailSize({ width: 10, height: 241, method: 'scale' }, sizes)).toBe(sizes[2])
})

it('takes the largest where none is large enough, and another method where the one asked for is missing', () => {
  expect(chooseThumbnailSize({ width: 5000, height: 5000, method: 'scale' }, sizes)).toBe(sizes[2])
  expect(chooseThumbnailSize({ width: 20, height: 20, method: 'scale' }, sizes.slice(0, 2))).toBe(sizes[1])
  expect(chooseThumbnailSize({ width: 20, height: 20, method: 'scale' }, [])).toBeUndefined()
})
