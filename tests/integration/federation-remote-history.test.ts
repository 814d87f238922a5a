import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { PeerRoom, toPdu } from '../kit/peer-room.ts'
import { PASS_ON, PeerAnswer, TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

let server: TestServer
let peer: TestPeer
let creator: string
let users = 0

beforeAll(async () => {
  server = await TestServer.start({ federation: true })
  peer = await TestPeer.start()
  peer.handle('PUT', /\/send\//, () => ({ pdus: {} }))
  creator = `@creator:${peer.serverName}`
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** A user of ours in a room of the peer, which has so many messages from before. */
async function joinedRoom(count: number, options: Parameters<typeof PeerRoom.create>[1] = {}) {
  const room = PeerRoom.create(peer, { version: '11', ...options }).serve()
  const bodies = Array.from({ length: count }, (_, index) => `message ${index}`)
  for (const body of bodies) room.sendText(creator, body)
  const client = await server.register(`user${++users}`)
  await client.post(`/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}`, {}, { query: { via: peer.serverName } })
  return { room, client, bodies }
}

/** Reads backwards to the end, as a client scrolls; returns the events in the order of the room. */
async function scroll(client: TestClient, roomId: string, limit: number) {
  const events: Awaited<ReturnType<TestClient['messages']>>['chunk'][number][] = []
  let from: string | undefined
  for (let page = 0; page < 100; page++) {
    const { chunk, end } = await client.messages(roomId, { dir: 'b', limit, ...(from === undefined ? {} : { from }) })
    events.push(...chunk)
    if (end === undefined) return events.toReversed()
    from = end
  }
  throw new Error('The history has no end')
}

function bodiesOf(events: readonly { content: Record<string, unknown> }[]): unknown[] {
  return events.flatMap(({ content }) => content['body'] ?? [])
}

describe('history from before the join', () => {
  it.each([['11'], ['12'], ['2']])('comes page by page, in order and whole (room version %s)', async (version) => {
    const { room, client, bodies } = await joinedRoom(210, { version })
    const events = await scroll(client, room.roomId, 30)
    expect(bodiesOf(events)).toEqual(bodies)
    expect(events.map(({ type }) => type).slice(0, 5)).toEqual([
      'm.room.create',
      'm.room.member',
      'm.room.power_levels',
      'm.room.join_rules',
      'm.room.history_visibility',
    ])
    expect(new Set(events.map((event) => event.event_id)).size).toBe(events.length)
    const asked = peer.requestsTo(/\/backfill\//).length
    expect(bodiesOf(await scroll(client, room.roomId, 100))).toEqual(bodies)
    expect(peer.requestsTo(/\/backfill\//)).toHaveLength(asked)
  })

  it('comes with forks, and with changes of state in between', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    const sent: string[] = []
    for (let index = 0; index < 20; index++) {
      const [head] = room.heads
      room.sendText(creator, `left ${index}`)
      const [left] = room.heads
      const right = room.build({
        type: 'm.room.name',
        stateKey: '',
        sender: creator,
        content: { name: `${index}` },
        prevEvents: [head as string],
      })
      room.add(right)
      room.heads = [left as string, right.event.eventId] as typeof room.heads
      sent.push(left as string, right.event.eventId)
    }
    const client = await server.register(`user${++users}`)
    await client.post(`/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}`, {}, { query: { via: peer.serverName } })
    const events = await scroll(client, room.roomId, 10)
    expect(events.map((event) => event.event_id)).toEqual(expect.arrayContaining(sent))
  })

  it('is not shown where the room hides it from who came later', async () => {
    const { room, client } = await joinedRoom(5, {
      state: [{ type: 'm.room.history_visibility', stateKey: '', content: { history_visibility: 'joined' } }],
    })
    expect(bodiesOf(await scroll(client, room.roomId, 100))).toEqual([])
  })

  it('may come later where nobody has it now', async () => {
    const { room, client, bodies } = await joinedRoom(5)
    let isAway = true
    const pattern = new RegExp(`/backfill/${encodeURIComponent(room.roomId)}$`)
    peer.handle('GET', pattern, () => (isAway ? new PeerAnswer(403, { errcode: 'M_FORBIDDEN', error: 'No' }) : PASS_ON))
    const first = await client.messages(room.roomId, { dir: 'b', limit: 10 })
    expect(bodiesOf(first.chunk)).toEqual([])
    expect(first.end).toBeDefined()
    isAway = false
    const deadline = performance.now() + 40_000
    let found: unknown[] = []
    while (found.length === 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 1000))
      found = bodiesOf((await client.messages(room.roomId, { dir: 'b', limit: 10, from: first.end })).chunk)
    }
    expect(found.toReversed()).toEqual(bodies)
  }, 60_000)

  it('holds nothing that the other server slips in', async () => {
    const { room, client, bodies } = await joinedRoom(5)
    const strange = PeerRoom.create(peer, { version: '11' })
    const slipped = strange.sendText(creator, 'from elsewhere')
    const unsigned = { ...(JSON.parse(room.sendText(creator, 'forged').json) as Record<string, unknown>), signatures: {} }
    const pattern = new RegExp(`/backfill/${encodeURIComponent(room.roomId)}$`)
    const pdus = [...room.events.values()].toReversed().map(toPdu)
    peer.handle('GET', pattern, () => ({
      origin: peer.serverName,
      origin_server_ts: 1,
      pdus: [toPdu(slipped), unsigned, 'nonsense', null, ...pdus],
    }))
    expect(bodiesOf(await scroll(client, room.roomId, 100))).toEqual(bodies)
  })
})

describe('jumping to a date before the join', () => {
  it('finds the event at another server, and shows what is around it', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    const startMs = Date.now() - 1_000_000
    const sent = Array.from({ length: 150 }, (_, index) =>
      room.send({
        type: 'm.room.message',
        sender: creator,
        content: { msgtype: 'm.text', body: `message ${index}` },
        originServerTs: startMs + 1000 * index,
      }),
    )
    peer.handle('GET', new RegExp(`/timestamp_to_event/${encodeURIComponent(room.roomId)}$`), () => ({
      event_id: sent[20]?.event.eventId,
      origin_server_ts: startMs + 20_000,
    }))
    const client = await server.register(`user${++users}`)
    await client.post(`/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}`, {}, { query: { via: peer.serverName } })
    const path = `/_matrix/client/v1/rooms/${encodeURIComponent(room.roomId)}/timestamp_to_event`
    const found = await client.get<{ event_id: string }>(path, { query: { ts: startMs + 19_500, dir: 'f' } })
    expect(found.event_id).toBe(sent[20]?.event.eventId)
    const context = await client.get<{ event: { event_id: string } }>(
      `/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}/context/${encodeURIComponent(found.event_id)}`,
    )
    expect(context.event.event_id).toBe(found.event_id)
  })
})
