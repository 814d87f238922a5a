import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registerAdministrator } from '../kit/administrator.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const V1 = '/_synapse/admin/v1'
let server: TestServer
let root: TestClient
let alice: TestClient
let bob: TestClient

beforeAll(async () => {
  server = await TestServer.start({
    config: {
      retention: {
        enabled: true,
        purge_jobs: [{ longest_max_lifetime: '1h', interval: '1s' }],
      },
    },
  })
  ;[root, alice, bob] = await Promise.all([registerAdministrator(server), server.register('alice'), server.register('bob')])
})

afterAll(() => server[Symbol.asyncDispose]())

/** Purges and waits until it is done. */
async function purge(roomId: string, body: Record<string, unknown>): Promise<void> {
  const { purge_id: purgeId } = await root.post<{ purge_id: string }>(`${V1}/purge_history/${encodeURIComponent(roomId)}`, body)
  const path = `${V1}/purge_history_status/${purgeId}`
  await expect.poll(async () => (await root.get<{ status: string }>(path)).status, { timeout: 30_000 }).toBe('complete')
}

/** All texts of a room, the newest first, and every event's id. */
async function readAll(client: TestClient, roomId: string): Promise<{ texts: unknown[]; ids: string[] }> {
  const texts: unknown[] = []
  const ids: string[] = []
  for (let from: string | undefined = ''; from !== undefined;) {
    const page: Awaited<ReturnType<TestClient['messages']>> = await client.messages(roomId, {
      dir: 'b',
      limit: 20,
      ...(from === '' ? {} : { from }),
    })
    for (const event of page.chunk) {
      ids.push(event.event_id)
      if (event.type === 'm.room.message') texts.push(event.content['body'])
    }
    from = page.end
  }
  return { texts, ids }
}

describe('AD-11: purging history', () => {
  it('takes messages before an event, counts as read what is gone, and leaves the state', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Long story' })
    await bob.join(roomId)
    const sent: string[] = []
    for (let index = 0; index < 30; index += 1) sent.push(await alice.sendText(roomId, `n${index}`))
    const cut = sent[20] ?? ''
    await purge(roomId, { purge_up_to_event_id: cut, delete_local_events: true })
    const { texts } = await readAll(bob, roomId)
    expect(texts).toEqual(Array.from({ length: 10 }, (_, index) => `n${29 - index}`))
    const first = await bob.sync()
    expect(first.rooms?.join?.[roomId]?.unread_notifications?.notification_count).toBe(10)
    expect(await bob.get(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.name`)).toEqual({
      name: 'Long story',
    })
    await bob.fails(
      404,
      'M_NOT_FOUND',
      'GET',
      `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(sent[3] ?? '')}`,
    )
    await alice.sendText(roomId, 'it goes on')
    expect((await readAll(bob, roomId)).texts[0]).toBe('it goes on')
  })

  it('keeps what our own users said unless it is asked to, and the newest event always', async () => {
    const roomId = await alice.createRoom()
    await alice.sendText(roomId, 'ours')
    const last = await alice.sendText(roomId, 'last')
    await purge(roomId, { purge_up_to_event_id: last })
    expect((await readAll(alice, roomId)).texts).toEqual(['last', 'ours'])
    await purge(roomId, { purge_up_to_ts: Date.now() + 1000, delete_local_events: true })
    expect((await readAll(alice, roomId)).texts).toEqual(['last'])
  })

  it('says what is wrong', async () => {
    const roomId = await alice.createRoom()
    const path = `${V1}/purge_history/${encodeURIComponent(roomId)}`
    await root.fails(400, 'M_BAD_JSON', 'POST', path, { body: {} })
    await root.fails(404, 'M_NOT_FOUND', 'POST', path, { body: { purge_up_to_event_id: '$nothing' } })
    await root.fails(404, 'M_NOT_FOUND', 'POST', path, { body: { purge_up_to_ts: 1 } })
    await root.fails(400, 'M_BAD_JSON', 'POST', path, { body: { purge_up_to_ts: 'today' } })
    await root.fails(404, 'M_NOT_FOUND', 'GET', `${V1}/purge_history_status/none`)
  })

  it('by retention deletes what is older than the room wishes (MO-09)', async () => {
    const roomId = await alice.createRoom()
    await alice.sendText(roomId, 'soon forgotten')
    const state = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.retention`
    for (const body of [{ max_lifetime: 'long' }, { max_lifetime: -1 }, { min_lifetime: 2, max_lifetime: 1 }])
      await alice.fails(400, 'M_BAD_JSON', 'PUT', state, { body })
    await alice.sendState(roomId, 'm.room.retention', '', { max_lifetime: 1 })
    await alice.sendText(roomId, 'newest')
    await expect.poll(async () => (await readAll(alice, roomId)).texts, { timeout: 30_000 }).toEqual(['newest'])
  })
})

describe('N-15, LB-10: purges while everybody writes and reads', { timeout: 120_000 }, () => {
  it('leave sync, history and state whole, and nothing fails', async () => {
    const rooms = await Promise.all(Array.from({ length: 4 }, () => alice.createRoom({ preset: 'public_chat' })))
    await Promise.all(rooms.map((roomId) => bob.join(roomId)))
    const seen = new Map<string, Set<string>>(rooms.map((roomId) => [roomId, new Set()]))
    const sent = new Map<string, string[]>(rooms.map((roomId) => [roomId, []]))
    let since = (await bob.sync()).next_batch
    const traffic = { isOver: false }
    const reader = (async () => {
      for (let isLast = false; !isLast;) {
        isLast = traffic.isOver
        const answer = await bob.sync({ since, timeout: isLast ? 0 : 200 })
        since = answer.next_batch
        for (const [roomId, room] of Object.entries(answer.rooms?.join ?? {})) {
          for (const event of room.timeline?.events ?? []) seen.get(roomId)?.add(event.event_id)
        }
      }
    })()
    const pager = (async () => {
      for (let index = 0; !traffic.isOver; index += 1) await readAll(bob, rooms[index % rooms.length] ?? '')
    })()
    const purger = (async () => {
      for (let index = 0; !traffic.isOver; index += 1) {
        const roomId = rooms[index % rooms.length] ?? ''
        const ids = sent.get(roomId) ?? []
        const cut = ids.at(-5)
        if (cut !== undefined) await purge(roomId, { purge_up_to_event_id: cut, delete_local_events: true })
        else await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })()
    const writers = rooms.flatMap((roomId) =>
      [alice, bob].map(async (client) => {
        for (let index = 0; index < 60; index += 1)
          sent.get(roomId)?.push(await client.sendText(roomId, `${client.userId} ${index}`))
      }),
    )
    await Promise.all(writers)
    traffic.isOver = true
    await Promise.all([reader, pager, purger])
    for (const roomId of rooms) {
      const { ids } = await readAll(bob, roomId)
      const all = sent.get(roomId) ?? []
      // What is there is in the order of sending, each once, and ends with the newest.
      expect(new Set(ids).size).toBe(ids.length)
      expect(all).toContain(ids[0])
      // Sync showed every message, purged later or not.
      expect(all.filter((eventId) => !(seen.get(roomId)?.has(eventId) ?? false))).toEqual([])
      const members = await bob.get<{ joined: object }>(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/joined_members`)
      expect(Object.keys(members.joined).toSorted()).toEqual([alice.userId, bob.userId])
      expect(Object.keys((await bob.sync()).rooms?.join ?? {})).toContain(roomId)
    }
    // And a room may go while people write to it.
    const doomed = rooms[0] ?? ''
    const gone = root.request('DELETE', `${V1}/rooms/${encodeURIComponent(doomed)}`, { body: {} })
    for (let isHere = true; isHere;) {
      const { status } = await alice.exchange('POST', `/_matrix/client/v3/rooms/${encodeURIComponent(doomed)}/read_markers`, {
        body: {},
        expect: [200, 403, 404],
      })
      const answer = await alice.exchange(
        'PUT',
        `/_matrix/client/v3/rooms/${encodeURIComponent(doomed)}/send/m.room.message/${Math.random()}`,
        {
          body: { msgtype: 'm.text', body: 'still here' },
          expect: [200, 403, 404],
        },
      )
      isHere = status === 200 && answer.status === 200
    }
    await gone
    const answer = await bob.sync()
    expect(
      Object.keys(answer.rooms?.join ?? {})
        .filter((roomId) => rooms.includes(roomId))
        .toSorted(),
    ).toEqual(rooms.slice(1).toSorted())
  })
})
