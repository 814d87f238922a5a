import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileWordLiteral } from '../../util/glob.ts'
import { searchWordOf, wordsOf } from './name-search.ts'

describe('name search', () => {
  it('cuts a body into words', () => {
    expect(wordsOf('Hello, @Bob_2: an-other café')).toEqual(new Set(['hello', 'bob_2', 'an', 'other', 'caf']))
    expect(searchWordOf('Dr. Bob Builder!')).toBe('builder')
    expect(searchWordOf('Ольга')).toBeUndefined()
  })

  it('never misses a name that occurs in the body', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', 'B', 'é', ' ', '-', '_', '1', '😀'), maxLength: 10 })
    fc.assert(
      fc.property(texts, texts, texts, (name, before, after) => {
        const body = before + name + after
        const word = searchWordOf(name)
        return word === undefined || !compileWordLiteral(name).matches(body) || wordsOf(body).has(word)
      }),
      { numRuns: 2000 },
    )
  })
})
