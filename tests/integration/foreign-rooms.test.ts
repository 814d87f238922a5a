import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { stateSlotKey } from '../../src/protocol/events/event.ts'
import { parseRoomId, parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import type { EventId } from '../../src/protocol/ids.ts'
import { getRoomVersion } from '../../src/protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../src/protocol/room-versions/room-version.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import type { ForeignEvent } from '../../src/services/events/foreign-events.ts'
import { Database } from '../../src/storage/database.ts'
import { getBackwardExtremities } from '../../src/storage/tables/event-graph.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { systemRandom } from '../../src/util/random.ts'
import { startEventProcess } from '../kit/event-process.ts'
import { ForeignAuthor } from '../kit/foreign-author.ts'
import { NaiveResolver } from '../kit/naive-state-resolution.ts'
import { BOB, CAROL, membership, TestDag } from '../kit/random-dag.ts'
import { readCurrentState, readExtremities, readStateBefore } from '../kit/stored-state.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'
import { TestServer } from '../kit/test-server.ts'

const signingKey = generateSigningKey(systemRandom)
const alice = parseUserId('@alice:hs')

describe('Rooms of other servers', () => {
  let options: DatabaseOptions
  let reader: Database

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `rooms_${randomBytes(6).toString('hex')}`)
    reader = new Database({ ...options, max: 4 }, { onError: () => {} })
  })

  afterAll(async () => {
    await reader.close()
    await dropTestDatabase(options, options.database)
  })

  function newDag(versionId: string): {
    dag: TestDag
    eventOf(eventId: EventId): ForeignEvent
    importOf(join: EventId): Parameters<ReturnType<typeof startEventProcess>['persister']['importRoom']>[0]
  } {
    const version = getRoomVersion(versionId) as RoomVersion
    const dag: TestDag = new TestDag(
      version,
      (states) => new NaiveResolver(version, dag.events).resolve(states),
      randomBytes(6).toString('hex'),
    )
    const eventOf = (eventId: EventId): ForeignEvent => {
      const event = dag.events.get(eventId)
      if (!event) throw new Error(`${eventId} is not in the graph`)
      return { event, json: JSON.stringify(event.pdu) }
    }
    return {
      dag,
      eventOf,
      importOf(join) {
        const state = dag.stateAfter(eventOf(join).event.prevEventIds)
        const chain = new Set<EventId>()
        const stack = [...state.values()]
        for (let eventId = stack.pop(); eventId !== undefined; eventId = stack.pop()) {
          if (chain.has(eventId)) continue
          chain.add(eventId)
          stack.push(...eventOf(eventId).event.authEventIds)
        }
        return {
          roomId: dag.roomId,
          roomVersion: version.id,
          stateEvents: [...state.values()].map(eventOf),
          // As peers send them: in no order.
          authChain: [...chain].map(eventOf).toReversed(),
          join: eventOf(join),
        }
      },
    }
  }

  it.each(['1', '10', '12'])('of version %s are taken over with a join, left, and joined again', async (versionId) => {
    const process = startEventProcess(options, { serverName: parseServerName('hs'), signingKey })
    try {
      const { dag, importOf } = newDag(versionId)
      const join = dag.append([dag.start()], membership(alice, alice, 'join'))
      expect(await process.persister.importRoom(importOf(join))).toBe('accepted')
      expect(await readCurrentState(reader, dag.roomId)).toEqual(new Map(dag.states.get(join)))
      expect(await readStateBefore(reader, join)).toEqual(new Map(dag.stateAfter(dag.events.get(join)?.prevEventIds ?? [])))
      expect(await readExtremities(reader, dag.roomId)).toEqual([join])
      const members = () =>
        reader.query<{ user_id: string; membership: string }>(
          'test_members',
          'SELECT user_id, membership FROM memberships JOIN rooms USING (room_nid) WHERE room_id = $1 ORDER BY user_id',
          [dag.roomId],
        )
      expect((await members()).filter((row) => row.membership === 'join').length).toBe(4)
      expect(await process.persister.importRoom(importOf(join))).toBe('known')

      const { roomId } = dag
      await process.persister.append({
        roomId,
        intents: [{ type: 'm.room.member', stateKey: alice, sender: alice, content: { membership: 'leave' } }],
      })
      // What happened while nobody of us was there.
      const left = dag.append([join], membership(CAROL, CAROL, 'leave'))
      const topic = dag.append([left], { type: 'm.room.topic', sender: BOB, stateKey: '', content: { topic: 'later' } })
      const again = dag.append([topic], membership(alice, alice, 'join'))
      expect(await process.persister.importRoom(importOf(again))).toBe('accepted')
      expect(await readCurrentState(reader, roomId)).toEqual(new Map(dag.states.get(again)))
      expect(await readExtremities(reader, roomId)).toEqual([again])
      expect(await members()).toContainEqual({ user_id: alice, membership: 'join' })
      expect(await members()).toContainEqual({ user_id: CAROL, membership: 'leave' })
      const [head] = await reader.query(
        'test_counts',
        'SELECT joined_count FROM room_head JOIN rooms USING (room_nid) WHERE room_id = $1',
        [roomId],
      )
      expect(head).toEqual({ joined_count: 3 })

      expect(await getBackwardExtremities(reader, roomId, 10)).toMatchObject([
        { eventId: again, prevIds: [topic] },
        { eventId: join, prevIds: dag.events.get(join)?.prevEventIds },
      ])
      // History between our leave and the second join fills the gap, before it and told to nobody.
      const heard: string[] = []
      process.hub.onRow('events', (row) => heard.push(row.eventId))
      const state = [...dag.stateAfter([join]).values()]
      const { eventOf } = newDagReader(dag)
      const history = [{ ...eventOf(left), stateBefore: state }, eventOf(topic)]
      expect(await process.persister.appendHistory({ roomId, before: again, events: history })).toEqual(['accepted', 'accepted'])
      expect(heard).toEqual([])
      expect(await readCurrentState(reader, roomId)).toEqual(new Map(dag.states.get(again)))
      expect(await readStateBefore(reader, topic)).toEqual(new Map(dag.stateAfter([left])))
      const order = await reader.query<{ event_id: string }>(
        'test_order',
        'SELECT event_id FROM events JOIN rooms USING (room_nid) WHERE room_id = $1 AND position IS NOT NULL ORDER BY position, ordinal',
        [roomId],
      )
      expect(order.map((row) => row.event_id).slice(-3)).toEqual([left, topic, again])
      expect(await reader.query('test_gaps', 'SELECT prev_id FROM missing_prev_events WHERE prev_id = $1', [topic])).toEqual([])
    } finally {
      await process.stop()
    }
  })

  function newDagReader(dag: TestDag): { eventOf(eventId: EventId): ForeignEvent } {
    return {
      eventOf(eventId) {
        const event = dag.events.get(eventId)
        if (!event) throw new Error(`${eventId} is not in the graph`)
        return { event, json: JSON.stringify(event.pdu) }
      },
    }
  }
})

interface SyncBody {
  next_batch: string
  rooms?: {
    join?: Record<
      string,
      {
        state: { events: StateEvent[] }
        timeline: { events: StateEvent[]; prev_batch: string }
        summary: Record<string, unknown>
      }
    >
  }
}
interface StateEvent {
  type: string
  state_key?: string
  event_id: string
  content: Record<string, unknown>
}

describe('/messages of a room that was taken over', () => {
  it('goes on into the history from before the join, page by page, both ways', async () => {
    await using server = await TestServer.start()
    const user = await server.register('alice')
    const process = startEventProcess(server.databaseOptions, { serverName: parseServerName(server.serverName), signingKey })
    try {
      const version = getRoomVersion('10') as RoomVersion
      const dag: TestDag = new TestDag(version, (states) => new NaiveResolver(version, dag.events).resolve(states))
      const eventOf = (eventId: EventId): ForeignEvent => {
        const event = dag.events.get(eventId)
        if (!event) throw new Error(`${eventId} is not in the graph`)
        return { event, json: JSON.stringify(event.pdu) }
      }
      const start = dag.start()
      const hidden = dag.append([start], {
        type: 'm.room.history_visibility',
        sender: BOB,
        stateKey: '',
        content: { history_visibility: 'joined' },
      })
      const secret = dag.append([hidden], { type: 'm.room.topic', sender: BOB, stateKey: '', content: { topic: 'secret' } })
      const shared = dag.append([secret], {
        type: 'm.room.history_visibility',
        sender: BOB,
        stateKey: '',
        content: { history_visibility: 'shared' },
      })
      const joiner = parseUserId(user.userId)
      const join = dag.append([shared], membership(joiner, joiner, 'join'))
      const { roomId, roomVersion } = dag
      const stateEvents = [...dag.stateAfter([shared]).values()].map(eventOf)
      const result = await process.persister.importRoom({
        roomId,
        roomVersion: roomVersion.id,
        stateEvents,
        authChain: dag.order.slice(0, -1).map(eventOf),
        join: eventOf(join),
      })
      expect(result).toBe('accepted')
      const events = dag.order.slice(0, -1).map(eventOf)
      expect(await process.persister.appendHistory({ roomId, before: join, events })).toEqual(events.map(() => 'accepted'))
      // The server learns of the other process's commits with its own next one.
      await user.post('/_matrix/client/v3/createRoom', {})
      const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages`
      const readAll = async (dir: 'b' | 'f', from: string): Promise<string[]> => {
        const found: string[] = []
        for (let token: string | undefined = from; token !== undefined;) {
          const page: { chunk: { event_id: string }[]; end?: string } = await user.get(`${path}?dir=${dir}&limit=2${token}`)
          found.push(...page.chunk.map((event) => event.event_id))
          token = page.end === undefined ? undefined : `&from=${page.end}`
        }
        return found
      }
      const expected = dag.order.filter((eventId) => eventId !== secret)
      expect(await readAll('b', '')).toEqual(expected.toReversed())
      expect(await readAll('f', '')).toEqual(expected)
      const synced = await user.get<SyncBody>('/_matrix/client/v3/sync')
      const room = synced.rooms?.join?.[roomId]
      expect(room?.timeline.events.map((event) => event.event_id)).toEqual([join])
      expect(await readAll('b', `&from=${room?.timeline.prev_batch}`)).toEqual(expected.slice(0, -1).toReversed())
      expect(room?.state.events.map((event) => event.event_id).toSorted()).toEqual(
        [...dag.stateAfter([shared]).values()].toSorted(),
      )
    } finally {
      await process.stop()
    }
  })
})

describe('/sync of a forked room', () => {
  it('tells in `state` what a resolution changed although no event of the timeline says so', async () => {
    await using server = await TestServer.start()
    const user = await server.register('alice')
    const reader = new Database({ ...server.databaseOptions, max: 2 }, { onError: () => {} })
    const process = startEventProcess(server.databaseOptions, { serverName: parseServerName(server.serverName), signingKey })
    try {
      const zoeId = '@zoe:b.org'
      const created = await user.post<{ room_id: string }>('/_matrix/client/v3/createRoom', {
        room_version: '11',
        preset: 'public_chat',
        power_level_content_override: { users: { [user.userId]: 50, [zoeId]: 100 }, state_default: 50, events: {} },
      })
      const roomId = parseRoomId(created.room_id)
      const zoe = new ForeignAuthor(reader, roomId, zoeId)
      expect(await process.persister.appendForeign({ roomId, events: [await zoe.join()] })).toEqual(['accepted'])
      const first = await zoe.write({ type: 'm.room.topic', stateKey: '', content: { topic: 'first' } })
      expect(await process.persister.appendForeign({ roomId, events: [first] })).toEqual(['accepted'])
      await user.put(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/1`, {
        msgtype: 'm.text',
        body: 'x',
      })
      const before = await user.get<SyncBody>('/_matrix/client/v3/sync')
      const levels = await zoe.write({
        type: 'm.room.power_levels',
        stateKey: '',
        content: { users: { [user.userId]: 0, [zoeId]: 100 }, state_default: 50 },
      })
      await user.put(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.topic`, { topic: 'ours' })
      expect(await process.persister.appendForeign({ roomId, events: [levels] })).toEqual(['accepted'])
      await user.put(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/2`, {
        msgtype: 'm.text',
        body: 'y',
      })
      const state = await readCurrentState(reader, roomId)
      const after = await user.get<SyncBody>(`/_matrix/client/v3/sync?since=${encodeURIComponent(before.next_batch)}`)
      const room = after.rooms?.join?.[roomId]
      expect(room?.timeline.events.map((event) => event.type)).toEqual(['m.room.topic', 'm.room.power_levels', 'm.room.message'])
      const told = room?.state.events.find((event) => event.type === 'm.room.topic')
      expect(told).toMatchObject({ content: { topic: 'first' }, event_id: first.event.eventId })
      expect(state.get(stateSlotKey('m.room.topic', ''))).toBe(first.event.eventId)
      const topic = await user.get<{ topic: string }>(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.topic`)
      expect(topic.topic).toBe('first')
    } finally {
      await process.stop()
      await reader.close()
    }
  })
})
