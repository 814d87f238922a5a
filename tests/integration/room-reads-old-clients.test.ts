import { expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const EVENTS = '/_matrix/client/v3/events'
interface Chunk {
  readonly start: string
  readonly end: string
  readonly chunk: readonly { event_id: string; room_id: string }[]
}
interface RoomInfo {
  readonly room_id: string
  readonly membership?: string
  readonly messages: { start: string; end: string; chunk: { event_id: string }[] }
  readonly state: { type: string }[]
  readonly visibility: string
}

test('initialSync shows all rooms, and /events goes on from its end', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const joined = await alice.createRoom({ preset: 'public_chat' })
  const before = await alice.sendText(joined, 'before')
  const left = await bob.createRoom({ preset: 'public_chat' })
  await alice.join(left)
  await alice.leave(left)
  const invited = await bob.createRoom({ invite: [alice.userId] })
  const snapshot = await alice.get<{ end: string; rooms: RoomInfo[] }>('/_matrix/client/v3/initialSync', {
    query: { limit: 2, archived: true },
  })
  expect(Object.fromEntries(snapshot.rooms.map((room) => [room.room_id, room.membership]))).toEqual({
    [joined]: 'join',
    [left]: 'leave',
    [invited]: 'invite',
  })
  const room = snapshot.rooms.find((one) => one.room_id === joined)
  expect(room?.messages.chunk.at(-1)?.event_id).toBe(before)
  expect(room?.state.some((event) => event.type === 'm.room.create')).toBe(true)
  const active = await alice.get<{ rooms: RoomInfo[] }>('/_matrix/client/v3/initialSync')
  expect(active.rooms.map((one) => one.room_id)).not.toContain(left)
  const waiting = alice.get<Chunk>(EVENTS, { query: { from: snapshot.end, timeout: 10_000 } })
  await bob.join(joined)
  const first = await waiting
  expect(first.chunk.map((event) => event.room_id)).toEqual([joined])
  const event = await bob.sendText(joined, 'after')
  const second = await alice.get<Chunk>(EVENTS, { query: { from: first.end, timeout: 10_000 } })
  expect(second.chunk.map((one) => one.event_id)).toEqual([event])
  expect(await alice.get<Chunk>(EVENTS, { query: { from: second.end, timeout: 10 } })).toMatchObject({
    chunk: [],
    end: second.end,
  })
  expect(await alice.get(`${EVENTS}/${encodeURIComponent(event)}`)).toMatchObject({ event_id: event, room_id: joined })
  await alice.fails(400, 'M_INVALID_PARAM', 'GET', EVENTS, { query: { from: 'banana' } })
})

test('a world-readable room can be looked into, others can not', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const open = await alice.createRoom({
    preset: 'public_chat',
    initial_state: [{ type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'world_readable' } }],
  })
  const closed = await alice.createRoom({ preset: 'public_chat' })
  const info = await bob.get<RoomInfo>(roomPath(open, 'initialSync'))
  expect(info.membership).toBeUndefined()
  expect(info.visibility).toBe('private')
  const waiting = bob.get<Chunk>(EVENTS, { query: { from: info.messages.end, room_id: open, timeout: 10_000 } })
  const event = await alice.sendText(open, 'hello')
  expect((await waiting).chunk.map((one) => one.event_id)).toEqual([event])
  await bob.fails(403, 'M_FORBIDDEN', 'GET', roomPath(closed, 'initialSync'))
  await bob.fails(403, 'M_FORBIDDEN', 'GET', EVENTS, { query: { room_id: closed } })
  expect(await alice.get<RoomInfo>(roomPath(closed, 'initialSync'))).toMatchObject({ membership: 'join' })
})
