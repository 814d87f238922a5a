import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

interface RoomEvents {
  readonly count: number
  readonly highlights: readonly string[]
  readonly next_batch?: string
  readonly results: readonly {
    rank: number
    result: { event_id: string; room_id: string; content: { body?: string } }
    context?: {
      events_before: { content: { body?: string } }[]
      events_after: { content: { body?: string } }[]
      profile_info?: Record<string, unknown>
    }
  }[]
  readonly groups?: Record<string, Record<string, { results: string[]; next_batch?: string }>>
  readonly state?: Record<string, unknown[]>
}

describe('message search', () => {
  let server: TestServer
  let alice: TestClient
  let bob: TestClient

  beforeAll(async () => {
    server = await TestServer.start()
    alice = await server.register('alice')
    bob = await server.register('bob')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  async function search(
    client: TestClient,
    term: string,
    more: Record<string, unknown> = {},
    nextBatch?: string,
  ): Promise<RoomEvents> {
    const answer = await client.post<{ search_categories: { room_events: RoomEvents } }>(
      '/_matrix/client/v3/search',
      { search_categories: { room_events: { search_term: term, order_by: 'recent', ...more } } },
      { query: { next_batch: nextBatch } },
    )
    return answer.search_categories.room_events
  }
  const bodiesOf = (answer: RoomEvents) => answer.results.map(({ result }) => result.content.body)

  test('finds a message at once, with what stands around it', async () => {
    const roomId = await alice.createRoom({})
    for (let index = 1; index <= 7; index++) await alice.sendText(roomId, `Message number ${index}`)
    const found = await search(alice, 'Message 4', {
      filter: { limit: 1, rooms: [roomId] },
      event_context: { before_limit: 2, after_limit: 2, include_profile: true },
      include_state: true,
    })
    expect(found.count).toBe(1)
    expect(bodiesOf(found)).toEqual(['Message number 4'])
    const context = found.results[0]?.context
    expect(context?.events_before.map((event) => event.content.body)).toEqual(['Message number 3', 'Message number 2'])
    expect(context?.events_after.map((event) => event.content.body)).toEqual(['Message number 5', 'Message number 6'])
    expect(Object.keys(context?.profile_info ?? {})).toEqual([alice.userId])
    expect(Object.keys(found.state ?? {})).toEqual([roomId])
    expect(found.highlights).toEqual(expect.arrayContaining(['message', '4']))
  })

  test.each([
    ['I have put foo.png on the share', ['foo', 'foo.png', 'oo.pn', 'png']],
    ['see https://example.org/path/to-page.html?q=1', ['example.org', 'to-page', 'https://example.org/path']],
    ['we write C++20 here', ['c++20', 'C++']],
    ['夏の夜に鈴虫が鳴く', ['鈴虫', '夏の夜', '鈴虫 鳴く']],
    ['안녕하세요 여러분', ['여러', '안녕하']],
    ['Donaudampfschifffahrt', ['dampfschiff', 'FAHRT']],
  ])('finds parts of words, addresses and writing without spaces: %s (N-19)', async (body, terms) => {
    const roomId = await alice.createRoom({})
    await alice.sendText(roomId, body)
    await alice.sendText(roomId, 'something else')
    for (const term of terms)
      expect([term, bodiesOf(await search(alice, term, { filter: { rooms: [roomId] } }))]).toEqual([term, [body]])
  })

  test.each(['recent', 'rank'])('is paged in the order %s', async (order) => {
    const roomId = await alice.createRoom({})
    for (let index = 0; index < 7; index++) await alice.sendText(roomId, `walrus ${index}`)
    const bodies: (string | undefined)[] = []
    let next: string | undefined
    do {
      const page = await search(alice, 'walrus', { order_by: order, filter: { limit: 3, rooms: [roomId] } }, next)
      bodies.push(...bodiesOf(page))
      next = page.next_batch
    } while (next !== undefined)
    expect(new Set(bodies).size).toBe(7)
    expect(bodies.length).toBe(7)
  })

  test('finds beginnings and parts of words, other scripts, names and topics', async () => {
    const roomId = await alice.createRoom({ name: 'Quetzalcoatl room', topic: 'On axolotls' })
    await alice.sendText(roomId, 'Die ÜBERRASCHUNG war groß')
    await alice.sendText(roomId, '今日は天気がいい')
    await alice.sendText(roomId, 'null \u0000 and void')
    const filter = { rooms: [roomId] }
    expect((await search(alice, 'quetzal', { filter })).count).toBe(1)
    expect((await search(alice, 'axolotls', { filter, keys: ['content.topic'] })).count).toBe(1)
    expect((await search(alice, 'axolotls', { filter, keys: ['content.body'] })).count).toBe(0)
    expect((await search(alice, 'überrasch', { filter })).count).toBe(1)
    expect((await search(alice, 'raschung', { filter })).count).toBe(1)
    expect((await search(alice, '天気', { filter })).count).toBe(1)
    expect((await search(alice, 'void', { filter })).count).toBe(1)
    for (const odd of ["' & | ! ( :*", '\\', '%_', '"', '\u0000'])
      expect((await search(alice, odd, { filter })).results).toEqual([])
  })

  test('shows only what the user may see, and nothing that was redacted', async () => {
    const roomId = await alice.createRoom({
      initial_state: [{ type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'joined' } }],
      preset: 'public_chat',
    })
    await alice.sendText(roomId, 'platypus before')
    await bob.join(roomId)
    const gone = await alice.sendText(roomId, 'platypus redacted')
    await alice.sendText(roomId, 'platypus after')
    await alice.redact(roomId, gone)
    expect(bodiesOf(await search(bob, 'platypus'))).toEqual(['platypus after'])
    expect(bodiesOf(await search(alice, 'platypus'))).toEqual(['platypus after', 'platypus before'])
    const stranger = await server.register('stranger')
    expect((await search(stranger, 'platypus')).results).toEqual([])
  })

  test('groups hits by room and sender', async () => {
    const one = await alice.createRoom({ preset: 'public_chat' })
    const two = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(one)
    const hits = [await alice.sendText(one, 'okapi'), await bob.sendText(one, 'okapi'), await alice.sendText(two, 'okapi')]
    const found = await search(alice, 'okapi', { groupings: { group_by: [{ key: 'room_id' }, { key: 'sender' }] } })
    expect(found.groups?.['room_id']?.[one]?.results).toEqual([hits[1], hits[0]])
    expect(found.groups?.['sender']?.[bob.userId]?.results).toEqual([hits[1]])
  })

  test('goes on where it stopped after a restart', async () => {
    const roomId = await alice.createRoom({})
    await alice.sendText(roomId, 'capybara one')
    await server.restart()
    await alice.sendText(roomId, 'capybara two')
    expect(bodiesOf(await search(alice, 'capybara'))).toEqual(['capybara two', 'capybara one'])
  })

  test('looks into the room that an upgraded room replaced', async () => {
    const old = await alice.createRoom({})
    await alice.sendText(old, 'narwhal old')
    const roomId = await alice.createRoom({ creation_content: { predecessor: { room_id: old } } })
    await alice.sendText(roomId, 'narwhal new')
    expect(bodiesOf(await search(alice, 'narwhal', { filter: { rooms: [roomId] } }))).toEqual(['narwhal new', 'narwhal old'])
  })

  test('refuses tokens that are none', async () => {
    const body = { search_categories: { room_events: { search_term: 'x' } } }
    await alice.fails(400, 'M_INVALID_PARAM', 'POST', '/_matrix/client/v3/search', { body, query: { next_batch: 'banana' } })
    await alice.fails(400, 'M_MISSING_PARAM', 'POST', '/_matrix/client/v3/search', { body: {} })
  })
})
