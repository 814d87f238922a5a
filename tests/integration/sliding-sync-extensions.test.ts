import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { allRooms, SlidingClient } from '../kit/sliding-sync.ts'
import { TestServer } from '../kit/test-server.ts'

describe('extensions of sliding sync', () => {
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

  function accountDataPath(client: TestClient, type: string, roomId?: string): string {
    const room = roomId === undefined ? '' : `/rooms/${encodeURIComponent(roomId)}`
    return `/_matrix/client/v3/user/${encodeURIComponent(client.userId)}${room}/account_data/${type}`
  }

  it('gives messages to the device until it acknowledges them', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const send = (body: string): Promise<unknown> =>
      bob.put(`/_matrix/client/v3/sendToDevice/x.test/${body}`, { messages: { [alice.userId]: { [alice.deviceId]: { body } } } })
    const extension = (since?: string): Record<string, unknown> => ({
      extensions: { to_device: { enabled: true, ...(since !== undefined && { since }) } },
    })
    const connection = new SlidingClient(alice, extension())
    const empty = (await connection.next()).extensions.to_device
    expect(empty?.events).toEqual([])
    const waiting = connection.next({ timeout: 20_000, body: extension(empty?.next_batch ?? '') })
    await send('one')
    const first = (await waiting).extensions.to_device
    expect(first?.events).toEqual([{ type: 'x.test', sender: bob.userId, content: { body: 'one' } }])
    await send('two')
    // The first answer was lost.
    const again = (await connection.until((answer) => answer.extensions.to_device?.events.length === 2)).extensions.to_device
    expect(again?.events.map((event) => event.content['body'])).toEqual(['one', 'two'])
    const none = (await connection.next({ body: extension(again?.next_batch ?? '') })).extensions.to_device
    expect(none?.events).toEqual([])
    // Acknowledged messages are gone, even for who asks from the beginning.
    expect((await new SlidingClient(alice, extension()).next()).extensions.to_device?.events).toEqual([])
  })

  it('tells of device lists and counts of keys', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const connection = new SlidingClient(alice, { extensions: { e2ee: { enabled: true } } })
    const first = (await connection.next()).extensions.e2ee
    expect(first?.device_lists).toBeUndefined()
    expect(first?.device_one_time_keys_count).toEqual({ signed_curve25519: 0 })
    expect(first?.device_unused_fallback_key_types).toEqual([])
    await bob.join(roomId)
    const joined = await connection.until((answer) => answer.extensions.e2ee?.device_lists?.changed.includes(bob.userId) === true)
    expect(joined.extensions.e2ee?.device_lists).toEqual({ changed: [bob.userId], left: [] })
    await bob.loginAgain()
    await connection.until((answer) => answer.extensions.e2ee?.device_lists?.changed.includes(bob.userId) === true)
    await bob.leave(roomId)
    await connection.until((answer) => answer.extensions.e2ee?.device_lists?.left.includes(bob.userId) === true)
  })

  it('tells global account data, and that of rooms in sight: each change once', async () => {
    const alice = await user('alice')
    const first = await alice.createRoom({})
    const second = await alice.createRoom({})
    await alice.put(accountDataPath(alice, 'x.global'), { n: 1 })
    await alice.put(accountDataPath(alice, 'x.room', first), { n: 1 })
    const list = (last: number): Record<string, unknown> => ({ all: allRooms(0, [], { ranges: [[0, last]] }) })
    const connection = new SlidingClient(alice, { lists: list(9), extensions: { account_data: { enabled: true } } })
    const initial = (await connection.next()).extensions.account_data
    expect(initial?.global.map((item) => item.type)).toEqual(expect.arrayContaining(['x.global', 'm.push_rules']))
    expect(initial?.rooms).toEqual({ [first]: [{ type: 'x.room', content: { n: 1 } }] })
    await connection.next({ body: { lists: list(0) } })
    await alice.put(accountDataPath(alice, 'x.room', first), { n: 2 })
    await alice.put(accountDataPath(alice, 'x.room', second), { n: 2 })
    const inSight = await connection.until((answer) => Object.keys(answer.extensions.account_data?.rooms ?? {}).length > 0)
    expect(inSight.extensions.account_data?.rooms).toEqual({ [second]: [{ type: 'x.room', content: { n: 2 } }] })
    const back = await connection.next({ body: { lists: list(9) } })
    expect(back.extensions.account_data?.rooms).toEqual({ [first]: [{ type: 'x.room', content: { n: 2 } }] })
    expect((await connection.next()).extensions.account_data).toEqual({ global: [], rooms: {} })
    await alice.put(accountDataPath(alice, 'x.global'), { n: 2 })
    const changed = await connection.until((answer) => (answer.extensions.account_data?.global.length ?? 0) > 0)
    expect(changed.extensions.account_data?.global).toEqual([{ type: 'x.global', content: { n: 2 } }])
  })

  it('tells receipts: at first those of what is shown and the own, then each change', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const carol = await user('carol')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    for (const client of [bob, carol]) await client.join(roomId)
    const old = await alice.sendText(roomId, 'old')
    await carol.post(roomPath(roomId, 'receipt', 'm.read', old))
    await alice.post(roomPath(roomId, 'receipt', 'm.read.private', old))
    const shown = await alice.sendText(roomId, 'shown')
    await bob.post(roomPath(roomId, 'receipt', 'm.read', shown))
    const connection = new SlidingClient(alice, { lists: { all: allRooms(1) }, extensions: { receipts: { enabled: true } } })
    const initial = (await connection.next()).extensions.receipts?.rooms[roomId]
    expect(initial?.type).toBe('m.receipt')
    expect(Object.keys(initial?.content[shown]?.['m.read'] ?? {})).toEqual([bob.userId])
    expect(Object.keys(initial?.content[old] ?? {})).toEqual(['m.read.private'])
    await carol.post(roomPath(roomId, 'receipt', 'm.read', shown))
    const next = await connection.until((answer) => roomId in (answer.extensions.receipts?.rooms ?? {}))
    expect(next.rooms).toEqual({})
    expect(Object.keys(next.extensions.receipts?.rooms[roomId]?.content[shown]?.['m.read'] ?? {})).toEqual([carol.userId])
    expect((await connection.next()).extensions.receipts).toEqual({ rooms: {} })
    // Private receipts stay private.
    const other = new SlidingClient(bob, { lists: { all: allRooms(5) }, extensions: { receipts: { enabled: true } } })
    expect(JSON.stringify((await other.next()).extensions.receipts)).not.toContain('m.read.private')
  })

  it('tells who types, and that nobody does any more', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const connection = new SlidingClient(alice, { lists: { all: allRooms(0) }, extensions: { typing: { enabled: true } } })
    expect((await connection.next()).extensions.typing).toEqual({ rooms: {} })
    await bob.put(roomPath(roomId, 'typing', bob.userId), { typing: true, timeout: 30_000 })
    const typing = await connection.until((answer) => roomId in (answer.extensions.typing?.rooms ?? {}))
    expect(typing.extensions.typing?.rooms[roomId]).toEqual({ type: 'm.typing', content: { user_ids: [bob.userId] } })
    await bob.put(roomPath(roomId, 'typing', bob.userId), { typing: false })
    const ended = await connection.until((answer) => roomId in (answer.extensions.typing?.rooms ?? {}))
    expect(ended.extensions.typing?.rooms[roomId]?.content.user_ids).toEqual([])
  })

  it('is bound to lists and rooms where the client says so, and silent where it is off', async () => {
    const alice = await user('alice')
    const inList = await alice.createRoom({})
    const other = await alice.createRoom({})
    for (const roomId of [inList, other]) await alice.put(accountDataPath(alice, 'x.room', roomId), {})
    await alice.put(
      `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/rooms/${encodeURIComponent(inList)}/tags/u.a`,
      {},
    )
    const ask = async (scope: Record<string, unknown>): Promise<string[]> => {
      const connection = new SlidingClient(alice, {
        lists: { tagged: allRooms(0, [], { filters: { tags: ['u.a'] } }), all: allRooms(0) },
        extensions: { account_data: { enabled: true, ...scope } },
      })
      return Object.keys((await connection.next()).extensions.account_data?.rooms ?? {}).toSorted()
    }
    expect(await ask({})).toEqual([inList, other].toSorted())
    expect(await ask({ lists: ['tagged'], rooms: [] })).toEqual([inList])
    expect(await ask({ lists: [], rooms: [other] })).toEqual([other])
    expect(await ask({ lists: null, rooms: null })).toEqual([])
    const off = await new SlidingClient(alice, {
      lists: { all: allRooms(0) },
      extensions: { account_data: { enabled: false }, presence: { enabled: true } },
    }).next()
    expect(off.extensions).toEqual({})
  })
})
