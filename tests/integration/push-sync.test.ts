import { expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

interface JoinedRoom {
  unread_notifications?: { notification_count: number; highlight_count: number }
  unread_thread_notifications?: Record<string, { notification_count: number; highlight_count: number }>
}

const THREADS = JSON.stringify({ room: { timeline: { unread_thread_notifications: true } } })

async function counts(client: TestClient, roomId: string, query: Record<string, string> = {}): Promise<JoinedRoom> {
  const sync = await client.request<{ rooms?: { join?: Record<string, JoinedRoom> } }>('GET', '/_matrix/client/v3/sync', {
    query,
  })
  const room = sync.rooms?.join?.[roomId]
  return { ...pick(room, 'unread_notifications'), ...pick(room, 'unread_thread_notifications') }
}

function pick(room: JoinedRoom | undefined, key: keyof JoinedRoom): Partial<JoinedRoom> {
  return room?.[key] === undefined ? {} : { [key]: room[key] }
}

test('/sync counts what is unread, in threads and out of them, as receipts of each kind move on', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  const say = (body: string, relation?: { rel_type: string; event_id: string }): Promise<string> =>
    alice.send(roomId, 'm.room.message', { msgtype: 'm.text', body, ...(relation && { 'm.relates_to': relation }) })
  const read = (eventId: string, threadId?: string): Promise<unknown> =>
    bob.post(
      `/_matrix/client/v3/rooms/${roomId}/receipt/m.read/${eventId}`,
      threadId === undefined ? {} : { thread_id: threadId },
    )
  const root = await say('hello')
  const inThread = { rel_type: 'm.thread', event_id: root }
  const second = await say('thread', inThread)
  await say(`in the thread, ${bob.userId}`, inThread)
  const fourth = await say(`in the room, ${bob.userId}`)
  await say('end of thread', inThread)
  const reference = await say('reference', { rel_type: 'm.reference', event_id: root })

  const check = async (all: [number, number], main: [number, number], thread: [number, number]): Promise<void> => {
    const asCount = ([notifications, highlights]: [number, number]): { notification_count: number; highlight_count: number } => ({
      notification_count: notifications,
      highlight_count: highlights,
    })
    expect(await counts(bob, roomId)).toEqual({ unread_notifications: asCount(all) })
    expect(await counts(bob, roomId, { filter: THREADS })).toEqual({
      unread_notifications: asCount(main),
      ...(thread[0] === 0 ? {} : { unread_thread_notifications: { [root]: asCount(thread) } }),
    })
  }
  await check([6, 2], [3, 1], [3, 1])
  await read(root, 'main')
  await check([5, 2], [2, 1], [3, 1])
  await read(second, root)
  await check([4, 2], [2, 1], [2, 1])
  await read(fourth)
  await check([2, 0], [1, 0], [1, 0])
  await read(reference, root)
  await check([1, 0], [1, 0], [0, 0])
  await bob.send(roomId, 'm.room.message', { msgtype: 'm.text', body: 'seen' })
  await check([0, 0], [0, 0], [0, 0])
})
