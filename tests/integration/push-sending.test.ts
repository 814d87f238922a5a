import { expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import type { TestClient } from '../kit/client.ts'
import { roomPath } from '../kit/client.ts'
import { TestPushGateway } from '../kit/push-gateway.ts'
import { TestServer } from '../kit/test-server.ts'

/** The gateways of these tests are on this machine. */
const LOCAL = { ip_range_whitelist: ['127.0.0.1'] }

async function setPusher(client: TestClient, gateway: TestPushGateway, pushkey: string, data: object = {}): Promise<void> {
  await client.post('/_matrix/client/v3/pushers/set', {
    pushkey,
    kind: 'http',
    app_id: 'com.example.app',
    app_display_name: 'App',
    device_display_name: 'Phone',
    lang: 'en',
    data: { url: gateway.url, ...data },
  })
}

/** A room of two with a name. */
async function makeRoom(alice: TestClient, ...others: readonly TestClient[]): Promise<string> {
  const { room_id: roomId } = await alice.post<{ room_id: string }>('/_matrix/client/v3/createRoom', {
    preset: 'public_chat',
    name: 'Mission Control',
  })
  for (const other of others) await other.post(`/_matrix/client/v3/join/${encodeURIComponent(roomId)}`)
  return roomId
}

function readUpTo(client: TestClient, roomId: string, eventId: string): Promise<unknown> {
  return client.post(roomPath(roomId, 'receipt', 'm.read', eventId), {})
}

test('a message reaches the gateway with its content, names, tweaks and the badge; the sender gets none', async () => {
  await using gateway = await TestPushGateway.start()
  await using server = await TestServer.start({ config: LOCAL })
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const roomId = await makeRoom(alice, bob)
  await setPusher(alice, gateway, 'alice')
  await setPusher(bob, gateway, 'bob', { custom: 1 })
  const eventId = await alice.sendText(roomId, 'hello')
  const [push] = await gateway.waitFor(1)
  expect(push).toEqual({
    event_id: eventId,
    room_id: roomId,
    type: 'm.room.message',
    sender: alice.userId,
    sender_display_name: 'alice',
    room_name: 'Mission Control',
    prio: 'high',
    content: { msgtype: 'm.text', body: 'hello' },
    counts: { unread: 1 },
    devices: [
      {
        app_id: 'com.example.app',
        pushkey: 'bob',
        pushkey_ts: expect.any(Number) as number,
        data: { custom: 1 },
        tweaks: { sound: 'default' },
      },
    ],
  })
  expect(gateway.received).toHaveLength(1)
})

test('event_id_only tells neither content nor names; include_content: false no content', async () => {
  await using gateway = await TestPushGateway.start()
  await using server = await TestServer.start({ config: { ...LOCAL, push: { include_content: false } } })
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const roomId = await makeRoom(alice, bob)
  await setPusher(bob, gateway, 'bob', { format: 'event_id_only' })
  const eventId = await alice.sendText(roomId, 'hello')
  const [push] = await gateway.waitFor(1)
  expect(push).toEqual({
    event_id: eventId,
    room_id: roomId,
    prio: 'high',
    counts: { unread: 1 },
    devices: [
      { app_id: 'com.example.app', pushkey: 'bob', pushkey_ts: expect.any(Number) as number, data: { format: 'event_id_only' } },
    ],
  })
  await setPusher(bob, gateway, 'bob')
  await alice.sendText(roomId, 'again')
  expect((await gateway.waitFor(2))[1]).not.toHaveProperty('content')
  expect(gateway.received[1]).toHaveProperty('sender_display_name', 'alice')
})

test('a receipt lowers the badge; the badge counts rooms and invites', async () => {
  await using gateway = await TestPushGateway.start()
  await using server = await TestServer.start({ config: LOCAL })
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const [first, second] = [await makeRoom(alice, bob), await makeRoom(alice, bob)]
  await setPusher(bob, gateway, 'bob')
  await alice.sendText(first, 'one')
  const two = await alice.sendText(first, 'two')
  await alice.sendText(second, 'three')
  const badges = (await gateway.waitFor(3)).map((push) => push.counts?.unread)
  expect(badges.at(-1)).toBe(2)
  await readUpTo(bob, first, two)
  expect((await gateway.waitFor(4))[3]).toEqual({
    counts: { unread: 1 },
    devices: [{ app_id: 'com.example.app', pushkey: 'bob', pushkey_ts: expect.any(Number) as number, data: {} }],
  })
  await alice.post('/_matrix/client/v3/createRoom', { invite: [bob.userId] })
  const invite = (await gateway.waitFor(5))[4]
  expect(invite).toMatchObject({ type: 'm.room.member', user_is_target: true, counts: { unread: 2 } })
})

test('muted rooms are silent, keywords highlight, new members and new pushers hear nothing of before', async () => {
  await using gateway = await TestPushGateway.start()
  await using server = await TestServer.start({ config: LOCAL })
  const [alice, bob, carol] = [await server.register('alice'), await server.register('bob'), await server.register('carol')]
  const roomId = await makeRoom(alice, bob)
  await alice.sendText(roomId, 'before all')
  for (const client of [bob, carol]) await setPusher(client, gateway, client.userId)
  await bob.put(`/_matrix/client/v3/pushrules/global/room/${encodeURIComponent(roomId)}`, { actions: [] })
  await alice.sendText(roomId, 'nobody is told')
  await carol.post(`/_matrix/client/v3/join/${encodeURIComponent(roomId)}`)
  await alice.put(roomPath(roomId, 'send', 'm.room.message', 'mention'), {
    msgtype: 'm.text',
    body: 'bob!',
    'm.mentions': { user_ids: [bob.userId] },
  })
  const received = await gateway.waitFor(2)
  const bodies = received.map((push) => [push.devices[0]?.pushkey, (push['content'] as { body?: string }).body])
  expect(bodies.toSorted()).toEqual([
    [bob.userId, 'bob!'],
    [carol.userId, 'bob!'],
  ])
  const toBob = received.find((push) => push.devices[0]?.pushkey === bob.userId)
  expect(toBob?.devices[0]).toHaveProperty('tweaks', { highlight: true, sound: 'default' })
})

test('a rejected key loses its pusher; a logged-out device too', async () => {
  await using gateway = await TestPushGateway.start()
  await using server = await TestServer.start({ config: LOCAL })
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const roomId = await makeRoom(alice, bob)
  const phone = await bob.loginAgain()
  await setPusher(bob, gateway, 'rejected')
  await setPusher(phone, gateway, 'phone')
  gateway.rejected.add('rejected')
  await alice.sendText(roomId, 'one')
  await gateway.waitFor(2)
  const listOf = async (): Promise<unknown[]> =>
    (await bob.get<{ pushers: { pushkey: string }[] }>('/_matrix/client/v3/pushers')).pushers.map((pusher) => pusher.pushkey)
  await eventually('the rejected pusher goes', async () => (await listOf()).length === 1)
  expect(await listOf()).toEqual(['phone'])
  await phone.post('/_matrix/client/v3/logout', {})
  await setPusher(bob, gateway, 'fresh')
  await alice.sendText(roomId, 'two')
  const keys = (await gateway.waitFor(3)).map((push) => push.devices[0]?.pushkey)
  expect(keys[2]).toBe('fresh')
})

test('what waits while the gateway is down arrives in order, once, also after a restart of the server', async () => {
  await using gateway = await TestPushGateway.start()
  await using server = await TestServer.start({ config: LOCAL })
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const roomId = await makeRoom(alice, bob)
  await setPusher(bob, gateway, 'bob')
  const sent = [await alice.sendText(roomId, 'zero')]
  await gateway.waitFor(1)
  gateway.status = 502
  for (const body of ['one', 'two', 'three']) sent.push(await alice.sendText(roomId, body))
  await eventually('a failed try', () => gateway.requests >= 2)
  await server.restart()
  gateway.status = 200
  await gateway.waitFor(4)
  sent.push(await alice.sendText(roomId, 'four'))
  expect((await gateway.waitFor(5)).map((push) => push.event_id)).toEqual(sent)
})

test('a slow gateway delays nobody else, and private addresses are refused unless they are allowed', async () => {
  await using gateway = await TestPushGateway.start()
  await using server = await TestServer.start({ config: LOCAL })
  const [alice, bob, carol] = [await server.register('alice'), await server.register('bob'), await server.register('carol')]
  const roomId = await makeRoom(alice, bob, carol)
  gateway.delaysMs.set('slow', 3000)
  await setPusher(bob, gateway, 'slow')
  await setPusher(carol, gateway, 'quick')
  for (const body of ['one', 'two']) await alice.sendText(roomId, body)
  await eventually('both pushes of the quick one', () => gateway.received.length === 2)
  expect(gateway.received.map((push) => push.devices[0]?.pushkey)).toEqual(['quick', 'quick'])
  await server.restart({ config: { ip_range_whitelist: [] } })
  const before = gateway.requests
  await alice.sendText(roomId, 'three')
  await new Promise((resolve) => setTimeout(resolve, 500))
  expect(gateway.requests).toBe(before)
})
