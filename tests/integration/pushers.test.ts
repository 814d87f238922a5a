import { expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const SET = '/_matrix/client/v3/pushers/set'
const PUSHER = {
  pushkey: 'key',
  kind: 'http',
  app_id: 'com.example.app',
  app_display_name: 'App',
  device_display_name: 'Phone',
  profile_tag: 'tag',
  lang: 'en',
  data: { url: 'https://push.example/_matrix/push/v1/notify', format: 'event_id_only', custom: 1 },
}

async function list(client: TestClient): Promise<unknown[]> {
  return (await client.get<{ pushers: unknown[] }>('/_matrix/client/v3/pushers')).pushers
}

test('a pusher is set, listed, changed and deleted', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  expect(await list(alice)).toEqual([])
  await alice.post(SET, PUSHER)
  expect(await list(alice)).toEqual([PUSHER])
  await alice.post(SET, { ...PUSHER, lang: 'de', data: { url: PUSHER.data.url } })
  expect(await list(alice)).toEqual([{ ...PUSHER, lang: 'de', data: { url: PUSHER.data.url } }])
  await alice.post(SET, { pushkey: 'key', app_id: 'com.example.app', kind: null })
  await alice.post(SET, { pushkey: 'key', app_id: 'com.example.app', kind: null })
  expect(await list(alice)).toEqual([])
})

test('other users lose their pusher for the same key unless it is appended', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  await alice.post(SET, PUSHER)
  await bob.post(SET, { ...PUSHER, append: true })
  expect([await list(alice), await list(bob)]).toEqual([[PUSHER], [PUSHER]])
  await bob.post(SET, PUSHER)
  expect([await list(alice), await list(bob)]).toEqual([[], [PUSHER]])
})

test('a pusher goes with the device that set it', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'secret' })
  const second = await alice.loginAgain()
  await alice.post(SET, PUSHER)
  await second.post(SET, { ...PUSHER, pushkey: 'second' })
  await second.post('/_matrix/client/v3/logout', {})
  expect(await list(alice)).toEqual([PUSHER])
})

test('what is missing or malformed is refused', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const fails = (errcode: string, body: Record<string, unknown>): Promise<unknown> =>
    alice.fails(400, errcode, 'POST', SET, { body })
  await fails('M_MISSING_PARAM', {})
  const { lang: _lang, data: _data, ...rest } = PUSHER
  expect(await fails('M_MISSING_PARAM', rest)).toMatchObject({ error: 'Missing parameters: lang, data' })
  await fails('M_MISSING_PARAM', { ...PUSHER, data: {} })
  await fails('M_INVALID_PARAM', { ...PUSHER, data: { url: 'ftp://push.example/_matrix/push/v1/notify' } })
  await fails('M_INVALID_PARAM', { ...PUSHER, data: { url: 'https://push.example/other' } })
  await fails('M_INVALID_PARAM', { ...PUSHER, data: [] })
  await fails('M_INVALID_PARAM', { ...PUSHER, kind: 'pigeon' })
  await fails('M_INVALID_PARAM', { ...PUSHER, pushkey: 'x'.repeat(513) })
  await fails('M_INVALID_PARAM', { ...PUSHER, app_id: 'x'.repeat(65) })
  await fails('M_INVALID_PARAM', { ...PUSHER, pushkey: 'a\u0000b' })
  await server.anonymous().fails(401, 'M_MISSING_TOKEN', 'GET', '/_matrix/client/v3/pushers')
})

test('notifications and receipts answer their errors', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  expect(await alice.get('/_matrix/client/v3/notifications')).toEqual({ notifications: [] })
  await alice.fails(400, 'M_INVALID_PARAM', 'GET', '/_matrix/client/v3/notifications', { query: { from: 'abc' } })
  const room = '/_matrix/client/v3/rooms/!none:test.example'
  const fails = (status: number, errcode: string, path: string, body: unknown): Promise<unknown> =>
    alice.fails(status, errcode, 'POST', `${room}/${path}`, { body })
  await fails(403, 'M_FORBIDDEN', 'receipt/m.read/$event', {})
  await fails(400, 'M_INVALID_PARAM', 'receipt/m.unknown/$event', {})
  await fails(400, 'M_INVALID_PARAM', 'receipt/m.read/noevent', {})
  await fails(400, 'M_INVALID_PARAM', 'receipt/m.read/$event', { thread_id: '' })
  await fails(400, 'M_INVALID_PARAM', 'receipt/m.read/$event', { thread_id: 1 })
  await fails(400, 'M_INVALID_PARAM', 'receipt/m.fully_read/$event', { thread_id: 'main' })
  await fails(403, 'M_FORBIDDEN', 'receipt/m.fully_read/$event', {})
  await fails(400, 'M_INVALID_PARAM', 'read_markers', { 'm.read': 1 })
  await fails(403, 'M_FORBIDDEN', 'read_markers', { 'm.read': '$event', 'm.fully_read': '$event' })
})
