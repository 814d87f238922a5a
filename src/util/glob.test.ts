import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileGlob, compileWordGlob, compileWordLiteral } from './glob.ts'

/** The textbook way: a table of which pattern prefix matches which text prefix. */
function matchesNaively(pattern: string, text: string): boolean {
  const p = Array.from(pattern)
  const t = Array.from(text)
  let row = p.reduce<boolean[]>((reach, char) => [...reach, reach.at(-1) === true && char === '*'], [true])
  for (const char of t) {
    const next: boolean[] = [false]
    for (let i = 0; i < p.length; i++) {
      next.push(p[i] === '*' ? next[i] === true || row[i + 1] === true : row[i] === true && (p[i] === '?' || p[i] === char))
    }
    row = next
  }
  return row.at(-1) === true
}

const isWord = (char: string | undefined): boolean => char !== undefined && /[A-Za-z0-9_]/.test(char)

function matchesWordsNaively(pattern: string, text: string): boolean {
  const chars = Array.from(text)
  const isBoundary = (i: number): boolean => !(isWord(chars[i - 1]) && isWord(chars[i]))
  for (let start = 0; start <= chars.length; start++) {
    for (let end = start; end <= chars.length; end++) {
      if (isBoundary(start) && isBoundary(end) && matchesNaively(pattern, chars.slice(start, end).join(''))) return true
    }
  }
  return false
}

const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', ' ', '😀'), maxLength: 8 })
const texts = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '😀', '_'), maxLength: 12 })

describe('glob', () => {
  it('matches what a table-driven matcher matches', () => {
    fc.assert(
      fc.property(patterns, texts, (p, t) => compileGlob(p).matches(t) === matchesNaively(p, t)),
      { numRuns: 2000 },
    )
  })

  it('finds between word boundaries what trying every part of the text finds', () => {
    fc.assert(
      fc.property(patterns, texts, (p, t) => compileWordGlob(p).matches(t) === matchesWordsNaively(p, t)),
      { numRuns: 2000 },
    )
  })

  it.each([
    ['lunc?*', 'Lunch plans', true],
    ['lunc?*', 'LUNCH', true],
    ['lunc?*', ' lunch', false],
    ['lunc?*', 'lunc', false],
    ['*.example.org', 'evil.EXAMPLE.org', true],
    ['*.example.org', 'example.org', false],
    ['a.c', 'abc', false],
    ['', '', true],
    ['*', 'line\nbreak', true],
  ])('%s against %s is %s', (pattern, text, expected) => {
    expect(compileGlob(pattern).matches(text)).toBe(expected)
  })

  it.each([
    ['ex*ple', 'An example event.', true],
    ['ex*ple', 'exple', true],
    ['ex*ple', 'An exciting triple-whammy', true],
    ['ex*ple', 'An examples event', false],
    ['@room', 'hello @room!', true],
    ['cake', 'cupcakes', false],
    ['cake', 'no_cake', false],
  ])('between word boundaries %s against %s is %s', (pattern, text, expected) => {
    expect(compileWordGlob(pattern).matches(text)).toBe(expected)
  })

  it('takes stars and question marks of a literal as they are', () => {
    expect(compileWordLiteral('What?').matches('so what? nothing')).toBe(true)
    expect(compileWordLiteral('*').matches('anything')).toBe(false)
  })

  it('does not blow up on a pattern made to backtrack', () => {
    const glob = compileGlob(`${'a*'.repeat(200)}b`)
    expect(glob.matches('a'.repeat(20_000))).toBe(false)
    expect(compileWordGlob(`${'?*'.repeat(200)}b`).matches('a'.repeat(20_000))).toBe(false)
  })
})
