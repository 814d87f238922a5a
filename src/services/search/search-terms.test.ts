import { expect, test } from 'vitest'
import { findHighlights, makeDocument, normalizeText, parseSearchTerm } from './search-terms.ts'

const withTrigrams = { hasTrigrams: true }

test('all words must occur, longer ones as beginnings', () => {
  expect(parseSearchTerm('Martians & men, 4', withTrigrams)).toEqual({
    words: ['martians', 'men', '4'],
    query: "'martians':* & 'men':* & '4'",
    patterns: ['%martians%', '%men%', '%4%'],
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
  expect(parseSearchTerm('foo.png, C++20!', withTrigrams)).toMatchObject({
    query: "'foo':* & 'png':* & 'c' & '20'",
    patterns: ['%foo.png%', '%c++20%'],
  })
  expect(parseSearchTerm('天気', withTrigrams).query).toBe("'天気'")
  expect(parseSearchTerm('夏の夜 虫', withTrigrams).query).toBe("('夏の' <-> 'の夜') & '虫':*")
})

test('a text is made of the same words as a query', () => {
  expect(makeDocument(normalizeText('See foo.png, see Ｃ言語'))).toBe("'see':1,4 'foo':2 'png':3 'c':5 '言語':6 '語':7")
  expect(makeDocument(normalizeText("it's \\ | \u0000!"))).toBe("'it':1 's':2")
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
