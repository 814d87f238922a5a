import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { PeerAnswer, TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

const V3 = '/_matrix/client/v3'
const MSISDN = '447700900001'
const SECRET = 'monkeys_are_GREAT'
let peer: TestPeer
let server: TestServer
let alice: TestClient
const known = new Map<string, string>()

beforeAll(async () => {
  peer = await TestPeer.start()
  serveIdentity(peer)
  server = await TestServer.start({
    federation: true,
    config: {
      account_threepid_delegates: { msisdn: peer.url },
      rc_3pid_validation: { per_second: 9999, burst_count: 9999 },
      rc_third_party_invite: { per_second: 9999, burst_count: 9999 },
      email: { invite_client_location: 'https://app.example' },
    },
  })
  alice = await server.register('alice')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await peer[Symbol.asyncDispose]()
})

/** An identity server with a pepper; and one that sends messages to phones, each with the token 123456. */
function serveIdentity(identity: TestPeer): void {
  const validated = new Set<string>()
  identity.handle('POST', /^\/_matrix\/identity\/api\/v1\/validate\/msisdn\/requestToken$/, ({ body }) => ({
    sid: `sid-${String(body?.['client_secret'])}`,
    success: true,
    msisdn: MSISDN,
  }))
  identity.handle('POST', /^\/_matrix\/identity\/api\/v1\/validate\/msisdn\/submitToken$/, ({ body }) => {
    const isRight = body?.['token'] === '123456'
    if (isRight) validated.add(String(body['sid']))
    return { success: isRight }
  })
  identity.handle('GET', /^\/_matrix\/identity\/api\/v1\/3pid\/getValidated3pid$/, ({ query }) =>
    validated.has(query.get('sid') ?? '')
      ? { medium: 'msisdn', address: MSISDN, validated_at: 1_700_000_000_000 }
      : new PeerAnswer(400, { errcode: 'M_SESSION_NOT_VALIDATED', error: 'Not yet' }),
  )
  identity.handle('POST', /^\/_matrix\/identity\/v2\/3pid\/bind$/, ({ body, headers }) => {
    if (headers.authorization !== 'Bearer is-token')
      return new PeerAnswer(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Who are you?' })
    if (body?.['sid'] === 'bad') return new PeerAnswer(403, { errcode: 'M_TERMS_NOT_SIGNED', error: 'Agree first' })
    return { medium: 'email', address: 'alice@example.org', mxid: body?.['mxid'] }
  })
  identity.handle('POST', /^\/_matrix\/identity\/v2\/3pid\/unbind$/, () => ({}))
  identity.handle('GET', /^\/_matrix\/identity\/v2\/hash_details$/, () => ({
    algorithms: ['none', 'sha256'],
    lookup_pepper: 'salt',
  }))
  identity.handle('POST', /^\/_matrix\/identity\/v2\/lookup$/, ({ body }) => {
    const [hash] = (body?.['addresses'] ?? []) as string[]
    const owner = [...known].find(
      ([address]) => createHash('sha256').update(`${address} email salt`).digest('base64url') === hash,
    )
    return { mappings: owner && hash !== undefined ? { [hash]: owner[1] } : {} }
  })
  identity.handle('POST', /^\/_matrix\/identity\/v2\/store-invite$/, () => ({
    token: 'invite-token',
    display_name: 'b...@e...',
    public_keys: [{ public_key: 'Fm4q7Z4GKWqUpvnLQBbnUGPDsqBCPxN5rPEYbmiNGYk', key_validity_url: `${identity.url}/valid` }],
  }))
}

test('a phone number is proven by way of another server, and logs its owner in (AU-18)', async () => {
  const request = { client_secret: SECRET, send_attempt: 1, country: 'GB', phone_number: '07700 900001' }
  const asked = await alice.post<{ sid: string; submit_url: string }>(`${V3}/account/3pid/msisdn/requestToken`, request)
  const submitPath = new URL(asked.submit_url).pathname
  expect(peer.requestsTo(/msisdn\/requestToken$/).at(-1)?.body).toMatchObject(request)

  const add = { sid: asked.sid, client_secret: SECRET }
  const first = await alice.request<{ session: string }>('POST', `${V3}/account/3pid/add`, { body: add, expect: 401 })
  const auth = { type: 'm.login.password', session: first.session, user: alice.userId, password: alice.password }
  await alice.fails(400, 'M_THREEPID_AUTH_FAILED', 'POST', `${V3}/account/3pid/add`, { body: { ...add, auth } })
  expect(await alice.post(submitPath, { ...add, token: 'wrong' })).toEqual({ success: false })
  expect(await alice.post(submitPath, { ...add, token: '123456' })).toEqual({ success: true })
  const second = await alice.request<{ session: string }>('POST', `${V3}/account/3pid/add`, { body: add, expect: 401 })
  await alice.post(`${V3}/account/3pid/add`, { ...add, auth: { ...auth, session: second.session } })
  const { threepids } = await alice.get<{ threepids: unknown[] }>(`${V3}/account/3pid`)
  expect(threepids).toMatchObject([{ medium: 'msisdn', address: MSISDN }])

  const identifier = { type: 'm.id.phone', country: 'GB', phone: '07700 900001' }
  const login = { type: 'm.login.password', identifier, password: alice.password }
  expect(await server.anonymous().post(`${V3}/login`, login)).toMatchObject({ user_id: alice.userId })
  await alice.fails(400, 'M_THREEPID_IN_USE', 'POST', `${V3}/register/msisdn/requestToken`, { body: request })
})

test('who has lost the password sets a new one by phone', async () => {
  const client = server.anonymous()
  const request = { client_secret: 'another', send_attempt: 1, country: 'GB', phone_number: '+44 7700 900001' }
  const asked = await client.post<{ sid: string; submit_url: string }>(`${V3}/account/password/msisdn/requestToken`, request)
  const session = { sid: asked.sid, client_secret: 'another' }
  const auth = { type: 'm.login.msisdn', threepid_creds: session }
  const body = { new_password: 'brand new', logout_devices: false, auth }
  const early = await client.request<{ flows: unknown; errcode: string }>('POST', `${V3}/account/password`, { body, expect: 401 })
  expect(early).toMatchObject({ flows: [{ stages: ['m.login.msisdn'] }], errcode: 'M_THREEPID_AUTH_FAILED' })
  await client.post(new URL(asked.submit_url).pathname, { ...session, token: '123456' })
  await client.request('POST', `${V3}/account/password`, { body })
  await client.login('alice', 'brand new')
  await alice.get(`${V3}/account/whoami`)
  const nobody = { ...request, phone_number: '+44 7700 900999' }
  await client.fails(400, 'M_THREEPID_NOT_FOUND', 'POST', `${V3}/account/password/msisdn/requestToken`, { body: nobody })
})

test('an address is bound and unbound at the identity server that the client names (AU-18)', async () => {
  const body = { sid: 'good', client_secret: SECRET, id_server: peer.serverName, id_access_token: 'is-token' }
  const path = `${V3}/account/3pid/bind`
  await alice.fails(403, 'M_FORBIDDEN', 'POST', path, { body: { ...body, id_access_token: 'other' } })
  await alice.fails(403, 'M_TERMS_NOT_SIGNED', 'POST', path, { body: { ...body, sid: 'bad' } })
  await alice.fails(400, 'M_INVALID_PARAM', 'POST', path, { body: { ...body, id_server: 'localhost/../x?' } })
  await alice.post(path, body)
  expect(peer.requestsTo(/3pid\/bind$/).at(-1)?.body).toMatchObject({ mxid: alice.userId, sid: 'good' })

  const address = { medium: 'email', address: 'alice@example.org' }
  expect(await alice.post(`${V3}/account/3pid/unbind`, address)).toEqual({ id_server_unbind_result: 'success' })
  const unbind = peer.requestsTo(/3pid\/unbind$/).at(-1)
  expect(unbind?.body).toEqual({ mxid: alice.userId, threepid: address })
  expect(unbind?.headers.authorization).toContain(`destination="${peer.serverName}"`)
  expect(await alice.post(`${V3}/account/3pid/unbind`, address)).toEqual({ id_server_unbind_result: 'no-support' })
})

test('an invite by e-mail address reaches its owner, or is kept open in the room (AU-18)', async () => {
  const bob = await server.register('bob')
  known.set('bob@example.org', bob.userId)
  const invitation = { id_server: peer.serverName, id_access_token: 'is-token', medium: 'email', address: 'Bob@example.org' }
  const roomId = await alice.createRoom({ name: 'The room', invite_3pid: [invitation] })
  expect(await alice.getState(roomId, 'm.room.member', bob.userId)).toMatchObject({ membership: 'invite' })

  const path = `${V3}/rooms/${encodeURIComponent(roomId)}/invite`
  await alice.post(path, { ...invitation, address: 'carol@example.org' })
  expect(peer.requestsTo(/store-invite$/).at(-1)?.body).toMatchObject({
    medium: 'email',
    address: 'carol@example.org',
    room_id: roomId,
    room_name: 'The room',
    sender: alice.userId,
    sender_display_name: 'alice',
    'org.matrix.web_client_location': 'https://app.example',
  })
  expect(await alice.getState(roomId, 'm.room.third_party_invite', 'invite-token')).toMatchObject({
    display_name: 'b...@e...',
    key_validity_url: `${peer.url}/valid`,
    public_keys: [{ key_validity_url: `${peer.url}/valid` }],
  })
  // Who is not in the room makes the identity server do nothing.
  const before = peer.requestsTo(/identity\/v2/).length
  await bob.fails(403, 'M_FORBIDDEN', 'POST', path, { body: { ...invitation, address: 'dave@example.org' } })
  expect(peer.requestsTo(/identity\/v2/)).toHaveLength(before)
  await alice.fails(400, 'M_MISSING_PARAM', 'POST', path, { body: { medium: 'email', address: 'dave@example.org' } })
})

test('an identity server that is not there is said to be so', async () => {
  const body = { sid: 'good', client_secret: SECRET, id_server: 'localhost:1', id_access_token: 'is-token' }
  await alice.request('POST', `${V3}/account/3pid/bind`, { body, expect: 502 })
})
