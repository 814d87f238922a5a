import { expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const WHOAMI = '/_matrix/client/v3/account/whoami'
const REFRESH = '/_matrix/client/v3/refresh'
const PASSWORD = '/_matrix/client/v3/account/password'

interface Tokens {
  access_token: string
  refresh_token: string
  expires_in_ms: number
}

async function loginWithRefresh(server: TestServer, password: string): Promise<Tokens> {
  return server.anonymous().post<Tokens>('/_matrix/client/v3/login', {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'alice' },
    password,
    refresh_token: true,
  })
}

test('a refresh token stays valid until what it gave is used, then it is dead', async () => {
  await using server = await TestServer.start()
  await server.register('alice', { password: 'secret' })
  const client = server.anonymous()
  const first = await loginWithRefresh(server, 'secret')
  expect(first.refresh_token).toMatch(/^syr_/)
  expect(first.expires_in_ms).toBe(300_000)
  const lost = await client.post<Tokens>(REFRESH, { refresh_token: first.refresh_token })
  const second = await client.post<Tokens>(REFRESH, { refresh_token: first.refresh_token })
  // The pair whose answer was lost is void; the old access token lives until the new one is used.
  await client.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI, { token: lost.access_token })
  await client.get(WHOAMI, { token: first.access_token })
  await client.get(WHOAMI, { token: second.access_token })
  await client.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI, { token: first.access_token })
  await client.fails(401, 'M_UNKNOWN_TOKEN', 'POST', REFRESH, { body: { refresh_token: first.refresh_token } })
  const third = await client.post<Tokens>(REFRESH, { refresh_token: second.refresh_token })
  await client.get(WHOAMI, { token: third.access_token })
  await client.post('/_matrix/client/v3/logout', {}, { token: third.access_token })
  await client.fails(401, 'M_UNKNOWN_TOKEN', 'POST', REFRESH, { body: { refresh_token: third.refresh_token } })
})

test('of several refreshes at once, one pair remains', async () => {
  await using server = await TestServer.start()
  await server.register('alice', { password: 'secret' })
  const client = server.anonymous()
  const first = await loginWithRefresh(server, 'secret')
  const pairs = await Promise.all(
    Array.from({ length: 6 }, () => client.post<Tokens>(REFRESH, { refresh_token: first.refresh_token })),
  )
  const alive = await Promise.all(
    pairs.map(async ({ access_token: token }) => {
      const body = await client.request<{ user_id?: string }>('GET', WHOAMI, { token, expect: [200, 401] })
      return body.user_id !== undefined
    }),
  )
  expect(alive.filter(Boolean)).toHaveLength(1)
})

test('expired tokens log out softly, and the session ends at its time', async () => {
  // Long enough for slow machines to use each token while it lives.
  await using server = await TestServer.start({
    config: { refreshable_access_token_lifetime: 2000, session_lifetime: 6000, nonrefreshable_access_token_lifetime: 2000 },
  })
  const alice = await server.register('alice', { password: 'secret' })
  const client = server.anonymous()
  const first = await loginWithRefresh(server, 'secret')
  const expired = { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true }
  expect(await eventually('the token expires', () => refusalOf(client, first.access_token))).toMatchObject(expired)
  expect(await alice.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)).toMatchObject({ soft_logout: true })
  const second = await client.post<Tokens>(REFRESH, { refresh_token: first.refresh_token })
  await client.get(WHOAMI, { token: second.access_token })
  let refreshToken = second.refresh_token
  const ended = await eventually('the session ends', async () => {
    const answer = await client.request<Partial<Tokens>>('POST', REFRESH, {
      body: { refresh_token: refreshToken },
      expect: [200, 401],
    })
    if (answer.refresh_token === undefined) return answer
    refreshToken = answer.refresh_token
    return undefined
  })
  expect(ended).toMatchObject(expired)
})

/** What the server answers when it refuses the token; undefined while it takes it. */
async function refusalOf(client: TestClient, token: string): Promise<object | undefined> {
  const answer = await client.request<{ errcode?: string }>('GET', WHOAMI, { token, expect: [200, 401] })
  return answer.errcode === undefined ? undefined : answer
}

test('changing the password needs the old one, keeps this login and ends the others', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'old' })
  const other = await alice.loginAgain()
  const asked = await alice.request<{ session: string; flows: unknown }>('POST', PASSWORD, {
    body: { new_password: 'new' },
    expect: 401,
  })
  expect(asked.flows).toEqual([{ stages: ['m.login.password'] }])
  const auth = (password: string) => ({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'alice' },
    password,
    session: asked.session,
  })
  const refused = await alice.request('POST', PASSWORD, { body: { new_password: 'new', auth: auth('wrong') }, expect: 401 })
  expect(refused).toMatchObject({ errcode: 'M_FORBIDDEN', session: asked.session })
  await alice.post(PASSWORD, { new_password: 'new', auth: auth('old') })
  await alice.get(WHOAMI)
  await other.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
  const third = await server.anonymous().login('alice', 'new')
  await alice.post(PASSWORD, {
    new_password: 'newer',
    logout_devices: false,
    auth: { type: 'm.login.password', user: 'alice', password: 'new' },
  })
  await third.get(WHOAMI)
})

test('a closed account can not log in, its name stays taken, and its tokens are dead', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'secret' })
  const bob = await server.register('bob', { password: 'secret of bob' })
  const path = '/_matrix/client/v3/account/deactivate'
  await alice.request('POST', path, { body: {}, expect: 401 })
  const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'bob' }, password: 'secret of bob' }
  await alice.fails(403, 'M_FORBIDDEN', 'POST', path, { body: { auth } })
  const own = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password: 'secret' }
  expect(await alice.post(path, { auth: own, erase: true })).toEqual({ id_server_unbind_result: 'success' })
  await alice.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
  const client = server.anonymous()
  await client.fails(403, 'M_FORBIDDEN', 'POST', '/_matrix/client/v3/login', {
    body: { type: 'm.login.password', user: 'alice', password: 'secret' },
  })
  await client.fails(400, 'M_USER_IN_USE', 'GET', '/_matrix/client/v3/register/available?username=alice')
  await bob.get(WHOAMI)
})

test('a device signs in another one by a token that works once', async () => {
  await using server = await TestServer.start({
    config: { login_via_existing_session: { enabled: true, require_ui_auth: true } },
  })
  const alice = await server.register('alice', { password: 'secret' })
  const client = server.anonymous()
  expect(await client.get('/_matrix/client/v3/login')).toMatchObject({
    flows: [{ type: 'm.login.token', get_login_token: true }, {}, {}],
  })
  const path = '/_matrix/client/v1/login/get_token'
  await alice.request('POST', path, { body: {}, expect: 401 })
  const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password: 'secret' }
  const { login_token: token } = await alice.post<{ login_token: string }>(path, { auth })
  const login = { type: 'm.login.token', token }
  expect(await client.post('/_matrix/client/v3/login', login)).toMatchObject({ user_id: alice.userId })
  await client.fails(403, 'M_FORBIDDEN', 'POST', '/_matrix/client/v3/login', { body: login })
})

test('without the option no such token is made', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  await alice.fails(404, 'M_UNRECOGNIZED', 'POST', '/_matrix/client/v1/login/get_token', { body: {} })
})

test('an OpenID token is made for oneself only', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const path = (userId: string) => `/_matrix/client/v3/user/${encodeURIComponent(userId)}/openid/request_token`
  expect(await alice.post(path(alice.userId), {})).toMatchObject({
    token_type: 'Bearer',
    matrix_server_name: 'test.example',
    expires_in: 3600,
  })
  await alice.fails(403, 'M_FORBIDDEN', 'POST', path('@bob:test.example'), { body: {} })
  expect(await alice.get('/_matrix/client/v3/account/3pid')).toEqual({ threepids: [] })
})
