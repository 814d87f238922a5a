import { expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

test('a message is sent, read back, and redacted', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Hall' })
  const bob = await server.register('bob')
  expect(await bob.join(roomId)).toBe(roomId)
  expect(await bob.join(roomId)).toBe(roomId)
  const eventId = await bob.sendText(roomId, 'hello')
  expect(await alice.get(roomPath(roomId, 'event', eventId))).toMatchObject({ sender: bob.userId, content: { body: 'hello' } })
  expect(await alice.getState(roomId, 'm.room.name')).toEqual({ name: 'Hall' })
  const redaction = await alice.redact(roomId, eventId, 'r1')
  expect(await alice.redact(roomId, eventId, 'r1')).toBe(redaction)
  expect(await alice.get(roomPath(roomId, 'event', eventId))).toMatchObject({
    content: {},
    unsigned: { redacted_because: { event_id: redaction } },
  })
  expect(await bob.get('/_matrix/client/v3/joined_rooms')).toEqual({ joined_rooms: [roomId] })
})

test('twenty parallel sends with one transaction id make one event', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const ids = await Promise.all(Array.from({ length: 20 }, () => alice.sendText(roomId, 'once', 'txn')))
  expect(new Set(ids).size).toBe(1)
  const again = await alice.loginAgain()
  expect(await again.sendText(roomId, 'once', 'txn')).not.toBe(ids[0])
  await server.restart()
  expect(await alice.sendText(roomId, 'once', 'txn')).toBe(ids[0])
  const { chunk } = await alice.messages(roomId)
  expect(chunk.filter((event) => event.type === 'm.room.message')).toHaveLength(2)
})

test('parallel sends of many members come into one order, each once', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  const members = await Promise.all(['bob', 'carol', 'dan'].map((name) => server.register(name)))
  await Promise.all(members.map((member) => member.join(roomId)))
  const sent = await Promise.all(
    [alice, ...members].flatMap((member) => Array.from({ length: 15 }, (_, n) => member.sendText(roomId, `${n}`))),
  )
  expect(new Set(sent).size).toBe(60)
  const { chunk } = await alice.messages(roomId, { limit: 100 })
  expect(new Set(chunk.filter((event) => event.type === 'm.room.message').map((event) => event.event_id))).toEqual(new Set(sent))
})
