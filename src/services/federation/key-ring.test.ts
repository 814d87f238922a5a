import { describe, expect, test } from 'vitest'
import type { HttpRequest } from '../../http/endpoint.ts'
import { canonicalJson } from '../../protocol/canonical-json.ts'
import { parseServerName } from '../../protocol/ids.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { signJson } from '../../protocol/signatures.ts'
import { generateSigningKey } from '../../protocol/signing-key.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import type { Database } from '../../storage/database.ts'
import { Background } from '../../util/background.ts'
import { systemRandom } from '../../util/random.ts'
import type { DestinationBackoff } from './destination-backoff.ts'
import { FederationAuthenticator } from './federation-authenticator.ts'
import type { FederationRequest } from './federation-client.ts'
import { FederationRequestError } from './federation-errors.ts'
import { KeyFetcher } from './key-fetcher.ts'
import { KeyRing } from './key-ring.ts'
import { buildXMatrix } from './request-signing.ts'

const DAY_MS = 24 * 3600_000
const NOW_MS = 1_700_000_000_000
const OURS = parseServerName('our.org')
const PEER = parseServerName('peer.org')
const NOTARY = parseServerName('notary.org')

/** Other servers that tell their keys, with a clock of their own; the database is always empty. */
class KeyWorld {
  readonly clock = { nowMs: () => NOW_MS + this.passedMs, monotonicMs: () => this.passedMs }
  readonly peerKey = generateSigningKey(systemRandom)
  readonly notaryKey = generateSigningKey(systemRandom)
  readonly asked: string[] = []
  readonly heardFrom: ServerName[] = []
  passedMs = 0
  /** What the peer answers; undefined when it is down. */
  answer: (() => JsonValue) | undefined = () => this.keys()
  /** What the notary answers, unsigned by it. */
  notaryAnswer: (() => JsonObject) | undefined = undefined
  readonly keyRing: KeyRing
  readonly authenticator: FederationAuthenticator

  constructor(options: { hasNotary?: boolean; notaryKey?: SigningKey } = {}) {
    const notaryKey = options.notaryKey ?? this.notaryKey
    const notary = { serverName: NOTARY, verifyKeys: { [notaryKey.id]: notaryKey.publicKeyBase64 }, acceptKeysInsecurely: false }
    const database = { query: () => Promise.resolve([]) } as unknown as Database
    const fetcher = new KeyFetcher({
      requests: { request: <T>(request: FederationRequest) => this.#request(request) as Promise<T> },
      clock: this.clock,
      serverName: OURS,
      trustedKeyServers: options.hasNotary === true ? [notary] : [],
      verifiesCertificates: true,
    })
    const logger = { warn: () => undefined } as never
    this.keyRing = new KeyRing({ database, fetcher, logger, serverName: OURS, ownKeys: [] })
    const backoff = { recordSuccess: (origin: ServerName) => Promise.resolve(void this.heardFrom.push(origin)) }
    this.authenticator = new FederationAuthenticator({
      serverName: OURS,
      keyRing: this.keyRing,
      backoff: backoff as unknown as DestinationBackoff,
      clock: this.clock,
      background: new Background({ onError: () => undefined }),
      isAllowed: (serverName) => serverName !== 'stranger.org',
    })
  }

  keys(changes: JsonObject = {}): JsonObject {
    const json = {
      server_name: PEER,
      verify_keys: { [this.peerKey.id]: { key: this.peerKey.publicKeyBase64 } },
      valid_until_ts: this.clock.nowMs() + DAY_MS,
      ...changes,
    }
    return signJson(json, PEER, this.peerKey)
  }

  verify(json: JsonObject, validAtTsMs = this.clock.nowMs()): Promise<void> {
    return this.keyRing.verifyJson(PEER, json, { validAtTsMs })
  }

  authenticate(authorizations: readonly string[], body?: JsonValue, changes: Partial<HttpRequest> = {}): Promise<unknown> {
    const request = { method: 'PUT', url: '/_matrix/federation/v1/send/1?x=%2F', authorizations, ...changes }
    return this.authenticator.authenticate(request as HttpRequest, body)
  }

  header(changes: { origin?: string; destination?: string; content?: JsonValue } = {}, key = this.peerKey): string {
    const request = {
      method: 'PUT',
      uri: '/_matrix/federation/v1/send/1?x=%2F',
      origin: PEER,
      destination: OURS,
      content: { a: 1 },
    }
    return buildXMatrix({ ...request, ...changes }, key)
  }

  #request(request: FederationRequest): Promise<unknown> {
    this.asked.push(request.destination)
    const down = new FederationRequestError(request.destination, 'down', { isRetryable: true })
    if (request.destination === NOTARY) {
      const answer = this.notaryAnswer?.()
      if (!answer) return Promise.reject(down)
      return Promise.resolve({ server_keys: [signJson(answer, NOTARY, this.notaryKey)] })
    }
    return this.answer ? Promise.resolve(this.answer()) : Promise.reject(down)
  }
}

const unauthorized = { errcode: 'M_UNAUTHORIZED', status: 401 }

describe('the key ring', () => {
  test('fetches a key once, for all that ask at the same time and later', async () => {
    const world = new KeyWorld()
    const signed = signJson({ hello: 'world' }, PEER, world.peerKey)
    await Promise.all([world.verify(signed), world.verify(signed), world.verify(signed)])
    await world.verify(signed)
    expect(world.asked).toEqual([PEER])
    await expect(world.verify({ ...signed, hello: 'moon' })).rejects.toMatchObject(unauthorized)
    await expect(world.verify({ hello: 'world' })).rejects.toMatchObject(unauthorized)
  })

  test('asks anew when the key is not valid for long enough, and never believes it for more than seven days', async () => {
    const world = new KeyWorld()
    world.answer = () => world.keys({ valid_until_ts: NOW_MS + 1000 * DAY_MS })
    const signed = signJson({}, PEER, world.peerKey)
    await world.verify(signed, NOW_MS + 6 * DAY_MS)
    await expect(world.verify(signed, NOW_MS + 8 * DAY_MS)).rejects.toMatchObject(unauthorized)
    world.passedMs = 6 * DAY_MS
    await world.verify(signed, NOW_MS + 8 * DAY_MS)
    expect(world.asked).toHaveLength(2)
  })

  test('takes an old key for what was signed before its end only', async () => {
    const world = new KeyWorld()
    const retired = generateSigningKey(systemRandom)
    const old = { [retired.id]: { key: retired.publicKeyBase64, expired_ts: NOW_MS - DAY_MS } }
    world.answer = () => world.keys({ old_verify_keys: old })
    const signed = signJson({}, PEER, retired)
    await world.verify(signed, NOW_MS - 2 * DAY_MS)
    await expect(world.verify(signed, NOW_MS)).rejects.toMatchObject(unauthorized)
  })

  test.each([
    ['of another server', (world: KeyWorld) => world.keys({ server_name: 'other.org' })],
    ['unsigned', (world: KeyWorld) => ({ ...world.keys(), signatures: {} })],
    ['changed after signing', (world: KeyWorld) => ({ ...world.keys(), valid_until_ts: NOW_MS + 2 * DAY_MS })],
    ['without keys', (world: KeyWorld) => world.keys({ verify_keys: {} })],
    ['with a key that is none', (world: KeyWorld) => world.keys({ verify_keys: { [world.peerKey.id]: { key: 'AAAA' } } })],
    ['without a time', (world: KeyWorld) => world.keys({ valid_until_ts: 'tomorrow' })],
    ['null', () => null],
    ['a list', () => [1, 2, 3]],
  ])('does not believe an answer that is %s', async (_what, answer) => {
    const world = new KeyWorld()
    world.answer = () => answer(world)
    await expect(world.verify(signJson({}, PEER, world.peerKey))).rejects.toMatchObject(unauthorized)
  })

  test('does not flood a server with questions, whatever keys are said to be its own', async () => {
    const world = new KeyWorld()
    for (let i = 0; i < 20; i++) {
      const signed = signJson({}, PEER, generateSigningKey(systemRandom))
      await expect(world.verify(signed)).rejects.toMatchObject(unauthorized)
    }
    expect(world.asked).toEqual([PEER])
    world.answer = undefined
    for (let minutes = 0; minutes < 60; minutes++) {
      world.passedMs += 60_000
      await expect(world.verify(signJson({}, PEER, generateSigningKey(systemRandom)))).rejects.toMatchObject(unauthorized)
    }
    expect(world.asked.length).toBeLessThan(12)
  })

  test('asks notaries first, and the server itself when they do not know', async () => {
    const world = new KeyWorld({ hasNotary: true })
    const signed = signJson({}, PEER, world.peerKey)
    world.notaryAnswer = () => world.keys()
    await world.verify(signed)
    expect(world.asked).toEqual([NOTARY])
    const silent = new KeyWorld({ hasNotary: true })
    await silent.verify(signJson({}, PEER, silent.peerKey))
    expect(silent.asked).toEqual([NOTARY, PEER])
  })

  test('believes a notary only with its own signature and that of the server', async () => {
    const world = new KeyWorld({ hasNotary: true, notaryKey: generateSigningKey(systemRandom) })
    world.answer = undefined
    world.notaryAnswer = () => world.keys()
    await expect(world.verify(signJson({}, PEER, world.peerKey))).rejects.toMatchObject(unauthorized)
    const liar = new KeyWorld({ hasNotary: true })
    liar.answer = undefined
    liar.notaryAnswer = () => ({ ...liar.keys(), signatures: {} })
    await expect(liar.verify(signJson({}, PEER, liar.peerKey))).rejects.toMatchObject(unauthorized)
  })
})

describe('who sent a request', () => {
  test('is proved by its signature, and told to those who wait for that server', async () => {
    const world = new KeyWorld({ hasNotary: true })
    expect(await world.authenticate([world.header()], { a: 1 })).toEqual({ origin: PEER })
    // It is talking to us, so it is asked before any notary.
    expect(world.asked).toEqual([PEER])
    expect(world.heardFrom).toEqual([PEER])
  })

  test('is proved without a body and without a destination in the header, as old servers send it', async () => {
    const world = new KeyWorld()
    const { content: _none, ...request } = { method: 'GET', uri: '/x', origin: PEER, destination: OURS, content: undefined }
    const header = buildXMatrix({ ...request, content: undefined }, world.peerKey).replace(`destination="${OURS}",`, '')
    expect(await world.authenticate([header], undefined, { method: 'GET', url: '/x' })).toEqual({ origin: PEER })
    expect(canonicalJson(request as JsonObject)).not.toContain('content')
  })

  test('may be proved by one of several headers', async () => {
    const world = new KeyWorld()
    const headers = [world.header({}, generateSigningKey(systemRandom)), world.header()]
    expect(await world.authenticate(headers, { a: 1 })).toEqual({ origin: PEER })
  })

  test.each([
    ['no header', () => []],
    ['a token', () => ['Bearer abc']],
    ['another destination', (world: KeyWorld) => [world.header({ destination: 'else.org' })]],
    ['another body', (world: KeyWorld) => [world.header({ content: { a: 2 } })]],
    ['an unknown key', (world: KeyWorld) => [world.header({}, generateSigningKey(systemRandom))]],
    ['our own name', (world: KeyWorld) => [world.header({ origin: OURS })]],
    ['no server name', (world: KeyWorld) => [world.header({ origin: 'what?' })]],
    ['two origins', (world: KeyWorld) => [world.header(), world.header({ origin: 'else.org' })]],
    ['too many headers', (world: KeyWorld) => Array.from({ length: 6 }, () => world.header())],
    ['a broken second header', (world: KeyWorld) => [world.header(), 'X-Matrix']],
  ])('is not proved with %s', async (_what, headers) => {
    const world = new KeyWorld()
    await expect(world.authenticate(headers(world), { a: 1 })).rejects.toMatchObject(unauthorized)
    expect(world.heardFrom).toEqual([])
  })

  test('is not asked of servers outside federation_domain_whitelist', async () => {
    const world = new KeyWorld()
    const asking = world.authenticate([world.header({ origin: 'stranger.org' })], { a: 1 })
    await expect(asking).rejects.toMatchObject({ errcode: 'M_FORBIDDEN', status: 403 })
    expect(world.asked).toEqual([])
  })
})
