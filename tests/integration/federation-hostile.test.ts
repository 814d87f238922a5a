import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/protocol/json.ts'
import type { TestClient } from '../kit/client.ts'
import { PeerRoom, toPdu } from '../kit/peer-room.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

interface Timeline {
  readonly chunk: readonly { readonly event_id: string; readonly type: string; readonly content: JsonObject }[]
}

interface Pdus {
  readonly pdus: Readonly<Record<string, { readonly error?: string }>>
}

const HELD_ROOMS = 24
const SEND = /^\/_matrix\/federation\/v1\/send\//
const GAPS = /^\/_matrix\/federation\/v1\/get_missing_events\//
const STATES = /^\/_matrix\/federation\/v1\/state(_ids)?\//
let server: TestServer
/** Means no good. */
let mallory: TestPeer
let good: TestPeer
let alice: TestClient
/** A room of people who mean well, which must not notice anything. */
let quiet: { readonly roomId: string; readonly room: PeerRoom }

beforeAll(async () => {
  ;[server, good] = await Promise.all([TestServer.start({ federation: true }), TestPeer.start()])
  good.handle('PUT', SEND, () => ({ pdus: {} }))
  alice = await server.register('alice')
  quiet = await createRoom(good)
})

beforeEach(async () => {
  mallory = await TestPeer.start()
  mallory.handle('PUT', SEND, () => ({ pdus: {} }))
})

afterEach(async () => {
  const sent = quiet.room.sendText(`@bob:${good.serverName}`, 'all is well')
  await quiet.room.transmit(server, [sent])
  await expect.poll(() => shownIds(quiet.roomId), { timeout: 20_000 }).toContain(sent.event.eventId)
  await alice.sync()
  await mallory[Symbol.asyncDispose]()
})

afterAll(async () => {
  await Promise.all([good, server].map((one) => one?.[Symbol.asyncDispose]()))
})

async function createRoom(peer = mallory, version = '11'): Promise<{ roomId: string; room: PeerRoom; bob: string }> {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version })
  const bob = `@bob:${peer.serverName}`
  return { roomId, room: await PeerRoom.join(peer, server, roomId, bob), bob }
}

async function shown(roomId: string): Promise<Timeline['chunk']> {
  return (await alice.get<Timeline>(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=100`)).chunk
}

async function shownIds(roomId: string): Promise<string[]> {
  return (await shown(roomId)).map((event) => event.event_id)
}

function send(body: JsonValue, txnId = `t${Math.random()}`): Promise<{ status: number; body: Pdus }> {
  return mallory.request<Pdus>(server, 'PUT', `/_matrix/federation/v1/send/${txnId}`, body)
}

/** Brings an event of which nothing before it is known. */
async function sendOrphan(room: PeerRoom, bob: string): Promise<string> {
  const lost = room.build({ type: 'm.room.message', sender: bob, content: { body: `lost ${Math.random()}` } })
  const prevEvents = [lost.event.eventId]
  const orphan = room.build({ type: 'm.room.message', sender: bob, content: { body: 'orphan' }, prevEvents })
  await room.transmit(server, [orphan])
  return orphan.event.eventId
}

describe('P14: a hostile server', { timeout: 90_000 }, () => {
  it('that answers none of our questions holds up no room but its own', async () => {
    const asked = new Set<string>()
    mallory.handle('POST', GAPS, ({ path }) => {
      asked.add(path)
      // Never an answer: the connection stays open.
      return undefined
    })
    const rooms = await Promise.all(Array.from({ length: HELD_ROOMS }, () => createRoom()))
    for (const { room, bob } of rooms) await sendOrphan(room, bob)
    await expect.poll(() => asked.size, { timeout: 20_000 }).toBeGreaterThan(0)
    // Good events go on in a room of its own, and (see afterEach) in others.
    const [held] = rooms
    if (!held) throw new Error('There is a room')
    const fine = held.room.sendText(held.bob, 'fine')
    await held.room.transmit(server, [fine])
    await expect.poll(() => shownIds(held.roomId), { timeout: 20_000 }).toContain(fine.event.eventId)
    expect(asked.size).toBeLessThan(HELD_ROOMS)
  })

  it('cannot have more questions asked than a few, however long its history claims to be', async () => {
    const { roomId, room, bob } = await createRoom()
    let invented = 0
    // Each answer is ten thousand events, and none of them has a known one before it.
    const invent = (): JsonObject => {
      const prevEvents = [`$${String(invented++).padStart(43, 'x')}`]
      return toPdu(room.build({ type: 'm.room.message', sender: bob, content: { body: `n${invented}` }, prevEvents }))
    }
    mallory.handle('POST', GAPS, () => ({ events: Array.from({ length: 1000 }, invent) }))
    mallory.handle('GET', STATES, ({ path }) =>
      path.includes('state_ids')
        ? { pdu_ids: Array.from({ length: 5000 }, (_, index) => `$${String(index).padStart(43, 'y')}`), auth_chain_ids: [] }
        : { pdus: Array.from({ length: 200 }, invent), auth_chain: [] },
    )
    const before = mallory.requests.length
    const orphan = await sendOrphan(room, bob)
    await expect.poll(() => mallory.requestsTo(STATES).length, { timeout: 30_000 }).toBeGreaterThan(0)
    await alice.sendText(roomId, 'we talk on')
    expect(await shownIds(roomId)).not.toContain(orphan)
    expect(mallory.requests.length - before).toBeLessThan(10_000)
  })

  it('may cut its answers, or never end them', async () => {
    const { roomId, room, bob } = await createRoom()
    const cut = { count: 0 }
    mallory.handle('POST', GAPS, ({ response }) => {
      cut.count += 1
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
      response.write('{"events":[')
      response.destroy()
    })
    await sendOrphan(room, bob)
    await expect.poll(() => cut.count, { timeout: 20_000 }).toBeGreaterThan(0)
    await alice.sendText(roomId, 'we talk on')
    expect((await shown(roomId)).map((event) => event.content['body'])).toContain('we talk on')
  })

  it('cannot bring events that authorise themselves, or that others of no right authorise', async () => {
    const { roomId, room, bob } = await createRoom()
    const elsewhere = await createRoom()
    const power = { users: { [bob]: 100 } }
    const create = room.stateEvent('m.room.create')?.event.eventId ?? ''
    const member = room.stateEvent('m.room.member', bob)?.event.eventId ?? ''
    const crown = { type: 'm.room.power_levels', sender: bob, stateKey: '', content: power }
    const tries = [
      room.build({ ...crown }),
      room.build({ ...crown, authEvents: [create, member] }),
      room.build({ ...crown, authEvents: [] }),
      room.build({ ...crown, authEvents: [create, create, member] }),
      room.build({ ...crown, authEvents: elsewhere.room.state().map(({ event }) => event.eventId) }),
      room.build({
        type: 'm.room.create',
        sender: bob,
        stateKey: '',
        content: { room_version: '11' },
        authEvents: [],
        prevEvents: [],
      }),
    ]
    await room.transmit(server, tries)
    const onTop = room.build({ ...crown, authEvents: [tries[0]?.event.eventId ?? '', create, member], content: power })
    const fine = room.sendText(bob, 'innocent')
    await room.transmit(server, [onTop, fine])
    await expect.poll(() => shownIds(roomId), { timeout: 20_000 }).toContain(fine.event.eventId)
    const ids = await shownIds(roomId)
    for (const { event } of [...tries, onTop]) expect(ids).not.toContain(event.eventId)
    const levels = await alice.get<{ users: JsonObject }>(
      `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.power_levels`,
    )
    expect(Object.keys(levels.users)).toEqual([alice.userId])
    expect(await alice.get(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.create`)).not.toEqual({})
  })

  it('cannot close a room by the greatest depth there is', async () => {
    const { roomId, room, bob } = await createRoom()
    const message = { type: 'm.room.message', sender: bob, content: { body: 'deepest' }, depth: Number.MAX_SAFE_INTEGER }
    const deepest = room.send(message)
    const { pdus } = await room.transmit(server, [deepest])
    expect(pdus).toEqual({ [deepest.event.eventId]: {} })
    await expect.poll(() => shownIds(roomId), { timeout: 20_000 }).toContain(deepest.event.eventId)
    await alice.sendText(roomId, 'after the deepest')
    const next = room.build({ ...message, depth: 5, content: { body: 'and on' } })
    await room.transmit(server, [next])
    await expect.poll(() => shownIds(roomId), { timeout: 20_000 }).toContain(next.event.eventId)
  })

  it.each(['1', '2'])('cannot tie a knot of events in a room of version %s', async (version) => {
    const { roomId, room, bob } = await createRoom(mallory, version)
    const head = room.events.get(room.heads[0] as never)
    if (!head) throw new Error('The room has a head')
    const message = { type: 'm.room.message', sender: bob }
    // Ids are the sender's choice in these versions: one id, two events, each after the other.
    const first = room.build({ ...message, content: { body: 'first' } })
    room.events.set(first.event.eventId, first)
    const second = room.build({ ...message, content: { body: 'second' }, prevEvents: [first.event.eventId] })
    room.events.set(second.event.eventId, second)
    const knot = room.build({ ...message, content: { body: 'knot' }, prevEvents: [second.event.eventId] })
    const { event_id: _own, ...rest } = toPdu(knot)
    const tied = { ...rest, event_id: first.event.eventId }
    await send({ pdus: [tied, toPdu(second), toPdu(knot)] })
    await alice.sendText(roomId, 'we talk on')
    const again = room.sendText(bob, 'untied')
    await room.transmit(server, [again])
    await expect.poll(() => shownIds(roomId), { timeout: 20_000 }).toContain(again.event.eventId)
  })

  it('is told what is wrong with a transaction', async () => {
    const { room, bob } = await createRoom()
    const text = toPdu(room.build({ type: 'm.room.message', sender: bob, content: { body: 'x' } }))
    const cases: [JsonValue, number][] = [
      [{ pdus: Array.from({ length: 51 }, () => text) }, 400],
      [{ pdus: [], edus: Array.from({ length: 101 }, () => ({ edu_type: 'm.typing', content: {} })) }, 400],
      [{ pdus: 'none' }, 400],
      [{ pdus: [null, 7, 'x', [], {}, { room_id: 7 }, { ...text, type: 7 }, { ...text, prev_events: 'x' }] }, 200],
      [{ pdus: [], edus: [null, 7, {}, { edu_type: 'm.presence', content: { push: 7 } }] }, 200],
      [{ pdus: [], edus: [{ edu_type: 'm.custom', content: { blob: 'x'.repeat(200_000) } }] }, 200],
    ]
    for (const [body, status] of cases) expect([status, (await send(body)).status]).toEqual([status, status])
    const path = '/_matrix/federation/v1/send/huge'
    const huge = await mallory
      .request(server, 'PUT', path, { pdus: [], edus: ['x'.repeat(60 * 1024 * 1024)] })
      .catch(() => undefined)
    expect(huge === undefined || huge.status === 413).toBe(true)
  })

  it('cannot use what another server signed, or what was signed for another server or request', async () => {
    const path = '/_matrix/federation/v1/query/profile?user_id=%40alice%3Atest.example'
    const attempts: Record<string, string> = {
      'for another server': mallory.authorization({ destination: 'elsewhere.example', method: 'GET', path }),
      'for another method': mallory.authorization({ destination: server.serverName, method: 'PUT', path }),
      'for another path': mallory.authorization({
        destination: server.serverName,
        method: 'GET',
        path: `${path}&field=avatar_url`,
      }),
      'in the name of another': mallory
        .authorization({ destination: server.serverName, method: 'GET', path })
        .replace(mallory.serverName, good.serverName),
      'in our own name': mallory
        .authorization({ destination: server.serverName, method: 'GET', path })
        .replace(mallory.serverName, server.serverName),
      garbage: 'X-Matrix origin=,key=,sig=',
    }
    for (const [name, authorization] of Object.entries(attempts)) {
      const { status } = await mallory.request(server, 'GET', path, undefined, { headers: { authorization } })
      expect([name, status]).toEqual([name, 401])
    }
  })
})

describe('P14: addresses of our own network', () => {
  it('are not asked for rooms, keys or profiles, whoever names them', async () => {
    await using shy = await TestServer.start({
      federation: true,
      config: { ip_range_blacklist: ['127.0.0.0/8', '::1/128'], federation_ip_range_blacklist: null },
    })
    await using peer = await TestPeer.start()
    const carol = await shy.register('carol')
    const room = encodeURIComponent(`#room:${peer.serverName}`)
    const joined = await carol.exchange('POST', `/_matrix/client/v3/join/${room}`, { body: {}, expect: [404, 502, 504] })
    expect(joined.status).toBeGreaterThanOrEqual(400)
    const profile = `/_matrix/client/v3/profile/${encodeURIComponent(`@bob:${peer.serverName}`)}`
    await carol.exchange('GET', profile, { expect: [404, 502, 504] })
    const signed = await peer.request(shy, 'GET', '/_matrix/federation/v1/query/profile?user_id=%40carol%3Atest.example')
    expect(signed.status).toBe(401)
    expect(peer.requests).toEqual([])
  })
})
