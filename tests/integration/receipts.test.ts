import { describe, expect, it } from 'vitest'
import type { EventId, RoomId, UserId } from '../../src/protocol/ids.ts'
import type { StreamPosition } from '../../src/streams/streams.ts'
import { PushWorld } from '../kit/push-world.ts'

const START = 0 as StreamPosition

interface Scene {
  readonly alice: UserId
  readonly bob: UserId
  readonly roomId: RoomId
  /** Three messages of Alice's, oldest first. */
  readonly events: readonly [EventId, EventId, EventId]
}

async function prepare(world: PushWorld): Promise<Scene> {
  const [alice, bob] = [world.userId('alice'), world.userId('bob')]
  const roomId = await world.createRoom(alice)
  await world.setMembership(roomId, bob, 'join')
  const send = (body: string): Promise<EventId> => world.send(roomId, alice, 'm.room.message', { msgtype: 'm.text', body })
  return { alice, bob, roomId, events: [await send('a'), await send('b'), await send('c')] }
}

async function readAll(world: PushWorld, viewer: UserId, roomId: RoomId): Promise<unknown> {
  const content = (await world.push.receipts.getForRooms([roomId], viewer)).get(roomId)
  return content === undefined ? undefined : JSON.parse(content)
}

describe('receipts', () => {
  it('never go back to an older event', async () => {
    await using world = await PushWorld.start()
    const { bob, roomId, events } = await prepare(world)
    const write = (eventId: EventId): Promise<void> =>
      world.push.receipts.write({ userId: bob, roomId, eventId, receiptType: 'm.read' })
    await write(events[1])
    await write(events[0])
    expect(await readAll(world, bob, roomId)).toEqual({
      [events[1]]: { 'm.read': { [bob]: { ts: expect.any(Number) as number } } },
    })
    await Promise.all([write(events[2]), write(events[0]), write(events[1])])
    expect(await readAll(world, bob, roomId)).toEqual({
      [events[2]]: { 'm.read': { [bob]: { ts: expect.any(Number) as number } } },
    })
  })

  it('that are private are shown to nobody else, and those of ignored users to nobody who asks so', async () => {
    await using world = await PushWorld.start()
    const { alice, bob, roomId, events } = await prepare(world)
    await world.push.receipts.write({ userId: bob, roomId, eventId: events[1], receiptType: 'm.read.private' })
    const { receipts } = world.push
    const upTo = world.core.hub.head('receipts')
    expect(await readAll(world, alice, roomId)).toBeUndefined()
    expect(await receipts.getChanged({ userId: alice, roomIds: [roomId], after: START, upTo })).toEqual(new Map())
    expect((await receipts.getChanged({ userId: bob, roomIds: [roomId], after: START, upTo })).size).toBe(1)
    await receipts.write({ userId: bob, roomId, eventId: events[1], receiptType: 'm.read' })
    expect((await receipts.getForRooms([roomId], alice, new Set([bob]))).size).toBe(0)
  })

  it('change for readers by position, from memory as from the database', async () => {
    await using world = await PushWorld.start()
    const { alice, bob, roomId, events } = await prepare(world)
    const { receipts } = world.push
    await receipts.write({ userId: bob, roomId, eventId: events[0], receiptType: 'm.read' })
    const first = world.core.hub.head('receipts')
    await receipts.write({ userId: bob, roomId, eventId: events[1], receiptType: 'm.read' })
    await receipts.write({ userId: alice, roomId, eventId: events[1], receiptType: 'm.read', threadId: 'main' })
    const upTo = world.core.hub.head('receipts')
    const expected = {
      [events[1]]: {
        'm.read': {
          [bob]: { ts: expect.any(Number) as number },
          [alice]: { ts: expect.any(Number) as number, thread_id: 'main' },
        },
      },
    }
    const read = async (world2: PushWorld): Promise<unknown> => {
      const found = await world2.push.receipts.getChanged({ userId: bob, roomIds: new Set([roomId]), after: first, upTo })
      return JSON.parse(found.get(roomId) ?? 'null')
    }
    expect(await read(world)).toEqual(expected)
    await using later = await world.again()
    expect(await read(later)).toEqual(expected)
    expect(await receipts.getChanged({ userId: bob, roomIds: [roomId], after: upTo, upTo })).toEqual(new Map())
  })

  it('of a thread must point at an event that belongs to it', async () => {
    await using world = await PushWorld.start()
    const {
      alice,
      bob,
      roomId,
      events: [root, other],
    } = await prepare(world)
    const relate = (type: string, relationType: string, target: EventId): Promise<EventId> =>
      world.send(roomId, alice, type, { body: 'x', 'm.relates_to': { rel_type: relationType, event_id: target } })
    const inThread = await relate('m.room.message', 'm.thread', root)
    const reaction = await relate('m.reaction', 'm.annotation', inThread)
    const write = (eventId: EventId, threadId: string): Promise<void> =>
      world.push.receipts.write({ userId: bob, roomId, eventId, receiptType: 'm.read', threadId })
    for (const [eventId, threadId] of [
      [inThread, 'main'],
      [reaction, 'main'],
      [other, root],
      [root, other],
    ] as const) {
      await expect(write(eventId, threadId)).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM', status: 400 })
    }
    for (const [eventId, threadId] of [
      [root, 'main'],
      [other, 'main'],
      [root, root],
      [inThread, root],
      [reaction, root],
    ] as const)
      await write(eventId, threadId)
    await expect(write('$unknown' as EventId, 'main')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  it('at one event, threaded and unthreaded, are shown as the unthreaded one', async () => {
    await using world = await PushWorld.start()
    const {
      bob,
      roomId,
      events: [event],
    } = await prepare(world)
    await world.push.receipts.write({ userId: bob, roomId, eventId: event, receiptType: 'm.read' })
    await world.push.receipts.write({ userId: bob, roomId, eventId: event, receiptType: 'm.read', threadId: 'main' })
    const expected = { [event]: { 'm.read': { [bob]: { ts: expect.any(Number) as number } } } }
    expect(await readAll(world, bob, roomId)).toEqual(expected)
    const changed = await world.push.receipts.getChanged({
      userId: bob,
      roomIds: [roomId],
      after: START,
      upTo: world.core.hub.head('receipts'),
    })
    expect(JSON.parse(changed.get(roomId) ?? 'null')).toEqual(expected)
  })

  it('are refused to who is not in the room', async () => {
    await using world = await PushWorld.start()
    const { roomId, events } = await prepare(world)
    const request = { userId: world.userId('eve'), roomId, eventId: events[0] }
    await expect(world.push.receipts.write({ ...request, receiptType: 'm.read' })).rejects.toMatchObject({
      errcode: 'M_FORBIDDEN',
    })
    await expect(world.push.receipts.setFullyRead(request)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })

  it('leave the fully-read marker to move forward only, also under rivals', async () => {
    await using world = await PushWorld.start()
    const { bob, roomId, events } = await prepare(world)
    const set = (eventId: EventId): Promise<void> => world.push.receipts.setFullyRead({ userId: bob, roomId, eventId })
    const marker = (): Promise<string | undefined> => world.accountData.getForRoom(bob, roomId, 'm.fully_read')
    await set(events[1])
    await set(events[0])
    expect(await marker()).toBe(JSON.stringify({ event_id: events[1] }))
    await Promise.all([set(events[2]), set(events[0]), set(events[1]), set(events[2])])
    expect(await marker()).toBe(JSON.stringify({ event_id: events[2] }))
    await expect(set('$unknown' as EventId)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })
})
