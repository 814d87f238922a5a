import { describe, expect, it } from 'vitest'
import type { UserId } from '../../src/protocol/ids.ts'
import { PushWorld } from '../kit/push-world.ts'

interface Page {
  readonly notifications: readonly {
    room_id: string
    read: boolean
    ts: number
    actions: readonly unknown[]
    event: { event_id: string; content: { body: string } }
  }[]
  readonly next_token?: string
}

async function list(
  world: PushWorld,
  userId: UserId,
  page: { from?: string | undefined; limit?: number; onlyHighlights?: boolean } = {},
): Promise<Page> {
  const text = await world.push.notifications.list(
    { userId, transactionDevice: 'D' },
    {
      from: page.from,
      limit: page.limit,
      onlyHighlights: page.onlyHighlights ?? false,
    },
  )
  return JSON.parse(text) as Page
}

describe('notifications', () => {
  it('list what the user was notified of since he joined, newest first, in pages', async () => {
    await using world = await PushWorld.start()
    const [alice, bob] = [world.userId('alice'), world.userId('bob')]
    const [roomA, roomB] = [await world.createRoom(alice), await world.createRoom(alice)]
    const say = (roomId: typeof roomA, body: string, extra = {}): Promise<unknown> =>
      world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body, ...extra })
    await say(roomA, 'before he came')
    await world.setMembership(roomA, bob, 'join')
    await world.setMembership(roomB, bob, 'join')
    await say(roomA, 'one')
    await say(roomB, 'two: bob')
    await say(roomB, 'a notice', { msgtype: 'm.notice' })
    await say(roomB, 'three: @room', { 'm.mentions': { room: true } })
    await world.send(roomA, bob, 'm.room.message', { msgtype: 'm.text', body: 'my own' })
    await say(roomA, 'four')

    const bodies = (page: Page): string[] => page.notifications.map(({ event }) => event.content.body)
    const first = await list(world, bob, { limit: 3 })
    expect(bodies(first)).toEqual(['four', 'three: @room', 'two: bob'])
    expect(first.notifications.map(({ read }) => read)).toEqual([false, false, false])
    expect(first.notifications[1]?.actions).toEqual(['notify', { set_tweak: 'highlight' }])
    const second = await list(world, bob, { limit: 3, from: first.next_token })
    expect(bodies(second)).toEqual(['one'])
    // He wrote in the room after that.
    expect(second.notifications[0]?.read).toBe(true)
    expect(second.next_token).toBeUndefined()
    expect(bodies(await list(world, bob, { onlyHighlights: true }))).toEqual(['three: @room', 'two: bob'])
    expect(bodies(await list(world, alice))).toEqual(['my own'])
  })

  it('refuse a token that is not theirs', async () => {
    await using world = await PushWorld.start()
    await expect(list(world, world.userId('alice'), { from: 'x' })).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
  })
})
