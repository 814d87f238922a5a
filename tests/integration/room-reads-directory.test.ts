import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const aliasPath = (alias: string) => `/_matrix/client/v3/directory/room/${encodeURIComponent(alias)}`
const listingPath = (roomId: string) => `/_matrix/client/v3/directory/list/room/${encodeURIComponent(roomId)}`
const PUBLIC_ROOMS = '/_matrix/client/v3/publicRooms'
const ALLOW_ALL = [{ user_id: '*', alias: '*', room_id: '*', action: 'allow' }]

interface PublicRooms {
  readonly chunk: readonly { room_id: string; name?: string; num_joined_members: number; room_type?: string }[]
  readonly next_batch?: string
  readonly prev_batch?: string
  readonly total_room_count_estimate: number
}

describe('room aliases', () => {
  let server: TestServer
  let alice: TestClient
  let bob: TestClient

  beforeAll(async () => {
    server = await TestServer.start()
    alice = await server.register('alice')
    bob = await server.register('bob')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('are made by members, resolved by anybody, listed, and removed', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const alias = '#lounge:test.example'
    await alice.put(aliasPath(alias), { room_id: roomId })
    expect(await server.anonymous().get(aliasPath(alias))).toEqual({ room_id: roomId, servers: ['test.example'] })
    expect(await alice.get(roomPath(roomId, 'aliases'))).toEqual({ aliases: [alias] })
    await bob.fails(403, 'M_FORBIDDEN', 'GET', roomPath(roomId, 'aliases'))
    await alice.delete(aliasPath(alias))
    await alice.fails(404, 'M_NOT_FOUND', 'GET', aliasPath(alias))
    await alice.fails(404, 'M_NOT_FOUND', 'DELETE', aliasPath(alias))
  })

  test('can not be taken twice, made by strangers, made for other servers, or be malformed', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const body = { room_id: roomId }
    await alice.put(aliasPath('#taken:test.example'), body)
    await alice.fails(409, 'M_UNKNOWN', 'PUT', aliasPath('#taken:test.example'), { body })
    await bob.fails(403, 'M_FORBIDDEN', 'PUT', aliasPath('#other:test.example'), { body })
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', aliasPath('#x:elsewhere.example'), { body })
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', aliasPath('lounge'), { body })
    await alice.fails(400, 'M_INVALID_PARAM', 'GET', aliasPath('lounge'))
  })

  test('are removed by their creator and by moderators only, and leave the canonical alias', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await bob.put(aliasPath('#of-bob:test.example'), { room_id: roomId })
    await alice.put(aliasPath('#of-alice:test.example'), { room_id: roomId })
    await alice.sendState(roomId, 'm.room.canonical_alias', '', {
      alias: '#of-alice:test.example',
      alt_aliases: ['#of-bob:test.example'],
    })
    await bob.fails(403, 'M_FORBIDDEN', 'DELETE', aliasPath('#of-alice:test.example'))
    await bob.delete(aliasPath('#of-bob:test.example'))
    expect(await alice.getState(roomId, 'm.room.canonical_alias')).toMatchObject({ alt_aliases: ['#of-bob:test.example'] })
    await alice.delete(aliasPath('#of-alice:test.example'))
    expect(await alice.getState(roomId, 'm.room.canonical_alias')).toEqual({ alt_aliases: ['#of-bob:test.example'] })
  })
})

describe('the room directory', () => {
  let server: TestServer
  let alice: TestClient
  let bob: TestClient
  const rooms: string[] = []

  beforeAll(async () => {
    server = await TestServer.start({ config: { room_list_publication_rules: ALLOW_ALL } })
    alice = await server.register('alice')
    bob = await server.register('bob')
    for (let index = 0; index < 5; index++) {
      const roomId = await alice.createRoom({
        preset: 'public_chat',
        name: `Room ${index}`,
        topic: index === 3 ? 'About Cheese' : 'Nothing',
      })
      await alice.put(listingPath(roomId), { visibility: 'public' })
      rooms.push(roomId)
    }
    await bob.join(rooms[4] ?? '')
    const space = await alice.createRoom({ preset: 'public_chat', name: 'A space', creation_content: { type: 'm.space' } })
    await alice.put(listingPath(space), {})
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('is paged forwards and backwards, the biggest room first', async () => {
    const pages: string[][] = []
    let page = await bob.get<PublicRooms>(PUBLIC_ROOMS, { query: { limit: 2 } })
    expect(page.chunk[0]).toMatchObject({ room_id: rooms[4], num_joined_members: 2 })
    expect(page.total_room_count_estimate).toBe(6)
    for (;;) {
      pages.push(page.chunk.map((room) => room.room_id))
      if (page.next_batch === undefined) break
      page = await bob.get<PublicRooms>(PUBLIC_ROOMS, { query: { limit: 2, since: page.next_batch } })
    }
    expect(new Set(pages.flat()).size).toBe(6)
    expect(pages.map((one) => one.length)).toEqual([2, 2, 2])
    for (let index = 1; index >= 0; index--) {
      page = await bob.get<PublicRooms>(PUBLIC_ROOMS, { query: { limit: 2, since: page.prev_batch } })
      expect(page.chunk.map((room) => room.room_id)).toEqual(pages[index])
    }
    expect(page.prev_batch).toBeUndefined()
    await bob.fails(400, 'M_INVALID_PARAM', 'GET', PUBLIC_ROOMS, { query: { since: 'banana' } })
  })

  test('is searched by name, topic and alias, and by type of room', async () => {
    const find = async (filter: object) => (await bob.post<PublicRooms>(PUBLIC_ROOMS, { filter })).chunk.map((room) => room.name)
    expect(await find({ generic_search_term: 'cheese' })).toEqual(['Room 3'])
    expect(await find({ generic_search_term: 'ROOM 1' })).toEqual(['Room 1'])
    expect(await find({ generic_search_term: 'nowhere to be found' })).toEqual([])
    expect(await find({ room_types: ['m.space'] })).toEqual(['A space'])
    expect((await find({ room_types: [null] })).length).toBe(5)
    expect((await find({ room_types: [null, 'm.space'] })).length).toBe(6)
  })

  test('is changed by moderators only, and tells what it lists', async () => {
    const roomId = rooms[0] ?? ''
    expect(await server.anonymous().get(listingPath(roomId))).toEqual({ visibility: 'public' })
    await bob.fails(403, 'M_FORBIDDEN', 'PUT', listingPath(roomId), { body: { visibility: 'private' } })
    await alice.put(listingPath(roomId), { visibility: 'private' })
    expect(await alice.get(listingPath(roomId))).toEqual({ visibility: 'private' })
    await alice.put(listingPath(roomId), { visibility: 'public' })
    await alice.fails(404, 'M_NOT_FOUND', 'GET', listingPath('!unknown:test.example'))
    await alice.fails(404, 'M_NOT_FOUND', 'PUT', listingPath('!unknown:test.example'), { body: { visibility: 'public' } })
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', listingPath(roomId), { body: { visibility: 'secret' } })
  })

  test('shows changes of name and size at once, and no room that became private', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Old name' })
    await alice.put(listingPath(roomId), { visibility: 'public' })
    const find = async () => (await bob.get<PublicRooms>(PUBLIC_ROOMS)).chunk.find((room) => room.room_id === roomId)
    expect(await find()).toMatchObject({ name: 'Old name', num_joined_members: 1, world_readable: false, join_rule: 'public' })
    await alice.sendState(roomId, 'm.room.name', '', { name: 'New name' })
    await bob.join(roomId)
    expect(await find()).toMatchObject({ name: 'New name', num_joined_members: 2 })
    await alice.sendState(roomId, 'm.room.join_rules', '', { join_rule: 'invite' })
    expect(await find()).toBeUndefined()
  })

  test('needs a token unless the option says otherwise', async () => {
    await server.anonymous().fails(401, 'M_MISSING_TOKEN', 'GET', PUBLIC_ROOMS)
  })

  test('is not open for publishing by default', async () => {
    await using strict = await TestServer.start({ config: { room_list_publication_rules: [{ action: 'deny' }] } })
    const carol = await strict.register('carol')
    const roomId = await carol.createRoom({ preset: 'public_chat' })
    await carol.fails(403, 'M_FORBIDDEN', 'PUT', listingPath(roomId), { body: { visibility: 'public' } })
  })
})

describe('room previews', () => {
  let server: TestServer
  let alice: TestClient
  let bob: TestClient

  beforeAll(async () => {
    server = await TestServer.start({ config: { rc_reports: { per_second: 9999, burst_count: 9999 } } })
    alice = await server.register('alice')
    bob = await server.register('bob')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  interface Hierarchy {
    readonly rooms: readonly { room_id: string; name?: string; children_state: readonly { state_key: string }[] }[]
    readonly next_batch?: string
  }
  const hierarchy = (client: TestClient, roomId: string, query: Record<string, string | number | boolean> = {}) =>
    client.get<Hierarchy>(`/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/hierarchy`, { query })
  const addChild = (space: string, child: string, content: object = {}) =>
    alice.sendState(space, 'm.space.child', child, { via: ['test.example'], ...content })
  const summary = (roomId: string) => `/_matrix/client/v1/room_summary/${encodeURIComponent(roomId)}`

  test('a summary is shown to those who may join, with their membership', async () => {
    const open = await alice.createRoom({ preset: 'public_chat', name: 'Open', room_version: '11' })
    const closed = await alice.createRoom({ preset: 'private_chat' })
    expect(await bob.get(summary(open))).toMatchObject({
      room_id: open,
      name: 'Open',
      membership: 'leave',
      num_joined_members: 1,
      room_version: '11',
    })
    expect(await alice.get(summary(open))).toMatchObject({ membership: 'join' })
    await bob.fails(404, 'M_NOT_FOUND', 'GET', summary(closed))
    await alice.invite(closed, bob.userId)
    expect(await bob.get(summary(closed))).toMatchObject({ room_id: closed, membership: 'invite' })
    await alice.put(aliasPath('#open:test.example'), { room_id: open })
    expect(await bob.get(summary('#open:test.example'))).toMatchObject({ room_id: open })
    await bob.fails(404, 'M_NOT_FOUND', 'GET', summary('#none:test.example'))
  })

  test('a space is walked depth first, in the order that its children ask for', async () => {
    const space = await alice.createRoom({ preset: 'public_chat', name: 'Space', creation_content: { type: 'm.space' } })
    const inner = await alice.createRoom({ preset: 'public_chat', name: 'Inner', creation_content: { type: 'm.space' } })
    const leaf = await alice.createRoom({ preset: 'public_chat', name: 'Leaf' })
    const last = await alice.createRoom({ preset: 'public_chat', name: 'Last' })
    const secret = await alice.createRoom({ preset: 'private_chat', name: 'Secret' })
    await addChild(space, last)
    await addChild(space, secret)
    await addChild(space, inner, { order: 'a', suggested: true })
    await addChild(inner, leaf)
    await addChild(inner, space)
    await alice.sendState(space, 'm.space.child', '!removed:test.example', {})
    const names = (answer: Hierarchy) => answer.rooms.map((room) => room.name)
    expect(names(await hierarchy(bob, space))).toEqual(['Space', 'Inner', 'Leaf', 'Last'])
    expect(names(await hierarchy(alice, space))).toEqual(['Space', 'Inner', 'Leaf', 'Last', 'Secret'])
    expect(names(await hierarchy(bob, space, { max_depth: 1 }))).toEqual(['Space', 'Inner', 'Last'])
    expect(names(await hierarchy(bob, space, { suggested_only: true }))).toEqual(['Space', 'Inner'])
    const whole = await hierarchy(bob, space)
    expect(whole.rooms[0]?.children_state.map((event) => event.state_key)).toEqual([inner, last, secret])
    const first = await hierarchy(bob, space, { limit: 3 })
    const second = await hierarchy(bob, space, { limit: 3, from: first.next_batch ?? '' })
    expect([...names(first), ...names(second)]).toEqual(['Space', 'Inner', 'Leaf', 'Last'])
    expect(second.next_batch).toBeUndefined()
    const path = `/_matrix/client/v1/rooms/${encodeURIComponent(space)}/hierarchy`
    await bob.fails(400, 'M_INVALID_PARAM', 'GET', path, { query: { from: first.next_batch, max_depth: 2 } })
    await bob.fails(403, 'M_FORBIDDEN', 'GET', path.replace(encodeURIComponent(space), encodeURIComponent(secret)))
  })

  test('a restricted room is shown to members of the rooms that it names', async () => {
    const space = await alice.createRoom({ preset: 'public_chat', creation_content: { type: 'm.space' } })
    const room = await alice.createRoom({ preset: 'private_chat', name: 'Members only', room_version: '11' })
    await alice.sendState(room, 'm.room.join_rules', '', {
      join_rule: 'restricted',
      allow: [{ type: 'm.room_membership', room_id: space }],
    })
    await addChild(space, room)
    expect((await hierarchy(bob, space)).rooms.length).toBe(1)
    await bob.join(space)
    expect((await hierarchy(bob, space)).rooms.length).toBe(2)
    expect(await bob.get(summary(room))).toMatchObject({ allowed_room_ids: [space], join_rule: 'restricted' })
  })

  test('rooms that two users share are listed', async () => {
    const shared = await alice.createRoom({ preset: 'public_chat' })
    const carol = await server.register('carol')
    await carol.join(shared)
    const path = '/_matrix/client/v1/mutual_rooms'
    expect(await alice.get(path, { query: { user_id: carol.userId } })).toEqual({ joined: [shared], count: 1 })
    await alice.fails(400, 'M_INVALID_PARAM', 'GET', path, { query: { user_id: alice.userId } })
    await alice.fails(400, 'M_INVALID_PARAM', 'GET', path, { query: { user_id: 'nobody' } })
  })

  test('events, rooms and users are reported', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const event = await alice.sendText(roomId, 'bad words')
    await bob.fails(404, 'M_NOT_FOUND', 'POST', roomPath(roomId, 'report', event), { body: { reason: 'bad' } })
    await bob.join(roomId)
    expect(await bob.post(roomPath(roomId, 'report', event), { reason: 'bad \u0000', score: -100 })).toEqual({})
    expect(await bob.post(roomPath(roomId, 'report'), { reason: 'bad room' })).toEqual({})
    expect(await bob.post(`/_matrix/client/v3/users/${encodeURIComponent(alice.userId)}/report`, { reason: 'bad user' })).toEqual(
      {},
    )
    await bob.fails(404, 'M_NOT_FOUND', 'POST', roomPath('!unknown:test.example', 'report'), { body: { reason: '' } })
    await bob.fails(404, 'M_NOT_FOUND', 'POST', roomPath(roomId, 'report', '$unknown'), { body: {} })
  })
})
