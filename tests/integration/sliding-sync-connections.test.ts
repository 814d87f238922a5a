import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { allRooms, SLIDING_SYNC_PATH, SlidingClient, stateSlots, timelineIds } from '../kit/sliding-sync.ts'
import type { SlidingResponse } from '../kit/sliding-sync.ts'
import { TestServer } from '../kit/test-server.ts'

const LAZY = ['m.room.member', '$LAZY'] as const

describe('connections of sliding sync', () => {
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

  /** Without what differs between two answers to the same question. */
  function contentOf(response: SlidingResponse): unknown {
    return JSON.parse(
      JSON.stringify({ rooms: response.rooms, lists: response.lists }, (key, value: unknown) => (key === 'age' ? 0 : value)),
    )
  }

  it('repeats a lost answer without loss, however often', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const connection = new SlidingClient(alice, { lists: { all: allRooms(10, [LAZY]) } })
    await connection.next()
    await bob.join(roomId)
    await bob.sendText(roomId, 'one')
    const other = await alice.createRoom({ name: 'new' })
    const first = await connection.ask()
    const second = await connection.ask()
    const third = await connection.ask()
    expect(Object.keys(first.rooms).toSorted()).toEqual([roomId, other].toSorted())
    expect(contentOf(second)).toEqual(contentOf(first))
    expect(contentOf(third)).toEqual(contentOf(first))
    connection.pos = third.pos
    expect((await connection.next()).rooms).toEqual({})
    // The newest but one of the answers may be the one that arrived.
    const eventId = await bob.sendText(other === '' ? '' : roomId, 'two')
    await alice.createRoom({ name: 'newer' })
    const kept = await connection.ask()
    await connection.ask()
    connection.pos = kept.pos
    expect(timelineIds(kept.rooms[roomId])).toEqual([eventId])
    expect((await connection.next()).rooms).toEqual({})
  })

  it('forgets a position that the client has gone beyond, and one of a connection begun anew', async () => {
    const alice = await user('alice')
    await alice.createRoom({})
    const body = { lists: { all: allRooms(1) } }
    const connection = new SlidingClient(alice, body)
    const first = await connection.next()
    for (let index = 0; index < 3; index++) {
      await alice.createRoom({})
      await connection.next()
    }
    await alice.post(SLIDING_SYNC_PATH, body)
    await server.restart()
    await alice.fails(400, 'M_UNKNOWN_POS', 'POST', SLIDING_SYNC_PATH, { body, query: { pos: first.pos } })
    await alice.fails(400, 'M_UNKNOWN_POS', 'POST', SLIDING_SYNC_PATH, { body, query: { pos: connection.pos } })
  })

  it('goes on after a restart where it was', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await bob.sendText(roomId, 'before')
    const connection = new SlidingClient(alice, { lists: { all: allRooms(10, [LAZY]) } })
    await connection.next()
    await server.restart()
    expect((await connection.next()).rooms).toEqual({})
    const eventId = await bob.sendText(roomId, 'after')
    const answer = await connection.until((response) => roomId in response.rooms)
    expect(timelineIds(answer.rooms[roomId])).toEqual([eventId])
    expect(answer.rooms[roomId]).not.toHaveProperty('initial')
    expect(answer.rooms[roomId]).not.toHaveProperty('required_state')
  })

  it('keeps connections, devices and users apart', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const roomId = await alice.createRoom({})
    const one = new SlidingClient(alice, { conn_id: 'one', lists: { all: allRooms(1) } })
    const other = new SlidingClient(alice, { conn_id: 'other', lists: { all: allRooms(1) } })
    const phone = new SlidingClient(await alice.loginAgain(), { conn_id: 'one', lists: { all: allRooms(1) } })
    for (const connection of [one, other, phone]) expect(Object.keys((await connection.next()).rooms)).toEqual([roomId])
    await alice.sendText(roomId, 'for all')
    for (const connection of [one, other, phone]) expect(Object.keys((await connection.next()).rooms)).toEqual([roomId])
    const body = { conn_id: 'two', lists: { all: allRooms(1) } }
    await alice.fails(400, 'M_UNKNOWN_POS', 'POST', SLIDING_SYNC_PATH, { body, query: { pos: one.pos } })
    await bob.fails(400, 'M_UNKNOWN_POS', 'POST', SLIDING_SYNC_PATH, { body: one.body, query: { pos: one.pos } })
  })

  it('gives all rooms where no ranges are asked for', async () => {
    const alice = await user('alice')
    const rooms = new Set<string>()
    for (let index = 0; index < 12; index++) rooms.add(await alice.createRoom({}))
    const connection = new SlidingClient(alice, {
      lists: { all: { slow_get_all_rooms: true, timeline_limit: 1, required_state: [] } },
    })
    const answer = await connection.next()
    expect(new Set(Object.keys(answer.rooms))).toEqual(rooms)
  })

  it('tells the state that changed in a gap that is larger than what is in memory', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const carol = await user('carol')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    for (const client of [bob, carol]) await client.join(roomId)
    await carol.sendText(roomId, 'known')
    const connection = new SlidingClient(alice, { lists: { all: allRooms(3, [LAZY, ['x.state', '']]) } })
    await connection.next()
    await alice.sendState(roomId, 'x.state', '', { is: 'changed' })
    await carol.leave(roomId)
    const ids: string[] = []
    for (let index = 0; index < 70; index++) ids.push(await bob.sendText(roomId, String(index)))
    const room = (await connection.next()).rooms[roomId]
    expect(room).toMatchObject({ limited: true, num_live: 3, joined_count: 2 })
    expect(timelineIds(room)).toEqual(ids.slice(-3))
    expect(stateSlots(room)).toEqual(['x.state|'])
    // Carol's place changed unseen: when she is needed again, she is told anew.
    await carol.join(roomId)
    await carol.sendText(roomId, 'back')
    expect(stateSlots((await connection.next()).rooms[roomId])).toEqual([`m.room.member|${carol.userId}`])
  })

  it('shows whoever follows every event exactly once, whatever is in sight meanwhile', async () => {
    const alice = await user('alice')
    const bob = await user('bob')
    const rooms: string[] = []
    for (let index = 0; index < 6; index++) rooms.push(await bob.createRoom({ preset: 'public_chat' }))
    for (const roomId of rooms) await alice.join(roomId)
    const connection = new SlidingClient(alice, {
      lists: { top: allRooms(100, [LAZY, ['x.state', '*']]) },
      extensions: { receipts: { enabled: true }, account_data: { enabled: true } },
    })
    await connection.next()
    const sent = new Map<string, string[]>(rooms.map((roomId) => [roomId, []]))
    const seen = new Map<string, string[]>(rooms.map((roomId) => [roomId, []]))
    const state = new Map<string, unknown>()
    let isDone = false
    const sending = (async () => {
      for (let round = 0; round < 60; round++) {
        const roomId = rooms[(round * 7 + (round % 5)) % rooms.length] ?? ''
        const isState = round % 4 === 0
        const eventId = isState
          ? await bob.sendState(roomId, 'x.state', String(round % 3), { round })
          : await bob.sendText(roomId, String(round))
        sent.get(roomId)?.push(eventId)
      }
      isDone = true
    })()
    for (let round = 0, isLast = false; !isLast; round++) {
      isLast = isDone
      // The window shrinks and grows; every third answer is lost and asked for again.
      const last = isLast ? 99 : round % 3
      connection.body = { ...connection.body, lists: { top: allRooms(100, [LAZY, ['x.state', '*']], { ranges: [[0, last]] }) } }
      if (round % 3 === 1) await connection.ask({ timeout: 20 })
      const answer = await connection.next({ timeout: 20 })
      for (const [roomId, room] of Object.entries(answer.rooms)) {
        expect(room.initial, 'rooms are told from the beginning once').not.toBe(true)
        expect(room.limited).toBe(false)
        seen.get(roomId)?.push(...timelineIds(room))
        for (const event of room.required_state ?? [])
          if (event.type === 'x.state') state.set(`${roomId} ${event.state_key ?? ''}`, event.content['round'])
      }
    }
    await sending
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(sent))
    for (const roomId of rooms) {
      for (const key of ['0', '1', '2']) {
        const current = await alice.request<{ round?: number }>(
          'GET',
          `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/x.state/${key}`,
          { expect: [200, 404] },
        )
        expect(state.get(`${roomId} ${key}`), `${roomId} ${key}`).toBe(current.round)
      }
    }
  })
})
