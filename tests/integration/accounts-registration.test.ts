import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { Database } from '../../src/storage/database.ts'
import { insertRegistrationToken } from '../../src/storage/tables/registration-tokens.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const REGISTER = '/_matrix/client/v3/register'
const ADMIN_REGISTER = '/_synapse/admin/v1/register'
const SECRET = 'shared secret of the tests'

interface AuthAnswer {
  session: string
  flows: { stages: string[] }[]
  completed?: string[]
  errcode?: string
}

test('registration asks for a stage first, and makes the account when it is done', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  const asked = await client.request<AuthAnswer>('POST', REGISTER, { body: {}, expect: 401 })
  expect(asked.flows).toEqual([{ stages: ['m.login.dummy'] }])
  const body = { username: 'Alice', password: 'secret', auth: { type: 'm.login.dummy', session: asked.session } }
  const made = await client.request<{ user_id: string; access_token: string }>('POST', REGISTER, { body })
  expect(made.user_id).toBe('@alice:test.example')
  // The answer was lost, the client tries again: same account, no error.
  const again = await client.request<{ user_id: string; access_token: string }>('POST', REGISTER, { body })
  expect(again.user_id).toBe(made.user_id)
  expect(again.access_token).not.toBe(made.access_token)
  await client.fails(400, 'M_USER_IN_USE', 'POST', REGISTER, {
    body: { username: 'alice', password: 'other', auth: { type: 'm.login.dummy' } },
  })
})

test('a registration goes on after a restart of the server', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  const { session } = await client.request<AuthAnswer>('POST', REGISTER, {
    body: { username: 'alice', password: 'x' },
    expect: 401,
  })
  await server.restart()
  const auth = { type: 'm.login.dummy', session }
  expect(await client.post(REGISTER, { username: 'alice', password: 'x', auth })).toMatchObject({
    user_id: '@alice:test.example',
  })
})

test('of many that want one name at once, one gets it', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  const attempts = Array.from({ length: 8 }, (_, index) =>
    client.request<{ user_id?: string; errcode?: string }>('POST', REGISTER, {
      body: { username: 'alice', password: `password ${index}`, auth: { type: 'm.login.dummy' } },
      expect: [200, 400],
    }),
  )
  const answers = await Promise.all(attempts)
  expect(answers.filter((answer) => answer.user_id === '@alice:test.example')).toHaveLength(1)
  expect(answers.filter((answer) => answer.errcode === 'M_USER_IN_USE')).toHaveLength(7)
})

test('names are checked', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  await server.register('taken')
  const available = (username: string) => `${REGISTER}/available?username=${encodeURIComponent(username)}`
  expect(await client.get(available('free'))).toEqual({ available: true })
  await client.fails(400, 'M_USER_IN_USE', 'GET', available('TAKEN'))
  for (const odd of ['a,b', '@a:b', 'ä', '_bridge', '12345', '', 'x'.repeat(256), 'nul\u0000']) {
    // No path or query holds U+0000: that is refused before anybody looks at names.
    await client.fails(400, odd.includes('\u0000') ? 'M_INVALID_PARAM' : 'M_INVALID_USERNAME', 'GET', available(odd))
    await client.fails(400, 'M_INVALID_USERNAME', 'POST', REGISTER, {
      body: { username: odd, password: 'x', auth: { type: 'm.login.dummy' } },
    })
  }
})

test('inhibit_login makes the account without a login; without a name one is made up', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  const body = { password: 'secret', inhibit_login: true, auth: { type: 'm.login.dummy' } }
  const made = await client.request<{ user_id: string }>('POST', REGISTER, { body })
  expect(made).toEqual({ user_id: expect.stringMatching(/^@[a-z]{12}:test\.example$/) as string })
  await client.login(made.user_id, 'secret')
})

test('a new account is known by its name', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  expect(await alice.get(`/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}`)).toEqual({ displayname: 'alice' })
})

test('closed registration, guests and weak passwords are refused', async () => {
  await using server = await TestServer.start({
    config: {
      enable_registration: false,
      password_config: { policy: { enabled: true, minimum_length: 8, require_digit: true } },
    },
  })
  const client = server.anonymous()
  await client.fails(403, 'M_FORBIDDEN', 'POST', REGISTER, { body: { username: 'alice', password: 'secret' } })
  await client.fails(403, 'M_FORBIDDEN', 'GET', `${REGISTER}/available?username=alice`)
  await client.fails(403, 'M_GUEST_ACCESS_FORBIDDEN', 'POST', `${REGISTER}?kind=guest`, { body: {} })
  expect(await client.get('/_matrix/client/v3/password_policy')).toEqual({ 'm.minimum_length': 8, 'm.require_digit': true })
  await server.restart({ config: { enable_registration: true } })
  await client.fails(400, 'M_WEAK_PASSWORD', 'POST', REGISTER, { body: { username: 'alice', password: 'secret' } })
})

test('guests get a numbered account that may do little', async () => {
  await using server = await TestServer.start({ config: { allow_guest_access: true } })
  const client = server.anonymous()
  const guest = await client.request<{ user_id: string; access_token: string }>('POST', `${REGISTER}?kind=guest`, {
    body: { device_id: 'IGNORED' },
  })
  expect(guest.user_id).toMatch(/^@[0-9]{15}:/)
  expect(await client.get('/_matrix/client/v3/account/whoami', { token: guest.access_token })).toMatchObject({ is_guest: true })
  await client.fails(403, 'M_GUEST_ACCESS_FORBIDDEN', 'GET', '/_matrix/client/v3/account/3pid', { token: guest.access_token })
})

test('a registration token is good for as many accounts as it says, also when they come together', async () => {
  await using server = await TestServer.start({
    config: { registration_requires_token: true, rc_registration_token_validity: { per_second: 99, burst_count: 99 } },
  })
  const database = new Database({ ...server.databaseOptions, max: 2 }, { onError: () => undefined })
  await insertRegistrationToken(database, { token: 'welcome', usesAllowed: 2, expiresTsMs: undefined })
  await database.close()
  const client = server.anonymous()
  const validity = (token: string) => client.get(`/_matrix/client/v1/register/m.login.registration_token/validity?token=${token}`)
  expect(await validity('welcome')).toEqual({ valid: true })
  expect(await validity('other')).toEqual({ valid: false })
  const asked = await client.request<AuthAnswer>('POST', REGISTER, { body: { username: 'alice', password: 'x' }, expect: 401 })
  expect(asked.flows).toEqual([{ stages: ['m.login.registration_token'] }])
  const wrong = await client.request<AuthAnswer>('POST', REGISTER, {
    body: {
      username: 'alice',
      password: 'x',
      auth: { type: 'm.login.registration_token', token: 'other', session: asked.session },
    },
    expect: 401,
  })
  expect(wrong).toMatchObject({ errcode: 'M_UNAUTHORIZED', session: asked.session })
  const skipped = await client.request<AuthAnswer>('POST', REGISTER, {
    body: { username: 'alice', password: 'x', auth: { type: 'm.login.dummy', session: asked.session } },
    expect: 401,
  })
  expect(skipped.completed).toBeUndefined()
  const attempts = ['alice', 'bob', 'carol', 'dave'].map((username) =>
    client.request<{ user_id?: string }>('POST', REGISTER, {
      body: { username, password: 'x', auth: { type: 'm.login.registration_token', token: 'welcome' } },
      expect: [200, 401],
    }),
  )
  const made = (await Promise.all(attempts)).filter((answer) => answer.user_id !== undefined)
  expect(made).toHaveLength(2)
  expect(await validity('welcome')).toEqual({ valid: false })
})

test('the shared secret makes accounts and administrators, each nonce once', async () => {
  await using server = await TestServer.start({ config: { enable_registration: false } })
  const client = server.anonymous()
  const request = { username: 'Root', password: 'pässword', admin: true }
  const nonce = await getNonce(client)
  const signed = { ...request, nonce, mac: macOf([nonce, 'Root', 'pässword', 'admin']) }
  const made = await client.request<{ user_id: string; access_token: string }>('POST', ADMIN_REGISTER, { body: signed })
  expect(made.user_id).toBe('@root:test.example')
  expect(await client.get('/_matrix/client/v3/capabilities', { token: made.access_token })).toMatchObject({
    capabilities: { 'm.account_moderation': { lock: true, suspend: true } },
  })
  await client.fails(400, 'M_UNKNOWN', 'POST', ADMIN_REGISTER, { body: signed })
  const second = await getNonce(client)
  await client.fails(403, 'M_FORBIDDEN', 'POST', ADMIN_REGISTER, {
    body: { ...request, username: 'eve', nonce: second, mac: macOf([second, 'eve', 'other', 'admin']) },
  })
  const third = await getNonce(client)
  await client.fails(400, 'M_INVALID_USERNAME', 'POST', ADMIN_REGISTER, {
    body: { nonce: third, username: 'us,er', password: 'x', mac: macOf([third, 'us,er', 'x', 'notadmin']) },
  })
  const fourth = await getNonce(client)
  const bot = {
    nonce: fourth,
    username: 'bot',
    password: 'x',
    user_type: 'bot',
    mac: macOf([fourth, 'bot', 'x', 'notadmin', 'bot']),
  }
  expect(await client.request('POST', ADMIN_REGISTER, { body: bot })).toMatchObject({ user_id: '@bot:test.example' })
})

async function getNonce(client: TestClient): Promise<string> {
  return (await client.get<{ nonce: string }>(ADMIN_REGISTER)).nonce
}

function macOf(parts: readonly string[]): string {
  return createHmac('sha1', SECRET).update(parts.join('\u0000')).digest('hex')
}
