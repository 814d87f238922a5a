import { expect, test } from 'vitest'
import { DirectoryRules } from './directory-rules.ts'

const rule = (parts: Partial<{ userId: string; alias: string; roomId: string; action: 'allow' | 'deny' }>) => ({
  userId: '*',
  alias: '*',
  roomId: '*',
  action: 'allow' as const,
  ...parts,
})
const request = { userId: '@alice:a.org', roomId: '!room:a.org', aliases: ['#lounge:a.org'] }

test('the first rule that fits decides', () => {
  const rules = new DirectoryRules([rule({ userId: '@bob:*', action: 'deny' }), rule({})])
  expect(rules.isAllowed(request)).toBe(true)
  expect(rules.isAllowed({ ...request, userId: '@bob:a.org' })).toBe(false)
})

test('without a rule that fits nothing is allowed', () => {
  expect(new DirectoryRules([]).isAllowed(request)).toBe(false)
  expect(new DirectoryRules([rule({ roomId: '!other:a.org' })]).isAllowed(request)).toBe(false)
})

test('a rule for an alias fits a room that has it, a room without aliases only rules for any', () => {
  const rules = new DirectoryRules([rule({ alias: '#lou?ge:*' })])
  expect(rules.isAllowed(request)).toBe(true)
  expect(rules.isAllowed({ ...request, aliases: ['#other:a.org', '#lounge:a.org'] })).toBe(true)
  expect(rules.isAllowed({ ...request, aliases: [] })).toBe(false)
  expect(new DirectoryRules([rule({})]).isAllowed({ ...request, aliases: [] })).toBe(true)
})
