import { expect, test } from 'vitest'
import type { TestClient } from '../../kit/client.ts'
import { roomPath } from '../../kit/client.ts'
import { TestServer } from '../../kit/test-server.ts'

const PARALLEL = 20

/** The ids of all events of a type in a room. */
async function eventIds(client: TestClient, roomId: string, type: string): Promise<string[]> {
  const { chunk } = await client.messages(roomId, { limit: 100 })
  return chunk.filter((event) => event.type === type).map((event) => event.event_id)
}

test('P2: one transaction id sent many times at once makes one event, and all get its id', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const ids = await Promise.all(Array.from({ length: PARALLEL }, () => alice.sendText(roomId, 'once', 'txn')))
  expect(new Set(ids).size).toBe(1)
  expect(await eventIds(alice, roomId, 'm.room.message')).toEqual([ids[0]])
  await server.restart()
  expect(await alice.sendText(roomId, 'once', 'txn')).toBe(ids[0])
})

test('P2: a transaction id belongs to a device and a path', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const phone = await alice.loginAgain()
  const roomId = await alice.createRoom()
  const otherRoom = await alice.createRoom()
  const first = await alice.sendText(roomId, 'one', 'txn')
  expect(await phone.sendText(roomId, 'two', 'txn')).not.toBe(first)
  expect(await alice.sendText(otherRoom, 'three', 'txn')).not.toBe(first)
  expect(await alice.send(roomId, 'org.example.other', {}, 'txn')).not.toBe(first)
  expect(await alice.sendText(roomId, 'one', 'txn')).toBe(first)
})

test('P2: a redaction sent many times at once is one redaction', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const eventId = await alice.sendText(roomId, 'regretted')
  const ids = await Promise.all(Array.from({ length: PARALLEL }, () => alice.redact(roomId, eventId, 'txn')))
  expect(new Set(ids).size).toBe(1)
  expect(await eventIds(alice, roomId, 'm.room.redaction')).toEqual([ids[0]])
})

test('P5: a message to a device that is sent many times at once arrives once, also after a restart', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const send = (): Promise<unknown> =>
    alice.put('/_matrix/client/v3/sendToDevice/org.example.hello/txn', {
      messages: { [bob.userId]: { [bob.deviceId]: { hello: 'bob' } } },
    })
  await Promise.all(Array.from({ length: PARALLEL }, send))
  await server.restart()
  await send()
  const first = await bob.sync()
  expect(first.to_device?.events).toHaveLength(1)
  // Until the client has come back with the token, it may not have got the answer.
  expect((await bob.sync()).to_device?.events).toHaveLength(1)
  const second = await bob.sync({ since: first.next_batch })
  expect(second.to_device?.events ?? []).toEqual([])
  expect((await bob.sync({ since: first.next_batch })).to_device?.events ?? []).toEqual([])
})

test('P1: the same state sent again makes no second event', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const first = await alice.sendState(roomId, 'm.room.topic', '', { topic: 'the same' })
  const second = await alice.put<{ event_id: string }>(roomPath(roomId, 'state', 'm.room.topic'), { topic: 'the same' })
  expect(second.event_id).toBe(first)
})
