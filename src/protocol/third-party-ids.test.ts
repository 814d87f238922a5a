import { expect, test } from 'vitest'
import { parseEmail, parsePhoneNumber, parseThreepid } from './third-party-ids.ts'

test('e-mail addresses are written in small letters, and what could be two is none', () => {
  expect(parseEmail(' Alice.B@Example.ORG ')).toBe('alice.b@example.org')
  for (const bad of ['alice', '@x', 'a@b@c', 'a@b,c@d', 'a@b\r\nBcc: c@d', '"x <a@b>"@c', `${'x'.repeat(500)}@b`])
    expect(() => parseEmail(bad)).toThrow('no e-mail address')
})

test.each([
  ['GB', '07700 900123', '447700900123'],
  ['gb', '+44 7700 900123', '447700900123'],
  ['US', '(202) 555-0123', '12025550123'],
  ['US', '1 202 555 0123', '12025550123'],
  ['IT', '06 1234 5678', '390612345678'],
  ['DE', '0049 151 23456789', '4915123456789'],
  ['RU', '8 912 345 67 89', '79123456789'],
])('a number of %s, %s, is %s', (country, number, msisdn) => expect(parsePhoneNumber(country, number)).toBe(msisdn))

test('what is no number is refused', () => {
  for (const [country, number] of [
    ['XX', '12345678'],
    ['1', '12345678'],
    ['GB', 'x'],
    ['GB', '1'.repeat(20)],
  ] as const)
    expect(() => parsePhoneNumber(country, number)).toThrow('no phone number')
  expect(() => parseThreepid('msisdn', '+44')).toThrow()
  expect(() => parseThreepid('fax', '4412345678')).toThrow()
})
