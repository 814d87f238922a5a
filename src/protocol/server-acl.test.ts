import { describe, expect, it } from 'vitest'
import type { ServerName } from './ids.ts'
import type { JsonObject } from './json.ts'
import { compileServerAcl } from './server-acl.ts'

describe('server ACL', () => {
  it.each<[string, JsonObject, string, boolean]>([
    ['an empty list allows nobody', {}, 'good.org', false],
    ['a star allows everybody', { allow: ['*'] }, 'good.org', true],
    ['deny wins over allow', { allow: ['*'], deny: ['*.evil.com'] }, 'x.evil.com', false],
    ['the port does not matter', { allow: ['*'], deny: ['evil.com'] }, 'evil.com:8448', false],
    ['case does not matter', { allow: ['*'], deny: ['EVIL.com'] }, 'evil.COM', false],
    ['a dot is only a dot', { allow: ['*'], deny: ['evil.com'] }, 'evilxcom', true],
    ['a question mark is one character', { allow: ['ab?.org'] }, 'abc.org', true],
    ['IP literals are allowed by default', { allow: ['*'] }, '1.2.3.4', true],
    ['IPv4 literals can be denied', { allow: ['*'], allow_ip_literals: false }, '1.2.3.4:8448', false],
    ['IPv6 literals can be denied', { allow: ['*'], allow_ip_literals: false }, '[::1]:8448', false],
    ['an IPv6 literal without port keeps its last group', { allow: ['[fe80::1]'] }, '[fe80::1]', true],
    ['allow_ip_literals counts only when boolean', { allow: ['*'], allow_ip_literals: 'false' }, '1.2.3.4', true],
    ['entries that are no text are ignored', { allow: [1, null, 'good.org'], deny: 'x' }, 'good.org', true],
  ])('%s', (_, content, serverName, expected) => {
    expect(compileServerAcl(content).isServerAllowed(serverName as ServerName)).toBe(expected)
  })
})
