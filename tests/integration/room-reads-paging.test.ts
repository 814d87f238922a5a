import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import type { MessagesResponse, TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

interface Context {
  readonly start: string
  readonly end: string
  readonly event: { event_id: string }
  readonly events_before: readonly { event_id: string }[]
  readonly events_after: readonly { event_id: string }[]
  readonly state: readonly { type: string; state_key: string; event_id: string }[]
}

describe('pages of a room', () => {
  let server: TestServer
  let alice: TestClient
  let bob: TestClient
  let roomId: string
  const sent: string[] = []

  beforeAll(async () => {
    server = await TestServer.start()
    alice = await server.register('alice')
    bob = await server.register('bob')
    roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    for (let index = 0; index < 25; index++) sent.push(await (index % 5 === 0 ? bob : alice).sendText(roomId, `message ${index}`))
  })
  afterAll(() => server[Symbol.asyncDispose]())

  async function readAll(
    dir: 'b' | 'f',
    limit: number,
    more: Record<string, string> = {},
  ): Promise<{ ids: string[]; last: MessagesResponse }> {
    const ids: string[] = []
    let from: string | undefined
    for (let page = 0; page < 100; page++) {
      const answer = await alice.messages(roomId, { dir, limit, ...more, ...(from === undefined ? {} : { from }) })
      if (from !== undefined) expect(answer.start).toBe(from)
      expect(answer.chunk.length).toBeLessThanOrEqual(limit)
      ids.push(...answer.chunk.map((event) => event.event_id))
      if (answer.end === undefined) return { ids, last: answer }
      from = answer.end
    }
    throw new Error('The pages do not end')
  }

  test.each([1, 2, 7, 100])('of %i events bring every event exactly once, in both directions', async (limit) => {
    const backwards = await readAll('b', limit)
    const forwards = await readAll('f', limit)
    expect(forwards.ids).toEqual(backwards.ids.toReversed())
    expect(new Set(forwards.ids).size).toBe(forwards.ids.length)
    expect(forwards.ids.slice(-sent.length)).toEqual(sent)
    expect(backwards.last.chunk).toEqual([])
  })

  test('end at the token that `to` names', async () => {
    const newest = await alice.messages(roomId, { dir: 'b', limit: 5 })
    const next = await alice.messages(roomId, { dir: 'b', limit: 5, from: newest.end ?? '' })
    const between = await alice.messages(roomId, { dir: 'b', limit: 100, from: newest.end ?? '', to: next.end ?? '' })
    expect(between.chunk.map((event) => event.event_id)).toEqual(next.chunk.map((event) => event.event_id))
    const back = await alice.messages(roomId, { dir: 'f', limit: 100, from: next.end ?? '', to: newest.end ?? '' })
    expect(back.chunk.map((event) => event.event_id)).toEqual(next.chunk.map((event) => event.event_id).toReversed())
  })

  test('that a filter thins out bring every kept event once', async () => {
    const filter = JSON.stringify({ senders: [bob.userId], types: ['m.room.message'] })
    const { ids } = await readAll('b', 2, { filter })
    expect(ids).toEqual(sent.filter((_id, index) => index % 5 === 0).toReversed())
    expect((await readAll('b', 5, { filter: JSON.stringify({ types: ['m.nothing'] }) })).ids).toEqual([])
  })

  test('of events with a URL are chosen by contains_url', async () => {
    const other = await alice.createRoom({})
    await alice.sendText(other, 'no file')
    const file = await alice.send(other, 'm.room.message', { msgtype: 'm.file', body: 'a.png', url: 'mxc://test.example/a' })
    const answer = await alice.messages(other, { dir: 'b', filter: JSON.stringify({ contains_url: true }) })
    expect(answer.chunk.map((event) => event.event_id)).toEqual([file])
    expect(answer.end).toEqual(expect.any(String))
  })

  test("bring the senders' member events if members are lazily loaded", async () => {
    const filter = JSON.stringify({ lazy_load_members: true })
    const fromBob = await alice.messages(roomId, { dir: 'b', limit: 5, filter })
    expect(new Set(fromBob.state?.map((event) => event.state_key))).toEqual(new Set([alice.userId, bob.userId]))
    const onlyAlice = await alice.messages(roomId, { dir: 'b', limit: 4, filter })
    expect(onlyAlice.state?.map((event) => [event.type, event.state_key])).toEqual([['m.room.member', alice.userId]])
    expect((await alice.messages(roomId, { dir: 'b', limit: 4 })).state).toBeUndefined()
  })

  test('are refused with 400 where token, limit, direction or filter are odd', async () => {
    const path = roomPath(roomId, 'messages')
    await alice.fails(400, 'M_INVALID_PARAM', 'GET', path, { query: { dir: 'b', from: 'banana' } })
    await alice.fails(400, 'M_INVALID_PARAM', 'GET', path, { query: { dir: 'b', limit: -1 } })
    await alice.fails(400, 'M_INVALID_PARAM', 'GET', path, { query: { dir: 'x' } })
    await alice.fails(400, 'M_NOT_JSON', 'GET', path, { query: { dir: 'b', filter: '{' } })
    await alice.fails(400, 'M_BAD_JSON', 'GET', path, { query: { dir: 'b', filter: '{"types":1}' } })
  })

  test('around an event go on in both directions without gap or repetition', async () => {
    const middle = sent[12] ?? ''
    const context = await alice.get<Context>(roomPath(roomId, 'context', middle), { query: { limit: 5 } })
    expect(context.event.event_id).toBe(middle)
    expect(context.events_before.map((event) => event.event_id)).toEqual([sent[11], sent[10]])
    expect(context.events_after.map((event) => event.event_id)).toEqual([sent[13], sent[14], sent[15]])
    const older = await alice.messages(roomId, { dir: 'b', limit: 2, from: context.start })
    expect(older.chunk.map((event) => event.event_id)).toEqual([sent[9], sent[8]])
    const newer = await alice.messages(roomId, { dir: 'f', limit: 2, from: context.end })
    expect(newer.chunk.map((event) => event.event_id)).toEqual([sent[16], sent[17]])
    const alone = await alice.get<Context>(roomPath(roomId, 'context', middle), { query: { limit: 0 } })
    expect([alone.events_before, alone.events_after]).toEqual([[], []])
    expect((await alice.messages(roomId, { dir: 'f', limit: 1, from: alone.end })).chunk[0]?.event_id).toBe(sent[13])
    expect((await alice.messages(roomId, { dir: 'b', limit: 1, from: alone.start })).chunk[0]?.event_id).toBe(sent[11])
  })

  test('around an event show the state at its time, and lazily only who speaks', async () => {
    const other = await alice.createRoom({ preset: 'public_chat', name: 'Old' })
    await bob.join(other)
    const event = await alice.sendText(other, 'then')
    await alice.sendState(other, 'm.room.name', '', { name: 'New' })
    const context = await alice.get<Context>(roomPath(other, 'context', event), {
      query: { limit: 0, filter: JSON.stringify({ lazy_load_members: true }) },
    })
    const members = context.state.filter((one) => one.type === 'm.room.member')
    expect(members.map((one) => one.state_key)).toEqual([alice.userId])
    const name = context.state.find((one) => one.type === 'm.room.name') as { content?: unknown } | undefined
    expect(name?.content).toEqual({ name: 'Old' })
  })

  test('list members by membership, and as of a token', async () => {
    const other = await alice.createRoom({ preset: 'public_chat' })
    const before = (await alice.messages(other, { dir: 'b', limit: 1 })).start
    await bob.join(other)
    await bob.leave(other)
    const list = async (query: Record<string, string>) =>
      (await alice.get<{ chunk: { state_key: string }[] }>(roomPath(other, 'members'), { query })).chunk.map(
        (event) => event.state_key,
      )
    expect(await list({ membership: 'join' })).toEqual([alice.userId])
    expect(await list({ not_membership: 'join' })).toEqual([bob.userId])
    expect(await list({ membership: 'join', not_membership: 'ban' })).toEqual([alice.userId, bob.userId])
    expect(await list({ at: before })).toEqual([alice.userId])
    expect(await list({ at: 's0' })).toEqual([alice.userId])
    expect(await alice.get(roomPath(other, 'joined_members'))).toMatchObject({ joined: { [alice.userId]: {} } })
  })

  test('state is given as content, or as an event', async () => {
    const other = await alice.createRoom({ name: 'A name' })
    expect(await alice.getState(other, 'm.room.name')).toEqual({ name: 'A name' })
    expect(await alice.get(`${roomPath(other, 'state', 'm.room.name')}`)).toEqual({ name: 'A name' })
    expect(await alice.getState(other, 'm.room.name', '', { query: { format: 'event' } })).toMatchObject({
      content: { name: 'A name' },
      sender: alice.userId,
      state_key: '',
      room_id: other,
    })
  })

  test('events are found by time', async () => {
    const path = `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/timestamp_to_event`
    const at = async (ts: number, dir: string) => (await alice.get<{ event_id: string }>(path, { query: { ts, dir } })).event_id
    const event = await alice.get<{ origin_server_ts: number }>(roomPath(roomId, 'event', sent.at(-1) ?? ''))
    expect(await at(event.origin_server_ts + 1000, 'b')).toBe(sent.at(-1))
    const { chunk } = await alice.messages(roomId, { dir: 'f', limit: 1 })
    expect(await at(0, 'f')).toBe(chunk[0]?.event_id)
    await alice.fails(404, 'M_NOT_FOUND', 'GET', path, { query: { ts: event.origin_server_ts + 1000, dir: 'f' } })
    const stranger = await server.register('stranger')
    await stranger.fails(403, 'M_FORBIDDEN', 'GET', path, { query: { ts: 0, dir: 'f' } })
  })
})
