import { expect, test } from 'vitest'
import { findNearest } from './nearest.ts'

test('a typo finds the word that was meant', () => {
  expect(findNearest('enable_registartion', ['enable_metrics', 'enable_registration'])).toBe('enable_registration')
  expect(findNearest('--sever-name', ['--server-name', '--data-dir'])).toBe('--server-name')
})

test('the misspelt beginning of a long word finds it', () => {
  expect(findNearest('confg', ['config-path', 'generate-config'])).toBe('config-path')
})

test('a word that resembles nothing finds nothing', () => {
  expect(findNearest('zebra', ['enable_metrics', 'listeners'])).toBeUndefined()
})
