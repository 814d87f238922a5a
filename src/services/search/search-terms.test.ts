import { expect, test } from 'vitest'
import { findHighlights, parseSearchTerm } from './search-terms.ts'

const withTrigrams = { hasTrigrams: true }

test('all words must occur, longer ones as beginnings', () => {
  expect(parseSearchTerm('Martians & men, 4', withTrigrams)).toEqual({
    words: ['martians', 'men', '4'],
    query: "'martians':* & 'men':* & '4'",
    patterns: [],
  })
})

test('what means something to the database is taken as a separator', () => {
  expect(parseSearchTerm("o'neil\\ | !x:* \u0000", withTrigrams).query).toBe("'o' & 'neil':* & 'x'")
  expect(parseSearchTerm('() & %', withTrigrams)).toEqual({ words: [], query: '', patterns: [] })
})

test('parts of words are looked for where trigrams make that quick, and in scripts without spaces', () => {
  expect(parseSearchTerm('snake_case', withTrigrams).patterns).toEqual(['%snake\\_case%'])
  expect(parseSearchTerm('snake_case', { hasTrigrams: false }).patterns).toEqual([])
  expect(parseSearchTerm('ab', withTrigrams).patterns).toEqual([])
  expect(parseSearchTerm('天気', withTrigrams).patterns).toEqual(['%天気%'])
})

test('very long searches are cut', () => {
  const { words } = parseSearchTerm(`${'x'.repeat(500)} ${'word '.repeat(100)}`, withTrigrams)
  expect(words.length).toBe(20)
  expect(words[0]?.length).toBe(100)
})

test('highlights are the words of the hits as they stand there', () => {
  expect(findHighlights(['martian', '4'], ['Four Martians, 4 men', 'martian food'])).toEqual(['martians', '4', 'martian'])
  expect(findHighlights(['天気'], ['今日は天気がいい'])).toEqual(['天気'])
})
