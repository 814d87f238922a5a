import { expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { TestAppservice } from '../kit/test-appservice.ts'
import { TestServer } from '../kit/test-server.ts'

const BOB = '@_irc_bob:test.example'
const REGISTER = '/_matrix/client/v3/register'
const LOGIN = '/_matrix/client/v3/login'

function registerBob(client: TestClient): Promise<{ user_id: string }> {
  return client.post(REGISTER, { type: 'm.login.application_service', username: '_irc_bob' })
}

test('a service makes users, acts as them, logs them in, and chooses the time of events', async () => {
  await using irc = await TestAppservice.start('irc')
  await using server = await TestServer.start({ config: { app_service_config_files: [irc.file] } })
  const bridge = irc.client(server)
  expect(await bridge.get('/_matrix/client/v3/account/whoami')).toMatchObject({ user_id: '@_irc:test.example' })
  await bridge.fails(403, 'M_FORBIDDEN', 'GET', '/_matrix/client/v3/account/whoami', { query: { user_id: BOB } })
  expect(await registerBob(bridge)).toMatchObject({ user_id: BOB })
  const asBob = { query: { user_id: BOB } }
  expect(await bridge.get('/_matrix/client/v3/account/whoami', asBob)).toMatchObject({ user_id: BOB })
  await bridge.fails(403, 'M_FORBIDDEN', 'GET', '/_matrix/client/v3/account/whoami', {
    query: { user_id: '@alice:test.example' },
  })
  const unknown = { query: { user_id: BOB, device_id: 'NONE' } }
  await bridge.fails(400, 'M_UNKNOWN_DEVICE', 'GET', '/_matrix/client/v3/account/whoami', unknown)
  const login = { type: 'm.login.application_service', identifier: { type: 'm.id.user', user: BOB }, device_id: 'PHONE' }
  const session = await bridge.post<{ access_token: string }>(LOGIN, login)
  const known = { query: { user_id: BOB, device_id: 'PHONE' } }
  expect(await bridge.get('/_matrix/client/v3/account/whoami', known)).toMatchObject({ device_id: 'PHONE' })
  const own = await bridge.get('/_matrix/client/v3/account/whoami', { token: session.access_token })
  expect(own).toMatchObject({ user_id: BOB })
  const { room_id: roomId } = await bridge.post<{ room_id: string }>('/_matrix/client/v3/createRoom', {}, asBob)
  const sent = await bridge.put<{ event_id: string }>(
    roomPath(roomId, 'send', 'm.room.message', 'txn'),
    { msgtype: 'm.text', body: 'long ago' },
    { query: { user_id: BOB, ts: 1_000_000 } },
  )
  expect(await bridge.get(roomPath(roomId, 'event', sent.event_id), asBob)).toMatchObject({ origin_server_ts: 1_000_000 })
  const { event_id: named } = await bridge.put<{ event_id: string }>(
    roomPath(roomId, 'state', 'm.room.name', ''),
    { name: 'Old' },
    { query: { user_id: BOB, ts: 2_000_000 } },
  )
  expect(await bridge.get(roomPath(roomId, 'event', named), asBob)).toMatchObject({ origin_server_ts: 2_000_000 })
})

test('exclusive users and aliases are refused to everybody else', async () => {
  await using irc = await TestAppservice.start('irc')
  await using slack = await TestAppservice.start('slack')
  await using server = await TestServer.start({ config: { app_service_config_files: [irc.file, slack.file] } })
  const alice = await server.register('alice')
  const [bridge, other] = [irc.client(server), slack.client(server)]
  await other.fails(400, 'M_EXCLUSIVE', 'POST', REGISTER, { body: { type: 'm.login.application_service', username: '_irc_bob' } })
  await other.fails(400, 'M_EXCLUSIVE', 'POST', LOGIN, {
    body: { type: 'm.login.application_service', identifier: { type: 'm.id.user', user: BOB } },
  })
  await alice.fails(401, 'M_UNKNOWN_TOKEN', 'POST', REGISTER, {
    body: { type: 'm.login.application_service', username: '_irc_bob' },
  })
  const alias = encodeURIComponent('#_irc_place:test.example')
  const { room_id: roomId } = await bridge.post<{ room_id: string }>('/_matrix/client/v3/createRoom', { preset: 'public_chat' })
  await alice.post(`/_matrix/client/v3/join/${encodeURIComponent(roomId)}`)
  const body = { room_id: roomId }
  await alice.fails(400, 'M_EXCLUSIVE', 'PUT', `/_matrix/client/v3/directory/room/${alias}`, { body })
  await bridge.fails(400, 'M_EXCLUSIVE', 'PUT', `/_matrix/client/v3/directory/room/${encodeURIComponent('#free:test.example')}`, {
    body,
  })
  await bridge.put(`/_matrix/client/v3/directory/room/${alias}`, body)
})

test('a service is asked for users and aliases that nobody knows, and makes them', async () => {
  await using irc = await TestAppservice.start('irc')
  await using server = await TestServer.start({ config: { app_service_config_files: [irc.file] } })
  const alice = await server.register('alice')
  const bridge = irc.client(server)
  irc.onAsked = async (id) => {
    if (id.startsWith('@_irc_bob')) await registerBob(bridge)
    else if (id.startsWith('#_irc_place'))
      await bridge.post('/_matrix/client/v3/createRoom', { preset: 'public_chat', room_alias_name: '_irc_place' })
    else return false
    return true
  }
  expect(await alice.get(`/_matrix/client/v3/profile/${BOB}`)).toEqual({ displayname: '_irc_bob' })
  await alice.fails(404, 'M_NOT_FOUND', 'GET', '/_matrix/client/v3/profile/@_irc_carol:test.example')
  const { room_id: roomId } = await alice.post<{ room_id: string }>(
    `/_matrix/client/v3/join/${encodeURIComponent('#_irc_place:test.example')}`,
  )
  expect(await alice.get(roomPath(roomId, 'joined_members'))).toHaveProperty(['joined', '@_irc:test.example'])
  expect(irc.asked).toEqual([BOB, '@_irc_carol:test.example', '#_irc_place:test.example'])
})

test('pings, third-party networks and lists of networks', async () => {
  await using irc = await TestAppservice.start('irc', { protocols: ['irc'] })
  await using server = await TestServer.start({ config: { app_service_config_files: [irc.file] } })
  const alice = await server.register('alice')
  const bridge = irc.client(server)
  const ping = '/_matrix/client/v1/appservice/irc/ping'
  expect(await bridge.post(ping, { transaction_id: 'meow' })).toEqual({ duration_ms: expect.any(Number) as number })
  await alice.fails(403, 'M_FORBIDDEN', 'POST', ping, { body: {} })
  await irc.close()
  await bridge.fails(502, 'M_CONNECTION_FAILED', 'POST', ping, { body: {} })
  await irc.open()
  const protocols = await alice.get<Record<string, { instances: unknown[] }>>('/_matrix/client/v3/thirdparty/protocols')
  expect(protocols['irc']?.instances).toEqual([{ network_id: 'libera', desc: 'Libera', fields: {}, instance_id: 'irc|libera' }])
  expect(await alice.get('/_matrix/client/v3/thirdparty/user/irc', { query: { nick: 'bob' } })).toHaveLength(1)
  expect(
    await alice.get('/_matrix/client/v3/thirdparty/location', { query: { alias: '#_irc_place:test.example' } }),
  ).toHaveLength(1)
  await alice.fails(404, 'M_NOT_FOUND', 'GET', '/_matrix/client/v3/thirdparty/protocol/none')
  const { room_id: roomId } = await bridge.post<{ room_id: string }>('/_matrix/client/v3/createRoom', {})
  const list = `/_matrix/client/v3/directory/list/appservice/libera/${encodeURIComponent(roomId)}`
  await bridge.put(list, { visibility: 'public' })
  await bridge.put(list, { visibility: 'private' })
  await alice.fails(403, 'M_FORBIDDEN', 'PUT', list, { body: { visibility: 'public' } })
})

test('a wrong registration says what is wrong', async () => {
  await using irc = await TestAppservice.start('irc', {
    namespaces: { users: [{ regex: '(', exclusive: true }] },
    hs_token: null,
  })
  await expect(TestServer.start({ config: { app_service_config_files: [irc.file] } })).rejects.toThrow(
    /hs_token: expected a text[^]*users\[0\]\.regex: "\(" can not be used/,
  )
  await using one = await TestAppservice.start('one')
  await expect(TestServer.start({ config: { app_service_config_files: [one.file, one.file] } })).rejects.toThrow(
    /another application service has the id one[^]*as_token/,
  )
})
