import { expect, test } from 'vitest'
import { TestServer } from '../kit/test-server.ts'

const LOGIN = '/_matrix/client/v3/login'
const WHOAMI = '/_matrix/client/v3/account/whoami'

test('a new account is logged in, and its owner can log in again with the password', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'ein gutes Passwort' })
  expect(alice.userId).toBe('@alice:test.example')
  expect(alice.accessToken).toMatch(/^syt_YWxpY2U_[a-zA-Z]{20}_[0-9A-Za-z]{6}$/)
  expect(await alice.get(WHOAMI)).toEqual({ user_id: alice.userId, device_id: alice.deviceId, is_guest: false })
  const again = await alice.loginAgain()
  expect(again.deviceId).not.toBe(alice.deviceId)
  expect(await again.get(WHOAMI)).toMatchObject({ device_id: again.deviceId })
})

test('login takes the old field `user`, a bare localpart, and capitals', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'secret' })
  const client = server.anonymous()
  for (const credentials of [
    { user: 'alice' },
    { user: alice.userId },
    { identifier: { type: 'm.id.user', user: '@ALICE:test.example' } },
  ]) {
    const body = { type: 'm.login.password', password: 'secret', ...credentials }
    expect(await client.post(LOGIN, body)).toMatchObject({ user_id: alice.userId, home_server: 'test.example' })
  }
})

test('a wrong password and an unknown user are refused alike', async () => {
  await using server = await TestServer.start()
  await server.register('alice')
  const client = server.anonymous()
  const attempt = (user: string) =>
    client.fails(403, 'M_FORBIDDEN', 'POST', LOGIN, {
      body: { type: 'm.login.password', identifier: { type: 'm.id.user', user }, password: 'wrong' },
    })
  const wrongPassword = await attempt('alice')
  expect(await attempt('nobody')).toEqual(wrongPassword)
  expect(await attempt('@alice:elsewhere.example')).toEqual(wrongPassword)
  expect(await attempt('@!§$%')).toEqual(wrongPassword)
})

test('a device id that is known keeps its name and ends the tokens that it had', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { deviceId: 'PHONE', body: { initial_device_display_name: 'Phone' } })
  const again = await alice.loginAgain({ deviceId: 'PHONE' })
  await alice.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
  expect(await again.get(WHOAMI)).toMatchObject({ device_id: 'PHONE' })
})

test('a logged-out token is dead at once, other logins go on; logout/all ends them all', async () => {
  await using server = await TestServer.start()
  const one = await server.register('alice')
  const two = await one.loginAgain()
  const three = await one.loginAgain()
  await one.post('/_matrix/client/v3/logout')
  await one.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
  await two.get(WHOAMI)
  await two.post('/_matrix/client/v3/logout/all')
  await two.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
  await three.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI)
})

test('requests without a token and with a wrong one say so', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  await client.fails(401, 'M_MISSING_TOKEN', 'GET', WHOAMI)
  await client.fails(401, 'M_UNKNOWN_TOKEN', 'GET', WHOAMI, { token: 'syt_none' })
})

test('unknown ways to log in are a 400, and application services are told that there are none', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  expect(await client.get(LOGIN)).toEqual({ flows: [{ type: 'm.login.password' }, { type: 'm.login.application_service' }] })
  await client.fails(400, 'M_UNKNOWN', 'POST', LOGIN, { body: { type: 'm.login.mind_reading' } })
  await client.fails(400, 'M_UNKNOWN', 'POST', LOGIN, { body: { type: 'm.login.token', token: 'x' } })
  await client.fails(400, 'M_MISSING_PARAM', 'POST', LOGIN, { body: { type: 'm.login.password' } })
  await client.fails(403, 'M_FORBIDDEN', 'POST', LOGIN, {
    body: { type: 'm.login.application_service', identifier: { type: 'm.id.user', user: 'bot' } },
  })
})

test('after too many failures an account is closed for a while, also for the right password', async () => {
  await using server = await TestServer.start({
    config: {
      rc_login: {
        address: { per_second: 99, burst_count: 99 },
        account: { per_second: 99, burst_count: 99 },
        failed_attempts: { per_second: 0.01, burst_count: 2 },
      },
    },
  })
  await server.register('alice', { password: 'right' })
  const client = server.anonymous()
  const body = (password: string) => ({ type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password })
  await client.fails(403, 'M_FORBIDDEN', 'POST', LOGIN, { body: body('wrong') })
  await client.fails(403, 'M_FORBIDDEN', 'POST', LOGIN, { body: body('wrong') })
  await client.fails(429, 'M_LIMIT_EXCEEDED', 'POST', LOGIN, { body: body('right') })
})
