import { expect, test } from 'vitest'
import type { TestClient } from '../../kit/client.ts'
import { SyncFollower } from '../../kit/sync-follower.ts'
import { TestServer } from '../../kit/test-server.ts'

const SENDERS = 4
const SENDS_EACH = 40
const ROOMS = 2

async function allMessages(client: TestClient, roomId: string): Promise<string[]> {
  const found: string[] = []
  let from: string | undefined
  for (;;) {
    const page = await client.messages(roomId, { dir: 'f', limit: 30, from })
    found.push(...page.chunk.filter((event) => event.type === 'm.room.message').map((event) => event.event_id))
    if (page.end === undefined) return found
    from = page.end
  }
}

test(
  'P3, P4: while many send, all who follow see every message once and in the order of /messages',
  { timeout: 60_000 },
  async () => {
    await using server = await TestServer.start()
    const users = await Promise.all(Array.from({ length: SENDERS }, (_, index) => server.register(`user${index}`)))
    const [creator] = users
    if (creator === undefined) throw new Error('there are no users')
    const rooms: string[] = []
    for (let index = 0; index < ROOMS; index += 1) {
      const roomId = await creator.createRoom({ preset: 'public_chat' })
      for (const user of users.slice(1)) await user.join(roomId)
      rooms.push(roomId)
    }
    const followers = await Promise.all(users.map((user) => SyncFollower.start(user)))
    await Promise.all(
      users.map(async (user) => {
        for (let index = 0; index < SENDS_EACH; index += 1) {
          await Promise.all(rooms.map((roomId) => user.sendText(roomId, `message ${index} of ${user.userId}`)))
        }
      }),
    )
    for (const roomId of rooms) {
      const expected = await allMessages(creator, roomId)
      expect(expected).toHaveLength(SENDERS * SENDS_EACH)
      for (const follower of followers) {
        await follower.waitUntil(() => (follower.events.get(roomId)?.length ?? 0) >= expected.length)
        expect(follower.events.get(roomId)).toEqual(expected)
      }
    }
    await Promise.all(followers.map((follower) => follower.stop()))
  },
)

test('P4: an old token still leads to everything since, after a restart', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const { next_batch: since } = await alice.sync()
  const ids: string[] = []
  for (let index = 0; index < 5; index += 1) ids.push(await alice.sendText(roomId, `message ${index}`))
  await server.restart()
  const timeline = (await alice.sync({ since })).rooms?.join?.[roomId]?.timeline
  expect(timeline?.limited ?? false).toBe(false)
  expect(timeline?.events.map((event) => event.event_id)).toEqual(ids)
})
