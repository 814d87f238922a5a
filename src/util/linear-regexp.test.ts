import { expect, test } from 'vitest'
import { LinearRegExp, PatternError } from './linear-regexp.ts'

const TEXTS = [
  '',
  '@irc_bob:hs',
  '@irc_:hs',
  '@ircbob:hs',
  '@telegram_123:hs',
  '@telegrambot:hs',
  '@a-b.c:hs',
  'aaaa',
  'b',
  '@x]y:hs',
  '#a:hs',
]

test.each([
  '@irc_.*',
  '^@irc_.+:hs$',
  '@telegram(?:_[0-9]+|bot):hs',
  '@(irc|telegram)_.*',
  '@[a-z]+-[^:]*\\.c:hs',
  '[]x@]+',
  'a{2,3}b?',
  'a{4}$',
  'a{2,}',
  '(a*)*b?$',
  '@\\w+\\d*:hs',
  '(?:|b)$',
  '.*',
  '@irc_.*?:hs',
  '@[\\w.-]+:hs',
])('%s matches what the built-in engine matches at the start', (pattern) => {
  // A bracket first in a set stands for itself, as in Python and POSIX; JavaScript wants it escaped.
  const reference = new RegExp(`^(?:${pattern.replace('[]', '[\\]')})`)
  const linear = new LinearRegExp(pattern)
  for (const text of TEXTS) expect([text, linear.matchesStart(text)]).toEqual([text, reference.test(text)])
})

test('a pattern that makes others take for ever ends', () => {
  const text = `${'a'.repeat(10_000)}!`
  expect(new LinearRegExp('(a+)+$').matchesStart(text)).toBe(false)
})

test.each(['(', 'a)', '[a', '*a', '(?=a)b', '(a)\\1', 'a\\', 'a{999}', '((((a{200}){200}){200}))'])(
  '%s is refused',
  (pattern) => {
    expect(() => new LinearRegExp(pattern)).toThrow(PatternError)
  },
)
