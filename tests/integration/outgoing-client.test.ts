import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createSecureContext } from 'node:tls'
import { IpRanges } from '../../src/http/ip-ranges.ts'
import { OutgoingClient } from '../../src/http/outgoing-client.ts'
import type { OutgoingRequest } from '../../src/http/outgoing-client.ts'
import { makeAuthority, testAuthority } from '../kit/test-authority.ts'
import { PeerAnswer, TestPeer } from '../kit/test-peer.ts'

const LIMITS = { timeoutMs: 5000, bytesMax: 100_000 }
const OPEN = new IpRanges({ blacklist: [], whitelist: [] })
const PRIVATE = new IpRanges({ blacklist: ['127.0.0.0/8', '::1/128'], whitelist: [] })

describe('the outgoing client', () => {
  let peer: TestPeer
  let client: OutgoingClient

  beforeAll(async () => {
    peer = await TestPeer.start()
    client = await makeClient(OPEN)
  })

  afterAll(async () => {
    await client[Symbol.asyncDispose]()
    await peer[Symbol.asyncDispose]()
  })

  const makeClient = async (ranges: IpRanges, resolve?: (host: string) => Promise<string[]>): Promise<OutgoingClient> => {
    const { ca } = await testAuthority()
    const secureContext = createSecureContext({ ca })
    return new OutgoingClient({ ranges, userAgent: 'test', secureContext: () => secureContext, ...(resolve ? { resolve } : {}) })
  }
  const get = (path: string, options: Partial<OutgoingRequest> = {}): Promise<string> =>
    client.request({ url: `${peer.url}${path}`, ...LIMITS, ...options }).then(({ bytes }) => bytes.toString())

  it('returns the answer, whatever its status', async () => {
    peer.handle('GET', /^\/plain$/, () => new PeerAnswer(418, 'tea', { 'content-type': 'text/plain' }))
    const answer = await client.request({ url: `${peer.url}/plain?a=%2F`, ...LIMITS })
    expect([answer.status, answer.bytes.toString()]).toEqual([418, 'tea'])
    expect(peer.requestsTo(/plain/)[0]?.url).toBe('/plain?a=%2F')
  })

  it('connects to no address that is refused, by name, literal or mapped address', async () => {
    await using careful = await makeClient(PRIVATE)
    for (const host of ['localhost', '127.0.0.1', '2130706433', '0x7f.1', '[::1]', '[::ffff:127.0.0.1]', '[64:ff9b::7f00:1]']) {
      const asking = careful.request({ url: `https://${host}:${peer.port}/`, ...LIMITS })
      await expect(asking, host).rejects.toMatchObject({ failure: 'blocked', wasSent: false })
    }
  })

  it('asks once for the addresses, so that a name cannot change its mind between check and connection', async () => {
    const answers = [['93.184.216.34', '127.0.0.1'], ['127.0.0.1']]
    let asked = 0
    await using careful = await makeClient(PRIVATE, () => Promise.resolve(answers[asked++] ?? []))
    // The public address is what it connects to (nobody is there); the private one beside it is left out.
    const asking = careful.request({ url: `https://localhost:${peer.port}/`, timeoutMs: 300, bytesMax: 1000 })
    await expect(asking).rejects.toMatchObject({ failure: expect.stringMatching(/timeout|unreachable/) as string })
    expect(asked).toBe(1)
  })

  it('follows redirects without credentials, and not in circles', async () => {
    peer.handle('GET', /^\/start$/, () => new PeerAnswer(302, {}, { location: '/middle' }))
    peer.handle('GET', /^\/middle$/, () => new PeerAnswer(307, {}, { location: `${peer.url}/end` }))
    peer.handle('GET', /^\/end$/, () => ({ reached: true }))
    peer.handle('GET', /^\/circle$/, () => new PeerAnswer(302, {}, { location: '/circle' }))
    expect(await get('/start', { redirectsMax: 3, headers: { authorization: 'secret' } })).toBe('{"reached":true}')
    expect(peer.requestsTo(/end/)[0]?.headers.authorization).toBeUndefined()
    await expect(get('/start', { redirectsMax: 1 })).rejects.toMatchObject({ failure: 'redirect' })
    await expect(get('/circle', { redirectsMax: 5 })).rejects.toMatchObject({ failure: 'redirect' })
  })

  it('checks where a redirect leads to', async () => {
    peer.handle('GET', /^\/inwards$/, () => new PeerAnswer(302, {}, { location: `https://inside.example:${peer.port}/secret` }))
    peer.handle('GET', /^\/plain-http$/, () => new PeerAnswer(302, {}, { location: `http://localhost:${peer.port}/secret` }))
    peer.handle('GET', /^\/file$/, () => new PeerAnswer(302, {}, { location: 'file:///etc/passwd' }))
    const ranges = new IpRanges({ blacklist: ['10.0.0.0/8'], whitelist: [] })
    await using careful = await makeClient(ranges, (host) =>
      Promise.resolve([host === 'inside.example' ? '10.0.0.1' : '127.0.0.1']),
    )
    const follow = (path: string) => careful.request({ url: `${peer.url}${path}`, ...LIMITS, redirectsMax: 3 })
    await expect(follow('/inwards')).rejects.toMatchObject({ failure: 'blocked' })
    await expect(follow('/plain-http')).rejects.toMatchObject({ failure: 'redirect' })
    await expect(follow('/file')).rejects.toMatchObject({ failure: 'redirect' })
    expect(peer.requestsTo(/secret/)).toEqual([])
  })

  it('reads no more than allowed, announced or not', async () => {
    peer.handle('GET', /^\/huge$/, ({ response }) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write(Buffer.alloc(50_000)), 5)
      response.once('close', () => clearInterval(timer))
    })
    peer.handle('GET', /^\/announced$/, () => Buffer.alloc(200_000))
    await expect(get('/huge')).rejects.toMatchObject({ failure: 'too_large' })
    await expect(get('/announced')).rejects.toMatchObject({ failure: 'too_large' })
  })

  it('waits no longer than allowed, for headers and for each drop of the body', async () => {
    peer.handle('GET', /^\/silent$/, () => undefined)
    peer.handle('GET', /^\/drops$/, ({ response }) => {
      response.writeHead(200)
      const timer = setInterval(() => response.write('.'), 50)
      response.once('close', () => clearInterval(timer))
    })
    await expect(get('/silent', { timeoutMs: 300 })).rejects.toMatchObject({ failure: 'timeout' })
    await expect(get('/drops', { timeoutMs: 300 })).rejects.toMatchObject({ failure: 'timeout' })
  })

  it('gives up when the caller does', async () => {
    const abort = new AbortController()
    const asking = get('/silent', { signal: abort.signal })
    setTimeout(() => abort.abort(), 50)
    await expect(asking).rejects.toMatchObject({ failure: 'aborted' })
    await expect(get('/silent', { signal: AbortSignal.abort() })).rejects.toMatchObject({ failure: 'aborted' })
  })

  it('believes no certificate of another authority or another name, unless it may ignore that', async () => {
    const stranger = await makeAuthority()
    await using untrusted = await TestPeer.start({ certificate: stranger.localhost })
    const other = await (await testAuthority()).issue('DNS:other.example')
    await using misnamed = await TestPeer.start({ certificate: other })
    for (const { url } of [untrusted, misnamed]) {
      await expect(client.request({ url, ...LIMITS })).rejects.toMatchObject({ failure: 'unreachable', wasSent: false })
      expect((await client.request({ url, ...LIMITS, isCertificateIgnored: true })).status).toBe(404)
    }
    // Delegation: another place, but the name of the certificate is that of the URL.
    const delegated = { url: 'https://other.example/', connectTo: { host: 'localhost', port: misnamed.port }, ...LIMITS }
    expect((await client.request(delegated)).status).toBe(404)
    expect(misnamed.requests.at(-1)?.headers.host).toBe('other.example')
  })

  it('breaks off with what speaks no HTTP, and with what closes in the middle', async () => {
    const plain = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => plain.once('listening', resolve))
    const { port } = plain.address() as AddressInfo
    await expect(client.request({ url: `https://localhost:${port}/`, ...LIMITS })).rejects.toMatchObject({
      failure: 'unreachable',
    })
    plain.close()
    peer.handle('GET', /^\/half$/, ({ response }) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('half of it')
      setTimeout(() => response.destroy(), 20)
    })
    await expect(get('/half')).rejects.toMatchObject({ failure: 'unreachable', wasSent: true })
    await expect(client.request({ url: 'https://localhost:1/', ...LIMITS })).rejects.toMatchObject({ failure: 'unreachable' })
  })
})
