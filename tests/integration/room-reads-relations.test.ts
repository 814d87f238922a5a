import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

interface Bundles {
  readonly 'm.replace'?: { event_id: string; content: Record<string, unknown>; room_id: string }
  readonly 'm.reference'?: { chunk: { event_id: string }[] }
  readonly 'm.thread'?: {
    count: number
    current_user_participated: boolean
    latest_event: { event_id: string; unsigned: { 'm.relations'?: Bundles } }
  }
}

describe('relations', () => {
  let server: TestServer
  let alice: TestClient
  let bob: TestClient
  let roomId: string

  beforeAll(async () => {
    server = await TestServer.start()
    alice = await server.register('alice')
    bob = await server.register('bob')
    roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const relate = (client: TestClient, relType: string, eventId: string, body: string, more: Record<string, unknown> = {}) =>
    client.send(roomId, 'm.room.message', {
      msgtype: 'm.text',
      body,
      'm.relates_to': { rel_type: relType, event_id: eventId },
      ...more,
    })
  const edit = (client: TestClient, eventId: string, body: string) =>
    relate(client, 'm.replace', eventId, `* ${body}`, { 'm.new_content': { msgtype: 'm.text', body } })
  const react = (client: TestClient, eventId: string, key: string) =>
    client.send(roomId, 'm.reaction', { 'm.relates_to': { rel_type: 'm.annotation', event_id: eventId, key } })
  const bundlesOf = async (client: TestClient, eventId: string): Promise<Bundles | undefined> =>
    (await client.get<{ unsigned: { 'm.relations'?: Bundles } }>(roomPath(roomId, 'event', eventId))).unsigned['m.relations']
  const relations = (eventId: string, rest = '', query: Record<string, string | number | boolean> = {}) =>
    alice.get<{ chunk: { event_id: string }[]; next_batch?: string; prev_batch?: string; recursion_depth?: number }>(
      `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/relations/${encodeURIComponent(eventId)}${rest}`,
      { query },
    )
  const idsOf = (answer: { chunk: { event_id: string }[] }) => answer.chunk.map((event) => event.event_id)

  test('the latest valid edit comes with its event, whole', async () => {
    const event = await alice.sendText(roomId, 'first')
    await edit(alice, event, 'second')
    const third = await edit(alice, event, 'third')
    // Neither someone else's edit nor one without new content nor one of another type counts.
    await edit(bob, event, 'not mine')
    await relate(alice, 'm.replace', event, '* no content')
    await alice.send(roomId, 'm.other', { 'm.new_content': {}, 'm.relates_to': { rel_type: 'm.replace', event_id: event } })
    const bundles = await bundlesOf(alice, event)
    expect(bundles?.['m.replace']).toMatchObject({
      event_id: third,
      room_id: roomId,
      content: { 'm.new_content': { body: 'third' } },
    })
    const { chunk } = await alice.messages(roomId, { dir: 'b', limit: 50 })
    const inPage = chunk.find((one) => one.event_id === event) as unknown as {
      content: unknown
      unsigned: { 'm.relations': Bundles }
    }
    expect(inPage.content).toEqual({ msgtype: 'm.text', body: 'first' })
    expect(inPage.unsigned['m.relations']['m.replace']?.event_id).toBe(third)
  })

  test('a redacted edit gives way to the one before, a redacted event has none', async () => {
    const event = await alice.sendText(roomId, 'one')
    const first = await edit(alice, event, 'two')
    const second = await edit(alice, event, 'three')
    await alice.redact(roomId, second)
    expect((await bundlesOf(alice, event))?.['m.replace']?.event_id).toBe(first)
    await alice.redact(roomId, event)
    expect((await bundlesOf(alice, event))?.['m.replace']).toBeUndefined()
  })

  test('a thread tells its size, its newest event with its edits, and who takes part', async () => {
    const root = await alice.sendText(roomId, 'root')
    await relate(alice, 'm.thread', root, 'one')
    const two = await relate(alice, 'm.thread', root, 'two')
    const edited = await edit(alice, two, 'two, edited')
    const thread = (await bundlesOf(bob, root))?.['m.thread']
    expect(thread).toMatchObject({ count: 2, current_user_participated: false, latest_event: { event_id: two } })
    expect(thread?.latest_event.unsigned['m.relations']?.['m.replace']?.event_id).toBe(edited)
    await relate(bob, 'm.thread', root, 'three')
    expect((await bundlesOf(bob, root))?.['m.thread']).toMatchObject({ count: 3, current_user_participated: true })
    expect((await bundlesOf(alice, root))?.['m.thread']?.current_user_participated).toBe(true)
    await alice.redact(roomId, two)
    expect((await bundlesOf(bob, root))?.['m.thread']?.count).toBe(2)
  })

  test('references are listed by event id', async () => {
    const event = await alice.sendText(roomId, 'target')
    const one = await relate(alice, 'm.reference', event, 'one')
    const two = await relate(bob, 'm.reference', event, 'two')
    expect((await bundlesOf(alice, event))?.['m.reference']?.chunk).toEqual([{ event_id: one }, { event_id: two }])
  })

  test('what ignored users send is not counted', async () => {
    const carol = await server.register('carol')
    await carol.join(roomId)
    const root = await alice.sendText(roomId, 'root')
    const kept = await relate(bob, 'm.thread', root, 'kept')
    await relate(carol, 'm.thread', root, 'ignored')
    await alice.put(`/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/account_data/m.ignored_user_list`, {
      ignored_users: { [carol.userId]: {} },
    })
    expect((await bundlesOf(alice, root))?.['m.thread']).toMatchObject({ count: 1, latest_event: { event_id: kept } })
    expect((await bundlesOf(bob, root))?.['m.thread']?.count).toBe(2)
    expect(idsOf(await relations(root))).toEqual([kept])
  })

  test('children are paged in both directions, filtered by relation and type', async () => {
    const parent = await alice.sendText(roomId, 'parent')
    const children: string[] = []
    for (let index = 0; index < 5; index++) children.push(await relate(alice, 'm.reference', parent, `child ${index}`))
    const reaction = await react(bob, parent, 'x')
    expect(idsOf(await relations(parent))).toEqual([reaction, ...children.toReversed()])
    expect(idsOf(await relations(parent, '/m.annotation'))).toEqual([reaction])
    expect(idsOf(await relations(parent, '/m.reference/m.room.message'))).toEqual(children.toReversed())
    expect(idsOf(await relations(parent, '/m.reference/m.reaction'))).toEqual([])
    for (const dir of ['b', 'f']) {
      const ids: string[] = []
      let from: string | undefined
      do {
        const page = await relations(parent, '/m.reference', { dir, limit: 2, ...(from === undefined ? {} : { from }) })
        ids.push(...idsOf(page))
        expect(page.prev_batch).toBe(from)
        from = page.next_batch
      } while (from !== undefined)
      expect(ids).toEqual(dir === 'b' ? children.toReversed() : children)
    }
    await bob.redact(roomId, reaction)
    expect(idsOf(await relations(parent, '/m.annotation'))).toEqual([])
  })

  test('relations of relations are followed three levels deep', async () => {
    const root = await alice.sendText(roomId, 'root')
    const inThread = await relate(alice, 'm.thread', root, 'in thread')
    const reference = await relate(alice, 'm.reference', inThread, 'deeper')
    const reaction = await react(alice, reference, 'x')
    await react(alice, reaction, 'too deep')
    const answer = await relations(root, '', { recurse: true })
    expect(idsOf(answer)).toEqual([reaction, reference, inThread])
    expect(answer.recursion_depth).toBe(3)
    expect((await relations(root)).recursion_depth).toBeUndefined()
    expect(idsOf(await relations(root, '/m.annotation', { recurse: true }))).toEqual([reaction])
  })

  test('children of an event that may not be seen are not found', async () => {
    const stranger = await server.register('stranger')
    const event = await alice.sendText(roomId, 'secret')
    const path = `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/relations/${encodeURIComponent(event)}`
    await stranger.fails(404, 'M_NOT_FOUND', 'GET', path)
    await alice.fails(404, 'M_NOT_FOUND', 'GET', path.replace(encodeURIComponent(event), encodeURIComponent('$unknown')))
  })

  test('a page of messages can be filtered by what relates to them', async () => {
    const event = await alice.sendText(roomId, 'liked')
    await react(bob, event, 'yes')
    const find = async (filter: object) =>
      (await alice.messages(roomId, { dir: 'b', limit: 100, filter: JSON.stringify(filter) })).chunk.map((one) => one.event_id)
    expect(await find({ related_by_rel_types: ['m.annotation'], related_by_senders: [bob.userId] })).toContain(event)
    expect(await find({ related_by_rel_types: ['m.annotation'], related_by_senders: ['@nobody:test.example'] })).toEqual([])
  })

  test('who has left learns nothing of later edits', async () => {
    const dave = await server.register('dave')
    await dave.join(roomId)
    const event = await alice.sendText(roomId, 'before')
    await dave.leave(roomId)
    await edit(alice, event, 'after')
    expect(await bundlesOf(dave, event)).toBeUndefined()
  })
})

describe('the list of threads', () => {
  test('has the thread with the newest event first, and can be paged', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const bob = await server.register('bob')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const roots: string[] = []
    const reply = (client: TestClient, root: string) =>
      client.send(roomId, 'm.room.message', {
        msgtype: 'm.text',
        body: 'reply',
        'm.relates_to': { rel_type: 'm.thread', event_id: root },
      })
    for (let index = 0; index < 3; index++) {
      const root = await alice.sendText(roomId, `root ${index}`)
      roots.push(root)
      await reply(alice, root)
    }
    await reply(bob, roots[0] ?? '')
    const list = (client: TestClient, query: Record<string, string | number>) =>
      client.get<{ chunk: { event_id: string; unsigned: object }[]; next_batch?: string }>(
        `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/threads`,
        { query },
      )
    const all = await list(alice, {})
    expect(all.chunk.map((event) => event.event_id)).toEqual([roots[0], roots[2], roots[1]])
    expect(all.chunk[0]?.unsigned).toMatchObject({ 'm.relations': { 'm.thread': { count: 2 } } })
    const first = await list(alice, { limit: 2 })
    const second = await list(alice, { limit: 2, from: first.next_batch ?? '' })
    expect([...first.chunk, ...second.chunk].map((event) => event.event_id)).toEqual([roots[0], roots[2], roots[1]])
    expect(second.next_batch).toBeUndefined()
    expect((await list(bob, { include: 'participated' })).chunk.map((event) => event.event_id)).toEqual([roots[0]])
    const stranger = await server.register('stranger')
    await stranger.fails(403, 'M_FORBIDDEN', 'GET', `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/threads`)
  })
})
