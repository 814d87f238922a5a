import { describe, expect, it } from 'vitest'
import { parseRoomId, parseServerName } from '../../src/protocol/ids.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { Database } from '../../src/storage/database.ts'
import { systemRandom } from '../../src/util/random.ts'
import { startEventProcess } from '../kit/event-process.ts'
import { ForeignAuthor } from '../kit/foreign-author.ts'
import { allRooms, SlidingClient, stateSlots } from '../kit/sliding-sync.ts'
import type { SlidingRoom } from '../kit/sliding-sync.ts'
import { TestServer } from '../kit/test-server.ts'

const ZOE = '@zoe:b.org'

describe('sliding sync of a forked room', () => {
  /** Alice sets a topic while Zoe, elsewhere, takes her the right to: the topic of before holds again, or none. */
  async function resetTopic(options: { readonly hasTopicBefore: boolean }): Promise<SlidingRoom | undefined> {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const reader = new Database({ ...server.databaseOptions, max: 2 }, { onError: () => {} })
    const serverName = parseServerName(server.serverName)
    const process = startEventProcess(server.databaseOptions, { serverName, signingKey: generateSigningKey(systemRandom) })
    try {
      const roomId = parseRoomId(
        await alice.createRoom({
          room_version: '11',
          preset: 'public_chat',
          power_level_content_override: { users: { [alice.userId]: 50, [ZOE]: 100 }, state_default: 50, events: {} },
        }),
      )
      const zoe = new ForeignAuthor(reader, roomId, ZOE)
      await process.persister.appendForeign({ roomId, events: [await zoe.join()] })
      if (options.hasTopicBefore) {
        const first = await zoe.write({ type: 'm.room.topic', stateKey: '', content: { topic: 'first' } })
        await process.persister.appendForeign({ roomId, events: [first] })
      }
      await alice.sendText(roomId, 'x')
      const connection = new SlidingClient(alice, { lists: { all: allRooms(10, [['m.room.topic', '']]) } })
      const levels = await zoe.write({
        type: 'm.room.power_levels',
        stateKey: '',
        content: { users: { [alice.userId]: 0, [ZOE]: 100 }, state_default: 50 },
      })
      await alice.sendState(roomId, 'm.room.topic', '', { topic: 'ours' })
      const before = (await connection.next()).rooms[roomId]
      expect(before?.required_state?.map((event) => event.content['topic'])).toEqual(['ours'])
      expect(await process.persister.appendForeign({ roomId, events: [levels] })).toEqual(['accepted'])
      await alice.sendText(roomId, 'y')
      return (await connection.next()).rooms[roomId]
    } finally {
      await process.stop()
      await reader.close()
    }
  }

  it('tells the state that holds again, although no event of the timeline says so', async () => {
    const room = await resetTopic({ hasTopicBefore: true })
    expect(room).not.toHaveProperty('initial')
    expect(room?.timeline?.map((event) => event.type)).toEqual(['m.room.power_levels', 'm.room.message'])
    expect(room?.required_state?.map((event) => event.content['topic'])).toEqual(['first'])
  })

  it('tells a room from the beginning where state is gone that the client was told', async () => {
    const room = await resetTopic({ hasTopicBefore: false })
    expect(room?.initial).toBe(true)
    expect(stateSlots(room)).toEqual([])
    expect(room?.timeline?.map((event) => event.type)).toContain('m.room.create')
  })
})
