import { expect, test } from 'vitest'
import { parseUserId } from './ids.ts'
import { parseInviteFilter, parseInvitePermission } from './invite-rules.ts'

const bob = parseUserId('@bob:there.example')

test('users come before servers, and allowed before ignored before blocked', () => {
  const ruleOf = (content: unknown): string => parseInviteFilter(content).ruleFor(bob)
  expect(ruleOf({ blocked_servers: ['*.example'] })).toBe('block')
  expect(ruleOf({ ignored_servers: ['there.*'], blocked_servers: ['*.example'] })).toBe('ignore')
  expect(ruleOf({ allowed_users: ['@b?b:*'], blocked_servers: ['*.example'] })).toBe('allow')
  expect(ruleOf({ blocked_users: ['@bob:*'], allowed_servers: ['there.example'] })).toBe('block')
  expect(ruleOf({ allowed_users: ['@bob:*'], ignored_users: ['@bob:*'], blocked_users: ['@bob:*'] })).toBe('allow')
})

test('what is of another form than the proposal says is left out', () => {
  for (const content of [
    undefined,
    null,
    [],
    'x',
    { blocked_users: null },
    { blocked_users: '*' },
    { blocked_users: [5, '', '*'.repeat(256)] },
  ])
    expect(parseInviteFilter(content).ruleFor(bob)).toBe('allow')
})

test('a default action of block blocks everybody', () => {
  expect(parseInvitePermission({ default_action: 'block' }).ruleFor(bob)).toBe('block')
  expect(parseInvitePermission({ default_action: 'other' }).ruleFor(bob)).toBe('allow')
})
