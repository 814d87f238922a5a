import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import { importVerifyKey, verifySignedJson } from '../../src/protocol/signatures.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { systemRandom } from '../../src/util/random.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

interface KeyQueryBody {
  readonly server_keys: readonly JsonObject[]
}

describe('the keys of servers', () => {
  let server: TestServer
  let peer: TestPeer

  beforeAll(async () => {
    peer = await TestPeer.start()
    server = await TestServer.start({
      federation: true,
      config: { old_signing_keys: { 'ed25519:old': { key: peer.signingKey.publicKeyBase64, expired_ts: 1_500_000_000_000 } } },
    })
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await peer[Symbol.asyncDispose]()
  })

  const ourKey = (published: JsonObject): ReturnType<typeof importVerifyKey> => {
    const keys = published['verify_keys'] as Record<string, { key: string }>
    const [id = '', { key }] = Object.entries(keys)[0] as [string, { key: string }]
    return importVerifyKey(id, key)
  }

  it('are published signed, old ones with the time of their end', async () => {
    const body = await server.anonymous().request<JsonObject>('GET', '/_matrix/key/v2/server')
    const key = ourKey(body)
    expect(key && verifySignedJson(body, server.serverName, key)).toBe(true)
    expect(body['server_name']).toBe(server.serverName)
    expect(body['valid_until_ts']).toBeGreaterThan(Date.now() + 3600_000)
    expect(body['old_verify_keys']).toEqual({
      'ed25519:old': { key: peer.signingKey.publicKeyBase64, expired_ts: 1_500_000_000_000 },
    })
    const again = await server.anonymous().request<JsonObject>('GET', '/_matrix/key/v2/server/ed25519:any')
    // Another process may have made it, at another time.
    const { valid_until_ts: _time, signatures: _signatures, ...rest } = body
    expect(again).toMatchObject(rest)
  })

  it('of another server are told with its signature and ours', async () => {
    const own = await server.anonymous().request<JsonObject>('GET', '/_matrix/key/v2/server')
    const body = await server
      .anonymous()
      .request<KeyQueryBody>('GET', `/_matrix/key/v2/query/${encodeURIComponent(peer.serverName)}`)
    const [told] = body.server_keys
    const [theirs, ours] = [importVerifyKey(peer.signingKey.id, peer.signingKey.publicKeyBase64), ourKey(own)]
    expect(told && theirs && verifySignedJson(told, peer.serverName, theirs)).toBe(true)
    expect(told && ours && verifySignedJson(told, server.serverName, ours)).toBe(true)
  })

  it('are told in bulk, also when the other server is gone, and unknown servers are left out', async () => {
    await using gone = await TestPeer.start()
    const ask = (names: readonly string[]): Promise<KeyQueryBody> =>
      server.anonymous().request<KeyQueryBody>('POST', '/_matrix/key/v2/query', {
        body: { server_keys: Object.fromEntries(names.map((name) => [name, {}])) },
      })
    expect((await ask([gone.serverName])).server_keys).toHaveLength(1)
    await gone.stop()
    const unknown = 'localhost:1'
    const body = await ask([peer.serverName, gone.serverName, unknown, server.serverName])
    expect(body.server_keys.map((keys) => keys['server_name']).toSorted()).toEqual(
      [peer.serverName, gone.serverName, server.serverName].toSorted(),
    )
    const none = await ask([])
    expect(none.server_keys).toEqual([])
  })

  it('refuse questions that make no sense', async () => {
    const ask = (body: unknown): Promise<unknown> =>
      server.anonymous().request('POST', '/_matrix/key/v2/query', { body, expect: 400 })
    await ask({})
    await ask({ server_keys: [] })
    await ask({ server_keys: { 'no server!': {} } })
    await ask({ server_keys: { 'example.org': { 'ed25519:a': { minimum_valid_until_ts: 'soon' } } } })
    await server.anonymous().request('GET', '/_matrix/key/v2/query/%00', { expect: 400 })
  })

  it('of a server that signs with another key than it publishes are not believed', async () => {
    await using liar = await TestPeer.start()
    liar.handle('GET', /^\/_matrix\/key\/v2\/server$/, () => ({
      ...liar.keys(),
      verify_keys: { [liar.signingKey.id]: { key: generateSigningKey(systemRandom).publicKeyBase64 } },
    }))
    const body = await server.anonymous().request<KeyQueryBody>('GET', `/_matrix/key/v2/query/${liar.serverName}`)
    expect(body.server_keys).toEqual([])
  })
})

describe('the version of the server', () => {
  it('is told to everyone', async () => {
    await using server = await TestServer.start()
    const body = await server.anonymous().request('GET', '/_matrix/federation/v1/version')
    expect(body).toMatchObject({ server: { name: 'Ganglion' } })
  })
})
