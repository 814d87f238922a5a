import { describe, expect, it, vi } from 'vitest'
import { parsePushRule } from '../../src/protocol/push-rules/ruleset.ts'
import { PushWorld } from '../kit/push-world.ts'

describe('unread counts', () => {
  it('cost no query when a plain message arrives, nor when its newest message is read', async () => {
    await using world = await PushWorld.start()
    const [alice, bob] = [world.userId('alice'), world.userId('bob')]
    const roomId = await world.createRoom(alice)
    await world.setMembership(roomId, bob, 'join')
    const count = async (): Promise<number | undefined> =>
      (await world.push.unreadCounts.getForRooms({ userId: bob, roomIds: [roomId] })).get(roomId)?.notificationCount
    // The first message after a join has the new member's rules read.
    await world.send(roomId, alice, 'm.sticker', { body: 'hi' })
    expect(await count()).toBe(0)
    const query = vi.spyOn(world.core.database, 'query')
    const eventId = await world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body: 'hi' })
    expect(await count()).toBe(1)
    await world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body: 'hi bob' })
    const newest = await world.send(roomId, alice, 'm.reaction', {
      'm.relates_to': { rel_type: 'm.annotation', event_id: eventId, key: 'x' },
    })
    expect(await count()).toBe(2)
    expect(query).not.toHaveBeenCalled()
    await world.push.receipts.write({ userId: bob, roomId, eventId: newest, receiptType: 'm.read' })
    query.mockClear()
    expect(await count()).toBe(0)
    expect(query).not.toHaveBeenCalled()
  })

  it('write nothing for the members of a room, whatever rules they have, when a plain message is sent', async () => {
    await using world = await PushWorld.start()
    const alice = world.userId('alice')
    const roomId = await world.createRoom(alice)
    const members = Array.from({ length: 30 }, (_, index) => world.userId(`member${index}`))
    for (const [index, userId] of members.entries()) {
      const rule = parsePushRule('room', roomId, { actions: [] })
      if (index % 2 === 0) await world.push.pushRules.put(userId, 'room', rule, { before: undefined, after: undefined })
      await world.setMembership(roomId, userId, 'join', 'Same Name')
    }
    await world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body: 'hello everybody' })
    expect(await countActions(world)).toBe(0)
    await world.send(roomId, alice, 'm.room.message', {
      msgtype: 'm.text',
      body: 'hello',
      'm.mentions': { user_ids: [members[0] ?? '', members[1] ?? ''] },
    })
    expect(await countActions(world)).toBe(2)
    const counts = await Promise.all(
      members
        .slice(0, 3)
        .map(async (userId) => (await world.push.unreadCounts.getForRooms({ userId, roomIds: [roomId] })).get(roomId)),
    )
    expect(counts).toMatchObject([
      { notificationCount: 1, highlightCount: 1 },
      { notificationCount: 2, highlightCount: 1 },
      { notificationCount: 0, highlightCount: 0 },
    ])
  })

  it('are right when they are read while messages and receipts arrive', async () => {
    await using world = await PushWorld.start()
    const [alice, bob] = [world.userId('alice'), world.userId('bob')]
    const roomId = await world.createRoom(alice)
    await world.setMembership(roomId, bob, 'join')
    const { unreadCounts, receipts } = world.push
    for (let round = 0; round < 20; round++) {
      const sends = [1, 2, 3].map((index) =>
        world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body: index === 3 ? 'bob' : 'hi' }),
      )
      const looks = [1, 2, 3].map(() => unreadCounts.getForRooms({ userId: bob, roomIds: [roomId] }))
      const [first] = await Promise.all(sends)
      const receipt =
        round % 3 === 0 && first ? receipts.write({ userId: bob, roomId, eventId: first, receiptType: 'm.read' }) : undefined
      await Promise.all([...looks, receipt])
    }
    const warm = await unreadCounts.getForRooms({ userId: bob, roomIds: [roomId] })
    expect(warm).toEqual(await world.coldCounts().getForRooms({ userId: bob, roomIds: [roomId] }))
    expect(warm.get(roomId)?.notificationCount).toBeGreaterThan(0)
  })

  it('of a muted room come back with the rule gone', async () => {
    await using world = await PushWorld.start()
    const [alice, bob] = [world.userId('alice'), world.userId('bob')]
    const roomId = await world.createRoom(alice)
    await world.setMembership(roomId, bob, 'join')
    await world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body: 'hello' })
    const count = async (): Promise<number | undefined> =>
      (await world.push.unreadCounts.getForRooms({ userId: bob, roomIds: [roomId] })).get(roomId)?.notificationCount
    expect(await count()).toBe(1)
    await world.push.pushRules.put(bob, 'room', parsePushRule('room', roomId, { actions: [] }), {
      before: undefined,
      after: undefined,
    })
    expect(await count()).toBe(0)
    await world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body: 'hello' })
    expect(await count()).toBe(0)
    await world.push.pushRules.delete({ userId: bob, kind: 'room', ruleId: roomId })
    expect(await count()).toBe(2)
  })
})

async function countActions(world: PushWorld): Promise<number | undefined> {
  const [row] = await world.core.database.query<{ count: number }>(
    'test_count_actions',
    'SELECT count(*) AS count FROM event_push_actions WHERE kind = 0',
  )
  return row?.count
}
