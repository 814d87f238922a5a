import { expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { TestAppservice } from '../kit/test-appservice.ts'
import { TestServer } from '../kit/test-server.ts'

const BOB = '@_irc_bob:test.example'

async function registerBob(client: TestClient): Promise<void> {
  await client.post('/_matrix/client/v3/register', {
    type: 'm.login.application_service',
    username: '_irc_bob',
    inhibit_login: true,
  })
}

async function makeRoom(alice: TestClient, body: object = {}): Promise<string> {
  return (await alice.post<{ room_id: string }>('/_matrix/client/v3/createRoom', { preset: 'public_chat', ...body })).room_id
}

function joinAsBob(bridge: TestClient, roomId: string): Promise<unknown> {
  return bridge.post(`/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, {}, { query: { user_id: BOB } })
}

test('a service is told of rooms of its users, aliases and invites, in order, and of nothing else', async () => {
  await using irc = await TestAppservice.start('irc')
  await using server = await TestServer.start({ config: { app_service_config_files: [irc.file] } })
  const alice = await server.register('alice')
  const bridge = irc.client(server)
  await registerBob(bridge)
  const [other, roomId] = [await makeRoom(alice), await makeRoom(alice)]
  await alice.sendText(other, 'not for the bridge')
  await alice.sendText(roomId, 'before the join')
  await joinAsBob(bridge, roomId)
  for (const body of ['one', 'two', 'three']) await alice.sendText(roomId, body)
  await irc.waitForBodies('one', 'two', 'three')
  await bridge.post(roomPath(roomId, 'leave'), {}, { query: { user_id: BOB } })
  await alice.sendText(roomId, 'after the leave')
  await alice.post(roomPath(other, 'invite'), { user_id: BOB })
  await eventually('the invite', () => irc.events.some((event) => event.room_id === other && event.state_key === BOB))
  expect(irc.events.filter((event) => event.room_id === other)).toHaveLength(1)
  const memberships = irc.events.flatMap((event) =>
    event.room_id === roomId && event.state_key === BOB ? [event.content['membership']] : [],
  )
  expect(memberships).toEqual(['join', 'leave'])
  expect(irc.transactions.map((transaction) => Number(transaction.txnId))).toEqual(irc.transactions.map((_, index) => index + 1))
})

test('what happens while the service is down arrives once and in order afterwards, also over a restart of the server', async () => {
  await using irc = await TestAppservice.start('irc')
  await using server = await TestServer.start({ config: { app_service_config_files: [irc.file] } })
  const alice = await server.register('alice')
  const bridge = irc.client(server)
  await registerBob(bridge)
  const roomId = await makeRoom(alice)
  await joinAsBob(bridge, roomId)
  await alice.sendText(roomId, 'zero')
  await irc.waitForBodies('zero')
  irc.status = 500
  irc.attempts = []
  const bodies = Array.from({ length: 150 }, (_, index) => `message ${index}`)
  await alice.sendText(roomId, bodies[0] ?? '')
  await eventually('a refused transaction', () => irc.attempts.length > 0)
  const refused = irc.attempts[0]
  for (const body of bodies.slice(1)) await alice.sendText(roomId, body)
  await server.restart()
  irc.status = 200
  await irc.waitForBodies('zero', ...bodies)
  expect(new Set(irc.attempts.slice(0, 2))).toEqual(new Set([refused]))
  const ids = irc.transactions.map((transaction) => transaction.txnId)
  expect(new Set(ids).size).toBe(ids.length)
})

test('receipts, typing, presence and messages to devices reach a service that wants them', async () => {
  await using irc = await TestAppservice.start('irc', {
    receive_ephemeral: true,
    'org.matrix.msc3202': true,
    device_management: true,
  })
  await using server = await TestServer.start({ config: { app_service_config_files: [irc.file] } })
  const alice = await server.register('alice')
  const bridge = irc.client(server)
  await registerBob(bridge)
  await bridge.put('/_matrix/client/v3/devices/BRIDGE', { display_name: 'Bridge' }, { query: { user_id: BOB }, expect: 201 })
  const [roomId, other] = [await makeRoom(alice), await makeRoom(alice)]
  await joinAsBob(bridge, roomId)
  const eventId = await alice.sendText(roomId, 'hello')
  const elsewhere = await alice.sendText(other, 'hello')
  await alice.post(roomPath(other, 'receipt', 'm.read', elsewhere), {})
  await alice.post(roomPath(roomId, 'receipt', 'm.read.private', eventId), {})
  await alice.post(roomPath(roomId, 'receipt', 'm.read', eventId), {})
  await alice.put(roomPath(roomId, 'typing', alice.userId), { typing: true, timeout: 10_000 })
  await alice.put(`/_matrix/client/v3/presence/${alice.userId}/status`, { presence: 'online', status_msg: 'here' })
  await alice.put('/_matrix/client/v3/sendToDevice/org.example.secret/1', { messages: { [BOB]: { BRIDGE: { key: 'value' } } } })
  const typesGot = (): Set<string> => new Set(irc.ephemeral.map((event) => event.type))
  await eventually('receipts, typing, presence', () => typesGot().size === 3)
  const receipts = irc.ephemeral.filter((event) => event.type === 'm.receipt')
  expect(receipts).toEqual([
    {
      type: 'm.receipt',
      room_id: roomId,
      content: { [eventId]: { 'm.read': { [alice.userId]: { ts: expect.any(Number) as number } } } },
    },
  ])
  expect(irc.ephemeral.find((event) => event.type === 'm.typing')).toEqual({
    type: 'm.typing',
    room_id: roomId,
    content: { user_ids: [alice.userId] },
  })
  const messages = (): unknown[] =>
    irc.transactions.flatMap((transaction) => (transaction['de.sorunome.msc2409.to_device'] ?? []) as unknown[])
  await eventually('the message to the device', () => messages().length > 0)
  expect(messages()).toEqual([
    {
      type: 'org.example.secret',
      sender: alice.userId,
      content: { key: 'value' },
      to_user_id: BOB,
      to_device_id: 'BRIDGE',
    },
  ])
})
