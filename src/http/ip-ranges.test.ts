import { describe, expect, test } from 'vitest'
import { serverOptions } from '../config/server.ts'
import { OperatorError } from '../util/operator-error.ts'
import { IpRanges } from './ip-ranges.ts'

const PRIVATE = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  '::1/128',
  'fe80::/10',
  'fc00::/7',
]

describe('IP ranges', () => {
  const ranges = new IpRanges({ blacklist: PRIVATE, whitelist: ['10.1.2.3', 'fc00::7'] })

  test.each(['127.0.0.1', '127.255.255.254', '10.0.0.1', '172.31.255.255', '192.168.1.1', '169.254.169.254'])(
    'refuse %s, which is private',
    (address) => expect(ranges.isAllowed(address)).toBe(false),
  )

  test.each(['::1', '0:0:0:0:0:0:0:1', 'fe80::1', 'fe80::1%eth0', 'FD00::1', 'fc00::1'])(
    'refuse %s, which is private',
    (address) => expect(ranges.isAllowed(address)).toBe(false),
  )

  test.each([
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '0:0:0:0:0:ffff:127.0.0.1',
    '::127.0.0.1',
    '::ffff:0:10.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::a00:1',
    '64:ff9b:1::10.0.0.1',
    '2002:7f00:1::',
    '2002:a00:1::1',
    '2001:0:808:808:0:0:f5ff:fffe',
  ])('refuse %s, behind which a private IPv4 address stands', (address) => expect(ranges.isAllowed(address)).toBe(false))

  test.each(['8.8.8.8', '172.32.0.1', '2a00:1450:4001:800::1', '::ffff:8.8.8.8', '64:ff9b::8.8.8.8', '2002:808:808::1'])(
    'allow %s, which is public',
    (address) => expect(ranges.isAllowed(address)).toBe(true),
  )

  test('make the exceptions of the whitelist', () => {
    expect(ranges.isAllowed('10.1.2.3')).toBe(true)
    expect(ranges.isAllowed('::ffff:10.1.2.3')).toBe(true)
    expect(ranges.isAllowed('10.1.2.4')).toBe(false)
    expect(ranges.isAllowed('fc00::7')).toBe(true)
  })

  test('refuse the unspecified addresses even when nothing is on the list', () => {
    const open = new IpRanges({ blacklist: [], whitelist: [] })
    expect(['0.0.0.0', '::', '::ffff:0.0.0.0'].map((address) => open.isAllowed(address))).toEqual([false, false, false])
    expect(open.isAllowed('127.0.0.1')).toBe(true)
  })

  test.each(['localhost', '', '2130706433', '0x7f.1', '127.1', '1.2.3.4.5'])('refuse %j, which is no address', (text) =>
    expect(ranges.isAllowed(text)).toBe(false),
  )

  test('know ranges from one address to another', () => {
    const list = new IpRanges({ blacklist: ['1.1.1.5 - 1.1.1.9'], whitelist: [] })
    expect(['1.1.1.4', '1.1.1.5', '1.1.1.9', '1.1.1.10'].map((address) => list.isAllowed(address))).toEqual([
      true,
      false,
      false,
      true,
    ])
  })

  test.each(['10.0.0.0/33', 'fe80::/129', '10.0.0/8', 'example.org', '10.0.0.1-::1', '10.0.0.0/x'])('%j is an error', (range) =>
    expect(() => new IpRanges({ blacklist: [range], whitelist: [] })).toThrow(OperatorError),
  )

  test('understand everything that is refused by default', () => {
    const reader = { get: () => undefined } as unknown as Parameters<typeof serverOptions.options.ipRangeBlacklist.read>[0]
    const defaults = new IpRanges({ blacklist: serverOptions.options.ipRangeBlacklist.read(reader), whitelist: [] })
    expect(defaults.isAllowed('192.168.0.1')).toBe(false)
    expect(defaults.isAllowed('1.1.1.1')).toBe(true)
  })
})
