import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { allRooms, SLIDING_SYNC_PATH, SlidingClient, stateSlots, timelineIds } from '../kit/sliding-sync.ts'
import { TestServer } from '../kit/test-server.ts'

const LAZY = ['m.room.member', '$LAZY'] as const

describe('rooms in sliding sync (MSC4186)', () => {
  let server: TestServer
  let count = 0

  beforeAll(async () => {
    server = await TestServer.start()
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
  })

  function user(name: string): Promise<TestClient> {
    count++
    return server.register(`${name}${count}`)
  }

  it('is announced in /versions', async () => {
    const versions = await server.anonymous().get<{ unstable_features: Record<string, boolean> }>('/_matrix/client/versions')
    expect(versions.unstable_features['org.matrix.simplified_msc3575']).toBe(true)
  })

  it('tells a room from the beginning, then only what is new in it', async () => {
    const alice = await user('alice')
    const roomId = await alice.createRoom({ name: 'Garden' })
    const first = await alice.sendText(roomId, 'one')
    const second = await alice.sendText(roomId, 'two')
    const connection = new SlidingClient(alice, {
      lists: {
        all: allRooms(1, [
          ['m.room.name', ''],
          ['m.room.create', ''],
        ]),
      },
    })
    const initial = await connection.next()
    expect(initial.lists).toEqual({ all: { count: 1 } })
    const room = initial.rooms[roomId]
    expect(room).toMatchObject({
      initial: true,
      name: 'Garden',
      limited: true,
      joined_count: 1,
      invited_count: 0,
      num_live: 0,
      notification_count: 0,
    })
    expect(timelineIds(room)).toEqual([second])
    expect(stateSlots(room)).toEqual(['m.room.create|', 'm.room.name|'])
    expect(room?.heroes).toBeUndefined()
    const page = await alice.messages(roomId, { from: room?.prev_batch ?? '', limit: 1 })
    expect(page.chunk.map((event) => event.event_id)).toEqual([first])

    const third = await alice.sendText(roomId, 'three')
    const next = await connection.next({ timeout: 5000 })
    expect(timelineIds(next.rooms[roomId])).toEqual([third])
    expect(next.rooms[roomId]).toMatchObject({ limited: false, num_live: 1 })
    expect(next.rooms[roomId]).not.toHaveProperty('initial')
    expect(next.rooms[roomId]).not.toHaveProperty('name')
    expect(next.rooms[roomId]?.timeline?.[0]?.unsigned?.['transaction_id']).toBeDefined()
    expect(next.rooms[roomId]?.bump_stamp).toBeGreaterThan(room?.bump_stamp ?? Number.POSITIVE_INFINITY)
    expect((await connection.next()).rooms).toEqual({})
  })

  it('waits for news, and answers empty when none came in time', async () => {
    const alice = await user('alice')
    const roomId = await alice.createRoom({})
    const connection = new SlidingClient(alice, { lists: { all: allRooms(5) } })
    await connection.next()
    const startedMs = performance.now()
    const empty = await connection.next({ timeout: 300 })
    expect(performance.now() - startedMs).toBeGreaterThan(250)
    expect(empty.rooms).toEqual({})
    const waiting = connection.next({ timeout: 20_000 })
    const eventId = await alice.sendText(roomId, 'wake up')
    expect(timelineIds((await waiting).rooms[roomId])).toEqual([eventId])
  })

  it('sorts by the newest message; other events do not bring a room to the top', async () => {
    const alice = await user('alice')
    const rooms: string[] = []
    for (const name of ['a', 'b', 'c']) rooms.push(await alice.createRoom({ name }))
    const [a = '', b = '', c = ''] = rooms
    const connection = new SlidingClient(alice, { lists: { top: { ranges: [[0, 0]], timeline_limit: 1, required_state: [] } } })
    const first = await connection.next()
    expect(Object.keys(first.rooms)).toEqual([c])
    expect(first.lists['top']?.count).toBe(3)
    await alice.sendState(b, 'm.room.topic', '', { topic: 'no bump' })
    expect((await connection.next()).rooms).toEqual({})
    const eventId = await alice.sendText(a, 'bump')
    const second = await connection.next({ timeout: 5000 })
    expect(Object.keys(second.rooms)).toEqual([a])
    expect(second.rooms[a]).toMatchObject({ initial: true, num_live: 1 })
    expect(timelineIds(second.rooms[a])).toEqual([eventId])
    // c left the window; when it comes back it is not told from the beginning.
    const again = await alice.sendText(c, 'back')
    const third = await connection.next({ timeout: 5000 })
    expect(Object.keys(third.rooms)).toEqual([c])
    expect(third.rooms[c]).not.toHaveProperty('initial')
    expect(timelineIds(third.rooms[c])).toEqual([again])
  })

  it('gives nothing lost while a room was out of sight', async () => {
    const alice = await user('alice')
    const hidden = await alice.createRoom({ name: 'hidden' })
    const top = await alice.createRoom({ name: 'top' })
    const connection = new SlidingClient(alice, { lists: { all: allRooms(10, [['m.room.topic', '']]) } })
    await connection.next()
    connection.body = { lists: { all: allRooms(10, [['m.room.topic', '']], { ranges: [[0, 0]] }) } }
    await alice.sendText(top, 'on top')
    await connection.next()
    await alice.sendState(hidden, 'm.room.topic', '', { topic: 'changed out of sight' })
    expect((await connection.next()).rooms).toEqual({})
    connection.body = { lists: { all: allRooms(10, [['m.room.topic', '']]) } }
    const back = (await connection.next()).rooms[hidden]
    expect(back).not.toHaveProperty('initial')
    expect(stateSlots(back)).toEqual(['m.room.topic|'])
    expect(back?.timeline?.map((event) => event.type)).toEqual(['m.room.topic'])
  })

  it('filters lists', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const plain = await alice.createRoom({ name: 'Plain talk' })
    const direct = await alice.createRoom({ is_direct: true })
    const encrypted = await alice.createRoom({
      name: 'secret',
      initial_state: [{ type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }],
    })
    const space = await alice.createRoom({ name: 'space', creation_content: { type: 'm.space' } })
    await alice.sendState(space, 'm.space.child', plain, { via: ['x.test'] })
    const invited = await bob.createRoom({ invite: [alice.userId] })
    await alice.put(`/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/account_data/m.direct`, {
      [bob.userId]: [direct],
    })
    await alice.put(
      `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/rooms/${encodeURIComponent(plain)}/tags/m.favourite`,
      {},
    )
    const list = (filters: Record<string, unknown>): Record<string, unknown> => ({ ...allRooms(0), filters })
    const expected: Record<string, [Record<string, unknown>, string[]]> = {
      dms: [{ is_dm: true }, [direct]],
      noDms: [{ is_dm: false }, [plain, encrypted, space, invited]],
      encrypted: [{ is_encrypted: true }, [encrypted]],
      invites: [{ is_invite: true }, [invited]],
      noInvites: [{ is_invite: false, is_encrypted: false }, [plain, direct, space]],
      spaces: [{ room_types: ['m.space'] }, [space]],
      noSpaces: [{ not_room_types: ['m.space'], is_invite: false }, [plain, direct, encrypted]],
      typeless: [{ room_types: [null], is_invite: false }, [plain, direct, encrypted]],
      inSpace: [{ spaces: [space] }, [plain]],
      named: [{ room_name_like: 'pLAIN' }, [plain]],
      favourites: [{ tags: ['m.favourite'] }, [plain]],
      noFavourites: [{ not_tags: ['m.favourite'], is_invite: false }, [direct, encrypted, space]],
      nothing: [{ spaces: ['!nowhere:x.test'] }, []],
    }
    for (const [name, [filters, rooms]] of Object.entries(expected)) {
      const answer = await new SlidingClient(alice, { conn_id: name, lists: { list: list(filters) } }).next()
      expect(Object.keys(answer.rooms).toSorted(), name).toEqual(rooms.toSorted())
      expect(answer.lists['list']?.count, name).toBe(rooms.length)
    }
    // A filter that depends on account data follows it.
    const connection = new SlidingClient(alice, { lists: { list: list({ tags: ['u.new'] }) } })
    expect((await connection.next()).lists['list']?.count).toBe(0)
    await alice.put(
      `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/rooms/${encodeURIComponent(direct)}/tags/u.new`,
      {},
    )
    expect(Object.keys((await connection.until((answer) => answer.lists['list']?.count === 1)).rooms)).toEqual([direct])
    await alice.sendState(space, 'm.space.child', encrypted, { via: ['x.test'] })
    const inSpace = await new SlidingClient(alice, { lists: { list: list({ spaces: [space] }) } }).next()
    expect(Object.keys(inSpace.rooms).toSorted()).toEqual([plain, encrypted].toSorted())
  })

  it('gives the required state: wildcards, $ME, $LAZY, and what is asked for later', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const carol = await user('carol')
    const roomId = await alice.createRoom({ name: 'State', preset: 'public_chat' })
    for (const client of [bob, carol]) await client.join(roomId)
    await alice.sendState(roomId, 'x.multi', 'one', {})
    await alice.sendState(roomId, 'x.multi', 'two', {})
    await bob.sendText(roomId, 'hello')
    const ask = async (pairs: readonly (readonly [string, string])[], limit = 1): Promise<string[]> => {
      const answer = await new SlidingClient(alice, {
        conn_id: JSON.stringify(pairs).slice(0, 200),
        lists: { all: allRooms(limit, pairs) },
      }).next()
      return stateSlots(answer.rooms[roomId])
    }
    const member = (client: TestClient): string => `m.room.member|${client.userId}`
    expect(await ask([['x.multi', '*']])).toEqual(['x.multi|one', 'x.multi|two'])
    expect(await ask([['*', 'two']])).toEqual(['x.multi|two'])
    expect(await ask([['m.room.member', '$ME']])).toEqual([member(alice)])
    expect(await ask([LAZY])).toEqual([member(bob)])
    expect(await ask([['m.room.member', '*']])).toEqual([alice, bob, carol].map(member).toSorted())
    const everything = await ask([['*', '*']])
    expect(everything).toContain(member(carol))
    expect(everything).toContain('m.room.create|')
    const lazyEverything = await ask([['*', '*'], LAZY, ['m.room.member', '$ME']])
    expect(lazyEverything).toEqual(everything.filter((slot) => slot !== member(carol)))

    const connection = new SlidingClient(alice, { lists: { all: allRooms(1, [LAZY]) } })
    await connection.next()
    await bob.sendText(roomId, 'told already')
    expect(stateSlots((await connection.until((answer) => roomId in answer.rooms)).rooms[roomId])).toEqual([])
    await carol.sendText(roomId, 'new here')
    expect(stateSlots((await connection.until((answer) => roomId in answer.rooms)).rooms[roomId])).toEqual([member(carol)])
    // More state asked for is told at once; asked for again, it is not repeated.
    const more = await connection.next({ body: { lists: { all: allRooms(1, [LAZY, ['x.multi', '*']]) } } })
    expect(stateSlots(more.rooms[roomId])).toEqual(['x.multi|one', 'x.multi|two'])
    expect((await connection.next({ body: { lists: { all: allRooms(1, [LAZY]) } } })).rooms).toEqual({})
    expect((await connection.next({ body: { lists: { all: allRooms(1, [LAZY, ['x.multi', '*']]) } } })).rooms).toEqual({})
    // What changed while it was not asked for is told when it is asked for again.
    await connection.next({ body: { lists: { all: allRooms(1, [LAZY]) } } })
    await alice.sendState(roomId, 'x.multi', 'one', { is: 'new' })
    await connection.next()
    const again = await connection.next({ body: { lists: { all: allRooms(1, [LAZY, ['x.multi', '*']]) } } })
    expect(again.rooms[roomId]?.required_state?.find((event) => event.state_key === 'one')?.content).toEqual({ is: 'new' })
  })

  it('tells a larger timeline when the limit grows, and a subscription more than its list', async () => {
    const alice = await user('alice')
    const roomId = await alice.createRoom({})
    const ids: string[] = []
    for (let index = 0; index < 5; index++) ids.push(await alice.sendText(roomId, String(index)))
    const connection = new SlidingClient(alice, { lists: { all: allRooms(1) } })
    expect(timelineIds((await connection.next()).rooms[roomId])).toEqual(ids.slice(-1))
    const subscribed = await connection.next({
      body: { room_subscriptions: { [roomId]: { timeline_limit: 4, required_state: [['m.room.create', '']] } } },
    })
    expect(subscribed.rooms[roomId]).toMatchObject({ unstable_expanded_timeline: true, limited: true })
    expect(timelineIds(subscribed.rooms[roomId])).toEqual(ids.slice(-4))
    expect(stateSlots(subscribed.rooms[roomId])).toEqual(['m.room.create|'])
    expect((await connection.next()).rooms).toEqual({})
    const foreign = await (await user('bob')).createRoom({})
    const answer = await connection.next({
      body: { room_subscriptions: { [foreign]: { timeline_limit: 4, required_state: [] } } },
    })
    expect(answer.rooms).toEqual({})
  })

  it('names heroes where a room has no name, and follows names, avatars and counts', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    await bob.put(`/_matrix/client/v3/profile/${encodeURIComponent(bob.userId)}/displayname`, { displayname: 'Bob the builder' })
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const connection = new SlidingClient(alice, { lists: { all: allRooms(1) } })
    const room = (await connection.next()).rooms[roomId]
    expect(room?.name).toBeUndefined()
    expect(room?.heroes).toEqual([{ user_id: bob.userId, displayname: 'Bob the builder' }])
    expect(room).toMatchObject({ joined_count: 2, invited_count: 0 })
    await alice.sendState(roomId, 'm.room.name', '', { name: 'Named' })
    await alice.sendState(roomId, 'm.room.avatar', '', { url: 'mxc://x.test/a' })
    const named = await connection.until((answer) => answer.rooms[roomId]?.avatar !== undefined)
    expect(named.rooms[roomId]).toMatchObject({ avatar: 'mxc://x.test/a' })
    await bob.leave(roomId)
    expect((await connection.until((answer) => answer.rooms[roomId]?.joined_count !== undefined)).rooms[roomId]).toMatchObject({
      joined_count: 1,
    })
    await alice.sendState(roomId, 'm.room.avatar', '', {})
    expect((await connection.until((answer) => roomId in answer.rooms)).rooms[roomId]?.avatar).toBeNull()
  })

  it('counts what is unread, and tells when it was read elsewhere', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const connection = new SlidingClient(alice, { lists: { all: allRooms(1) } })
    await connection.next()
    const eventId = await bob.send(roomId, 'm.room.message', {
      msgtype: 'm.text',
      body: 'hey',
      'm.mentions': { user_ids: [alice.userId] },
    })
    const unread = await connection.until((answer) => roomId in answer.rooms)
    expect(unread.rooms[roomId]).toMatchObject({ notification_count: 1, highlight_count: 1 })
    await alice.post(roomPath(roomId, 'receipt', 'm.read', eventId))
    const read = await connection.until((answer) => roomId in answer.rooms)
    expect(read.rooms[roomId]).toMatchObject({ notification_count: 0, highlight_count: 0 })
    expect(read.rooms[roomId]?.timeline).toBeUndefined()
  })

  it('tells invites and knocks with stripped state, a join from the beginning, and leaving once', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const connection = new SlidingClient(bob, { lists: { all: allRooms(5, [['m.room.member', '$ME']]) } })
    expect((await connection.next()).rooms).toEqual({})
    const roomId = await alice.createRoom({ name: 'Inner', topic: 'hidden' })
    await alice.sendText(roomId, 'before')
    await alice.invite(roomId, bob.userId)
    const invited = (await connection.until((answer) => roomId in answer.rooms)).rooms[roomId]
    expect(invited).toMatchObject({ initial: true, name: 'Inner' })
    expect(invited?.timeline).toBeUndefined()
    expect(invited?.required_state).toBeUndefined()
    expect(invited?.joined_count).toBeUndefined()
    const stripped = invited?.invite_state ?? []
    expect(stripped.map((event) => event.type)).toContain('m.room.name')
    expect(stripped.at(-1)).toMatchObject({ type: 'm.room.member', state_key: bob.userId, content: { membership: 'invite' } })
    await alice.sendText(roomId, 'not for bob yet')
    expect((await connection.next()).rooms).toEqual({})
    await bob.join(roomId)
    const joined = (await connection.until((answer) => roomId in answer.rooms)).rooms[roomId]
    expect(joined).toMatchObject({ initial: true, joined_count: 2 })
    expect(stateSlots(joined)).toEqual([`m.room.member|${bob.userId}`])
    await bob.leave(roomId)
    const secret = await alice.sendText(roomId, 'after bob')
    const left = (await connection.until((answer) => roomId in answer.rooms)).rooms[roomId]
    expect(left?.required_state?.map((event) => event.content['membership'])).toEqual(['leave'])
    expect(timelineIds(left)).not.toContain(secret)
    expect(left?.timeline?.at(-1)?.content['membership']).toBe('leave')
    await alice.sendText(roomId, 'bob is gone')
    const after = await connection.next()
    expect(after.rooms).toEqual({})
    expect(after.lists['all']?.count).toBe(0)

    const knocked = await alice.createRoom({
      initial_state: [{ type: 'm.room.join_rules', state_key: '', content: { join_rule: 'knock' } }],
      room_version: '11',
    })
    await bob.knock(knocked)
    const knocking = (await connection.until((answer) => knocked in answer.rooms)).rooms[knocked]
    expect(knocking?.invite_state?.at(-1)?.content['membership']).toBe('knock')
    await alice.kick(knocked, bob.userId)
    expect((await connection.until((answer) => knocked in answer.rooms)).rooms[knocked]).toBeDefined()
  })

  it('hides messages and invites of ignored users', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await alice.put(`/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/account_data/m.ignored_user_list`, {
      ignored_users: { [bob.userId]: {} },
    })
    await bob.createRoom({ invite: [alice.userId] })
    await bob.sendText(roomId, 'spam')
    const answer = await new SlidingClient(alice, { lists: { all: allRooms(3) } }).next()
    expect(Object.keys(answer.rooms)).toEqual([roomId])
    expect(answer.rooms[roomId]?.timeline?.some((event) => event.type === 'm.room.message')).toBe(false)
  })

  it('refuses what is malformed', async () => {
    const alice = await user('alice')
    const bad: readonly (readonly [string, Record<string, unknown>])[] = [
      ['M_BAD_JSON', { lists: [] }],
      ['M_BAD_JSON', { lists: { a: { ranges: [[0, 'x']], timeline_limit: 1, required_state: [] } } }],
      ['M_INVALID_PARAM', { lists: { a: { ranges: [[5, 1]], timeline_limit: 1, required_state: [] } } }],
      ['M_INVALID_PARAM', { lists: { a: { ranges: [[-1, 1]], timeline_limit: 1, required_state: [] } } }],
      ['M_INVALID_PARAM', { lists: { a: { ranges: [[0, 1]], timeline_limit: 1001, required_state: [] } } }],
      ['M_INVALID_PARAM', { lists: { a: { timeline_limit: 1, required_state: [['one']] } } }],
      ['M_INVALID_PARAM', { lists: { ['n'.repeat(65)]: { timeline_limit: 1, required_state: [] } } }],
      ['M_INVALID_PARAM', { lists: Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`l${index}`, {}])) }],
      ['M_INVALID_PARAM', { extensions: { to_device: { enabled: true, since: 'x' } } }],
      ['M_BAD_JSON', { extensions: { e2ee: 1 } }],
    ]
    for (const [errcode, body] of bad) {
      const answer = await alice.request<{ errcode?: string }>('POST', SLIDING_SYNC_PATH, { body, expect: 400 })
      expect(answer.errcode, JSON.stringify(body).slice(0, 100)).toBe(errcode)
    }
    const odd = await alice.post<{ rooms: object }>(SLIDING_SYNC_PATH, {
      lists: null,
      room_subscriptions: { nonsense: { timeline_limit: 1, required_state: [] }, __proto__: {} },
      extensions: { unknown: { enabled: true } },
      conn_id: null,
    })
    expect(odd.rooms).toEqual({})
    await alice.fails(400, 'M_UNKNOWN_POS', 'POST', SLIDING_SYNC_PATH, { body: {}, query: { pos: 'nonsense' } })
    await alice.fails(400, 'M_UNKNOWN_POS', 'POST', SLIDING_SYNC_PATH, { body: {}, query: { pos: '5/x1' } })
    await alice.fails(400, 'M_UNKNOWN_POS', 'POST', SLIDING_SYNC_PATH, { body: {}, query: { pos: '999999/s1_1_1' } })
    await server.anonymous().fails(401, 'M_MISSING_TOKEN', 'POST', SLIDING_SYNC_PATH, { body: {} })
  })
})
