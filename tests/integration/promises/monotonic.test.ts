import { expect, test } from 'vitest'
import { roomPath } from '../../kit/client.ts'
import type { TestClient } from '../../kit/client.ts'
import { TestServer } from '../../kit/test-server.ts'

async function receiptOf(reader: TestClient, userId: string, roomId: string): Promise<string | undefined> {
  const { rooms } = await reader.sync()
  const events = rooms?.join?.[roomId]?.ephemeral?.events.filter((event) => event.type === 'm.receipt') ?? []
  for (const event of events) {
    for (const [eventId, byType] of Object.entries(event.content)) {
      const read = (byType as { 'm.read'?: Record<string, unknown> })['m.read']
      if (read !== undefined && userId in read) return eventId
    }
  }
  return undefined
}

test('P9: a read receipt never goes back to an older event, in whatever order receipts come', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  const ids: string[] = []
  for (let index = 0; index < 8; index += 1) ids.push(await alice.sendText(roomId, `message ${index}`))
  await Promise.all(ids.toReversed().map((eventId) => bob.post(roomPath(roomId, 'receipt', 'm.read', eventId))))
  expect(await receiptOf(alice, bob.userId, roomId)).toBe(ids.at(-1))
  await bob.post(roomPath(roomId, 'receipt', 'm.read', ids[0] ?? ''))
  expect(await receiptOf(alice, bob.userId, roomId)).toBe(ids.at(-1))
})

test('P9: the last account data wins, and a logged-out token is dead at once', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const path = `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/account_data/org.example.n`
  for (let n = 1; n <= 20; n += 1) await alice.put(path, { n })
  expect(await alice.get(path)).toEqual({ n: 20 })
  const phone = await alice.loginAgain()
  await phone.get('/_matrix/client/v3/account/whoami')
  const parked = phone.request('GET', '/_matrix/client/v3/sync', {
    query: { since: (await phone.sync()).next_batch, timeout: 20_000 },
    expect: [200, 401],
  })
  await alice.post('/_matrix/client/v3/logout/all')
  await phone.fails(401, 'M_UNKNOWN_TOKEN', 'GET', '/_matrix/client/v3/account/whoami')
  await alice.fails(401, 'M_UNKNOWN_TOKEN', 'GET', '/_matrix/client/v3/sync')
  await parked
})
