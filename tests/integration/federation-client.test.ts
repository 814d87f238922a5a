import { randomBytes } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { IpRanges } from '../../src/http/ip-ranges.ts'
import { OutgoingClient } from '../../src/http/outgoing-client.ts'
import { parseServerName } from '../../src/protocol/ids.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { DestinationBackoff } from '../../src/services/federation/destination-backoff.ts'
import { FederationClient } from '../../src/services/federation/federation-client.ts'
import { NotRetryingDestination } from '../../src/services/federation/federation-errors.ts'
import { ServerDiscovery } from '../../src/services/federation/server-discovery.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { runMigrations } from '../../src/storage/migrations.ts'
import type { CacheInvalidation, Forget } from '../../src/streams/cache-invalidation.ts'
import { systemRandom } from '../../src/util/random.ts'
import { testAuthority } from '../kit/test-authority.ts'
import { PeerAnswer, TestPeer } from '../kit/test-peer.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const PATH = '/_matrix/federation/v1/query/directory?room_alias=%23a%3Ab'
const QUERY = /query\/directory/

describe('requests to other servers', () => {
  let options: DatabaseOptions
  let database: Database
  let outgoing: OutgoingClient
  let passedMs = 0
  const clock = { nowMs: () => Date.now() + passedMs, monotonicMs: () => performance.now() }
  const config = {
    clientTimeoutMs: 5000,
    maxShortRetryDelayMs: 20,
    maxLongRetryDelayMs: 20,
    maxShortRetries: 2,
    maxLongRetries: 3,
    destinationMinRetryIntervalMs: 60_000,
    destinationRetryMultiplier: 2,
    destinationMaxRetryIntervalMs: 3600_000,
  }

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `federation_${randomBytes(6).toString('hex')}`)
    await runMigrations(options, () => undefined)
    database = new Database({ ...options, max: 4 }, { onError: () => undefined })
    const { ca } = await testAuthority()
    const context = createSecureContext({ ca })
    const ranges = new IpRanges({ blacklist: [], whitelist: [] })
    outgoing = new OutgoingClient({ ranges, userAgent: 'test', secureContext: () => context })
  })

  afterAll(async () => {
    await outgoing[Symbol.asyncDispose]()
    await database.close()
    await dropTestDatabase(options, options.database)
  })

  /** Processes that share the database and hear of each other's invalidations. */
  const makeProcesses = (count: number): { client: FederationClient; backoff: DestinationBackoff; up: string[] }[] => {
    const forgets: Forget[] = []
    const caches = {
      onForget: (_name: string, forget: Forget) => forgets.push(forget),
      forget: (_name: string, keys: readonly string[] | null) => Promise.resolve(forgets.forEach((forget) => forget(keys))),
    } as unknown as CacheInvalidation
    const none = { lookup: () => Promise.resolve(undefined) }
    const discovery = new ServerDiscovery({ wellKnown: none, srv: { lookup: () => Promise.resolve([]) } })
    return Array.from({ length: count }, () => {
      const backoff = new DestinationBackoff({ database, caches, clock, random: systemRandom, config })
      const up: string[] = []
      backoff.onServerUp((destination) => up.push(destination))
      const serverName = parseServerName('our.org')
      const signingKey = generateSigningKey(systemRandom)
      const free = { isAllowed: (name: string) => name !== 'stranger.org', isCertificateIgnored: () => false }
      return {
        client: new FederationClient({ serverName, signingKey, outgoing, discovery, backoff, clock, config, ...free }),
        backoff,
        up,
      }
    })
  }

  it('are signed, and answered with parsed JSON', async () => {
    await using peer = await TestPeer.start()
    peer.handle('GET', QUERY, () => ({ room_id: '!a:b' }))
    const [{ client }] = makeProcesses(1) as [ReturnType<typeof makeProcesses>[number]]
    expect(await client.request({ destination: peer.serverName, method: 'GET', path: PATH })).toEqual({ room_id: '!a:b' })
    expect(peer.requestsTo(QUERY)[0]).toMatchObject({ url: PATH, headers: { host: peer.serverName } })
    expect(peer.requestsTo(QUERY)[0]?.headers.authorization).toContain(`destination="${peer.serverName}"`)
  })

  it('fail with what the peer said, and leave it alone only when it is at fault', async () => {
    await using peer = await TestPeer.start()
    const [{ client, backoff }] = makeProcesses(1) as [ReturnType<typeof makeProcesses>[number]]
    const ask = () => client.request({ destination: peer.serverName, method: 'GET', path: PATH })
    peer.handle('GET', QUERY, () => new PeerAnswer(404, { errcode: 'M_NOT_FOUND', error: 'No such alias' }))
    await expect(ask()).rejects.toMatchObject({ status: 404, errcode: 'M_NOT_FOUND', isRetryable: false })
    peer.handle('GET', QUERY, () => new PeerAnswer(200, '{"half":'))
    await expect(ask()).rejects.toMatchObject({ isRetryable: false })
    peer.handle('GET', QUERY, () => Buffer.alloc(11 * 1024 * 1024, 32))
    await expect(ask()).rejects.toMatchObject({ status: undefined, isRetryable: false })
    expect(await backoff.retryAtTsMs(peer.serverName)).toBe(0)
    const before = peer.requestsTo(QUERY).length
    peer.handle('GET', QUERY, () => new PeerAnswer(502, '<html>'))
    await expect(ask()).rejects.toMatchObject({ status: 502, errcode: undefined, isRetryable: true })
    expect(peer.requestsTo(QUERY).length - before).toBe(3)
    await expect(ask()).rejects.toBeInstanceOf(NotRetryingDestination)
  })

  it('wait longer after each failure, in all processes, until the peer is heard from', async () => {
    await using peer = await TestPeer.start()
    await peer.stop()
    const [one, two] = makeProcesses(2) as [ReturnType<typeof makeProcesses>[number], ReturnType<typeof makeProcesses>[number]]
    const destination = peer.serverName
    const ask = (client: FederationClient) => client.request({ destination, method: 'GET', path: PATH, retries: 'none' })
    // Failures at the same time count once.
    await Promise.allSettled([ask(one.client), ask(one.client), ask(two.client)])
    expect((await two.backoff.getRetry(destination)).retryIntervalMs).toBe(60_000)
    await expect(ask(two.client)).rejects.toBeInstanceOf(NotRetryingDestination)
    passedMs += 61_000
    await expect(ask(two.client)).rejects.toMatchObject({ status: undefined })
    const { retryIntervalMs } = await one.backoff.getRetry(destination)
    expect(retryIntervalMs).toBeGreaterThan(90_000)
    expect(retryIntervalMs).toBeLessThan(180_000)
    await two.backoff.recordSuccess(destination)
    expect(await one.backoff.retryAtTsMs(destination)).toBe(0)
    expect([one.up, two.up]).toEqual([[destination], [destination]])
  })

  it('go neither to ourselves nor to servers outside federation_domain_whitelist', async () => {
    const [{ client }] = makeProcesses(1) as [ReturnType<typeof makeProcesses>[number]]
    for (const name of ['our.org', 'stranger.org']) {
      const asking = client.request({ destination: parseServerName(name), method: 'GET', path: PATH })
      await expect(asking).rejects.toMatchObject({ errcode: 'M_FORBIDDEN', isRetryable: false })
    }
  })
})
