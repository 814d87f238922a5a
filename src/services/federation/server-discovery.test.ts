import { describe, expect, test } from 'vitest'
import type { OutgoingAnswer, OutgoingRequest } from '../../http/outgoing-client.ts'
import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import { parseServerName } from '../../protocol/ids.ts'
import { systemRandom } from '../../util/random.ts'
import { ServerDiscovery } from './server-discovery.ts'
import { SrvLookup } from './srv-lookup.ts'
import type { SrvRecord } from './srv-lookup.ts'
import { WellKnownLookup } from './well-known-lookup.ts'

const HOUR_MS = 3600_000

/** A network of the test's own: .well-known files and SRV records, and what was asked of it. */
class FakeNetwork {
  readonly files = new Map<string, { status?: number; body: string; headers?: Record<string, string> } | 'down'>()
  readonly records = new Map<string, readonly Partial<SrvRecord>[] | 'down'>()
  readonly asked: string[] = []
  nowMs = 1_000_000
  readonly clock = { nowMs: () => this.nowMs, monotonicMs: () => this.nowMs }
  readonly discovery = new ServerDiscovery({
    wellKnown: new WellKnownLookup({ requests: this, clock: this.clock, isCertificateIgnored: () => false }),
    srv: new SrvLookup({ resolve: (name) => this.#srv(name), clock: this.clock, random: systemRandom }),
  })

  request(options: OutgoingRequest): Promise<OutgoingAnswer> {
    this.asked.push(options.url)
    const file = this.files.get(new URL(options.url).hostname) ?? { status: 404, body: 'Not found' }
    if (file === 'down') return Promise.reject(new OutgoingRequestError('unreachable', 'down', { wasSent: false }))
    return Promise.resolve({ status: file.status ?? 200, headers: file.headers ?? {}, bytes: Buffer.from(file.body) })
  }

  #srv(name: string): Promise<readonly SrvRecord[]> {
    this.asked.push(name)
    const records = this.records.get(name)
    if (records === 'down') return Promise.reject(Object.assign(new Error('down'), { code: 'ESERVFAIL' }))
    if (!records) return Promise.reject(Object.assign(new Error('none'), { code: 'ENOTFOUND' }))
    return Promise.resolve(records.map((record) => ({ name: 'srv.example', port: 1, priority: 0, weight: 0, ...record })))
  }

  delegate(hostname: string, to: string, headers: Record<string, string> = {}): void {
    this.files.set(hostname, { body: JSON.stringify({ 'm.server': to }), headers })
  }

  async resolve(name: string): Promise<string> {
    const addresses = await this.discovery.resolve(parseServerName(name))
    return addresses.map(({ host, port, hostHeader }) => `${host} ${port} ${hostHeader}`).join(' | ')
  }
}

const FED = '_matrix-fed._tcp.'
const OLD = '_matrix._tcp.'

describe('finding a server', () => {
  test.each([
    ['1.2.3.4', '1.2.3.4 8448 1.2.3.4'],
    ['1.2.3.4:80', '1.2.3.4 80 1.2.3.4:80'],
    ['[2a00::1]', '2a00::1 8448 [2a00::1]'],
    ['[2a00::1]:5', '2a00::1 5 [2a00::1]:5'],
    ['a.org:443', 'a.org 443 a.org:443'],
  ])('step 1 and 2: %s is where it says, and nothing is asked', async (name, expected) => {
    const network = new FakeNetwork()
    network.delegate('a.org', 'elsewhere.org')
    expect(await network.resolve(name)).toBe(expected)
    expect(network.asked).toEqual([])
  })

  test.each([
    ['5.6.7.8', '5.6.7.8 8448 5.6.7.8'],
    ['[2a00::2]:7', '2a00::2 7 [2a00::2]:7'],
    ['b.org:443', 'b.org 443 b.org:443'],
  ])('step 3.1 and 3.2: a delegation to %s is followed without DNS', async (delegated, expected) => {
    const network = new FakeNetwork()
    network.delegate('a.org', delegated)
    expect(await network.resolve('a.org')).toBe(expected)
    expect(network.asked).toEqual(['https://a.org/.well-known/matrix/server'])
  })

  test('step 3.3 to 3.5: a delegation to a name is looked up, new records before old ones before the name itself', async () => {
    const network = new FakeNetwork()
    network.delegate('a.org', 'b.org')
    expect(await network.resolve('a.org')).toBe('b.org 8448 b.org')
    expect(network.asked.slice(1)).toEqual([`${FED}b.org`, `${OLD}b.org`])
    network.nowMs += HOUR_MS
    network.records.set(`${OLD}b.org`, [{ name: 'old.b.org', port: 2 }])
    expect(await network.resolve('a.org')).toBe('old.b.org 2 b.org')
    network.nowMs += HOUR_MS
    network.records.set(`${FED}b.org`, [{ name: 'new.b.org', port: 3 }])
    expect(await network.resolve('a.org')).toBe('new.b.org 3 b.org')
  })

  test('step 4 to 6: without a delegation the name itself is looked up', async () => {
    const network = new FakeNetwork()
    expect(await network.resolve('a.org')).toBe('a.org 8448 a.org')
    expect(network.asked.slice(1)).toEqual([`${FED}a.org`, `${OLD}a.org`])
    network.nowMs += HOUR_MS
    network.records.set(`${OLD}a.org`, [{ name: 'old.a.org', port: 2 }])
    expect(await network.resolve('a.org')).toBe('old.a.org 2 a.org')
    network.nowMs += HOUR_MS
    network.records.set(`${FED}a.org`, [{ name: 'new.a.org', port: 3 }])
    expect(await network.resolve('a.org')).toBe('new.a.org 3 a.org')
  })

  test.each([
    '{}',
    '[]',
    'null',
    '{"m.server":5}',
    '{"m.server":""}',
    '{"m.server":"b.org/path"}',
    '<html>',
    '{"m.server":"b.org"',
  ])('ignores the file %s', async (body) => {
    const network = new FakeNetwork()
    network.files.set('a.org', { body })
    expect(await network.resolve('a.org')).toBe('a.org 8448 a.org')
  })

  test('tries SRV targets by priority, heavier ones likelier first, and none that says there is nothing', async () => {
    const network = new FakeNetwork()
    network.records.set(`${FED}a.org`, [
      { name: 'spare', port: 3, priority: 20 },
      { name: 'first', port: 1, priority: 5 },
      { name: 'second', port: 2, priority: 10 },
    ])
    expect(await network.resolve('a.org')).toBe('first 1 a.org | second 2 a.org | spare 3 a.org')
    network.records.set(`${FED}none.org`, [{ name: '.', port: 0 }])
    expect(await network.resolve('none.org')).toBe('none.org 8448 none.org')
    network.records.set(`${FED}many.org`, [
      { name: 'light', port: 1, weight: 1 },
      { name: 'heavy', port: 2, weight: 99 },
    ])
    let heavyFirst = 0
    for (let i = 0; i < 200; i++) if ((await network.resolve('many.org')).startsWith('heavy')) heavyFirst++
    expect(heavyFirst).toBeGreaterThan(170)
  })
})

describe('what was found is kept', () => {
  const filesAsked = (network: FakeNetwork): number => network.asked.filter((what) => what.startsWith('https:')).length
  const stepsUntilAskedAgain = async (network: FakeNetwork): Promise<number> => {
    await network.resolve('a.org')
    const before = filesAsked(network)
    for (let minutes = 1; ; minutes++) {
      network.nowMs += 60_000
      await network.resolve('a.org')
      if (filesAsked(network) > before) return minutes
    }
  }

  test.each([
    ['a day by default', {}, 24 * 60],
    ['as long as max-age says', { 'cache-control': 'public, max-age=7200' }, 120],
    ['until Expires', { expires: new Date(1_000_000 + 2 * HOUR_MS).toUTCString() }, 120],
    ['two days at the most', { 'cache-control': 'max-age=99999999' }, 48 * 60],
    ['five minutes at the least', { 'cache-control': 'no-store' }, 5],
  ])('%s', async (_what, headers, minutes) => {
    const network = new FakeNetwork()
    network.delegate('a.org', '1.1.1.1', headers as Record<string, string>)
    expect(await stepsUntilAskedAgain(network)).toBe(minutes)
  })

  test('for ever longer after failures, up to an hour', async () => {
    const network = new FakeNetwork()
    network.files.set('a.org', 'down')
    const pauses: number[] = []
    for (let i = 0; i < 7; i++) pauses.push(await stepsUntilAskedAgain(network))
    expect(pauses).toEqual([2, 4, 8, 16, 32, 60, 60])
  })

  test('while the file cannot be read for the moment, but not when its server says that it is gone', async () => {
    const network = new FakeNetwork()
    network.delegate('a.org', '1.1.1.1', { 'cache-control': 'max-age=3600' })
    await network.resolve('a.org')
    network.files.set('a.org', 'down')
    network.nowMs += 2 * HOUR_MS
    expect(await network.resolve('a.org')).toBe('1.1.1.1 8448 1.1.1.1')
    network.files.set('a.org', { status: 503, body: '' })
    network.nowMs += 2 * HOUR_MS
    expect(await network.resolve('a.org')).toBe('1.1.1.1 8448 1.1.1.1')
    network.files.set('a.org', { status: 404, body: '' })
    network.nowMs += 2 * HOUR_MS
    expect(await network.resolve('a.org')).toBe('a.org 8448 a.org')
  })

  test('also for SRV records, which hold while DNS does not answer; askers at the same time share one question', async () => {
    const network = new FakeNetwork()
    network.records.set(`${FED}a.org`, [{ name: 'b.org', port: 3 }])
    await Promise.all([network.resolve('a.org'), network.resolve('a.org'), network.resolve('A.org')])
    expect(network.asked).toHaveLength(2)
    network.records.set(`${FED}a.org`, 'down')
    network.nowMs += 10 * 60_000
    expect(await network.resolve('a.org')).toBe('b.org 3 a.org')
  })
})
