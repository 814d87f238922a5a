import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { federationConfig } from '../kit/federation-config.ts'
import { appendPastServices, foreignJoin } from '../kit/foreign-members.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

interface PduJson {
  readonly type: string
  readonly state_key?: string
  readonly content: Record<string, unknown>
  readonly unsigned?: unknown
  readonly prev_events: readonly string[]
}
interface Pdus {
  readonly pdus: readonly PduJson[]
}

const FEDERATION = '/_matrix/federation/v1'
let server: TestServer
let peer: TestPeer
let stranger: TestPeer
let alice: TestClient

/** A member on the peer. */
function bob(): string {
  return `@bob:${peer.serverName}`
}

function fetchEvent(eventId: string, from = peer) {
  return from.request<Pdus>(server, 'GET', `${FEDERATION}/event/${encodeURIComponent(eventId)}`)
}

function path(kind: string, roomId: string, query: string): string {
  return `${FEDERATION}/${kind}/${encodeURIComponent(roomId)}${query}`
}

beforeAll(async () => {
  const { server_name: _name, public_baseurl: _url, ...options } = await federationConfig(0)
  server = await TestServer.start({ config: options })
  peer = await TestPeer.start()
  stranger = await TestPeer.start()
  alice = await server.register('alice')
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await stranger[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

async function createSharedRoom(body: Record<string, unknown> = {}): Promise<string> {
  const roomId = await alice.createRoom({ preset: 'public_chat', ...body })
  await appendPastServices(server, roomId, [foreignJoin(bob())])
  return roomId
}

describe('an event', () => {
  it('is given to servers in its room, as it was stored', async () => {
    const roomId = await createSharedRoom()
    const eventId = await alice.sendText(roomId, 'hello')
    const { status, body } = await fetchEvent(eventId)
    expect(status).toBe(200)
    expect(body.pdus).toHaveLength(1)
    expect(body.pdus[0]?.content['body']).toBe('hello')
    expect(body.pdus[0]?.unsigned).toBeUndefined()
  })

  it('is not given to servers that are not in its room, and unknown ones are not found', async () => {
    const roomId = await createSharedRoom()
    const eventId = await alice.sendText(roomId, 'hello')
    expect((await fetchEvent(eventId, stranger)).status).toBe(403)
    expect((await fetchEvent('$unknown')).status).toBe(404)
  })

  it('that was redacted has lost its content', async () => {
    const roomId = await createSharedRoom()
    const eventId = await alice.sendText(roomId, 'regretted')
    await alice.redact(roomId, eventId)
    const { body } = await fetchEvent(eventId)
    expect(body.pdus[0]?.content).toEqual({})
  })

  it('from before the server came is a redacted copy where the history is for members only', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'joined' } }],
    })
    const before = await alice.sendText(roomId, 'secret')
    const [join = ''] = await appendPastServices(server, roomId, [foreignJoin(bob())])
    const after = await alice.sendText(roomId, 'for all')
    expect((await fetchEvent(before)).body.pdus[0]?.content).toEqual({})
    expect((await fetchEvent(join)).body.pdus[0]?.content).toEqual({ membership: 'join' })
    expect((await fetchEvent(after)).body.pdus[0]?.content['body']).toBe('for all')
  })

  it('of an erased account is a redacted copy', async () => {
    const roomId = await createSharedRoom()
    const erin = await server.register('erin')
    await erin.join(roomId)
    const eventId = await erin.sendText(roomId, 'forget me')
    const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'erin' }, password: erin.password }
    await erin.post('/_matrix/client/v3/account/deactivate', { auth, erase: true })
    expect((await fetchEvent(eventId)).body.pdus[0]?.content).toEqual({})
  })
})

describe('the state before an event', () => {
  it('comes with its auth chain, as events and as ids', async () => {
    const roomId = await createSharedRoom()
    const before = await alice.sendText(roomId, 'hello')
    const topic = await alice.sendState(roomId, 'm.room.topic', '', { topic: 'new' })
    const ids = await peer.request<{ pdu_ids: string[]; auth_chain_ids: string[] }>(
      server,
      'GET',
      path('state_ids', roomId, `?event_id=${encodeURIComponent(before)}`),
    )
    expect(ids.status).toBe(200)
    expect(ids.body.pdu_ids).not.toContain(topic)
    expect(ids.body.auth_chain_ids.length).toBeGreaterThan(3)
    const texts = await peer.request<{ pdus: PduJson[]; auth_chain: PduJson[] }>(
      server,
      'GET',
      path('state', roomId, `?event_id=${encodeURIComponent(before)}`),
    )
    expect(texts.body.pdus).toHaveLength(ids.body.pdu_ids.length)
    expect(texts.body.auth_chain).toHaveLength(ids.body.auth_chain_ids.length)
    expect(texts.body.auth_chain.map((pdu) => pdu.type)).toContain('m.room.create')
    expect(texts.body.pdus.map((pdu) => pdu.state_key)).toContain(bob())
    const atTopic = await peer.request<{ pdu_ids: string[] }>(
      server,
      'GET',
      path('state_ids', roomId, `?event_id=${encodeURIComponent(topic)}`),
    )
    expect(atTopic.body.pdu_ids).not.toContain(topic)
  })

  it('is refused to strangers, and not found where the event is of another room', async () => {
    const roomId = await createSharedRoom()
    const other = await createSharedRoom()
    const eventId = await alice.sendText(other, 'hello')
    const query = `?event_id=${encodeURIComponent(eventId)}`
    expect((await stranger.request(server, 'GET', path('state_ids', other, query))).status).toBe(403)
    expect((await peer.request(server, 'GET', path('state_ids', roomId, query))).status).toBe(404)
    expect((await peer.request(server, 'GET', path('state', roomId, '?event_id=%24unknown'))).status).toBe(404)
    expect((await peer.request(server, 'GET', path('state', roomId, ''))).status).toBe(400)
  })

  it('has the auth chain of a single event too', async () => {
    const roomId = await createSharedRoom()
    const eventId = await alice.sendText(roomId, 'hello')
    const { body } = await peer.request<{ auth_chain: PduJson[] }>(
      server,
      'GET',
      `${FEDERATION}/event_auth/${encodeURIComponent(roomId)}/${encodeURIComponent(eventId)}`,
    )
    const types = body.auth_chain.map((pdu) => pdu.type).sort()
    expect(types).toContain('m.room.create')
    expect(types).toContain('m.room.power_levels')
    expect(types).not.toContain('m.room.message')
  })
})

describe('a walk through the room', () => {
  it('goes back from events, those included, newest first', async () => {
    const roomId = await createSharedRoom()
    const sent: string[] = []
    for (let number = 0; number < 5; number++) sent.push(await alice.sendText(roomId, `message ${number}`))
    const from = encodeURIComponent(sent[3] ?? '')
    const { status, body } = await peer.request<Pdus>(server, 'GET', path('backfill', roomId, `?v=${from}&limit=3`))
    expect(status).toBe(200)
    expect(body.pdus.map((pdu) => pdu.content['body'])).toEqual(['message 3', 'message 2', 'message 1'])
  })

  it('ends at the beginning of the room, and needs events of the room', async () => {
    const roomId = await createSharedRoom()
    const eventId = await alice.sendText(roomId, 'hello')
    const all = await peer.request<Pdus>(server, 'GET', path('backfill', roomId, `?v=${encodeURIComponent(eventId)}&limit=100`))
    expect(all.body.pdus.at(-1)?.type).toBe('m.room.create')
    const other = await createSharedRoom()
    const none = await peer.request<Pdus>(server, 'GET', path('backfill', other, `?v=${encodeURIComponent(eventId)}&limit=100`))
    expect(none.body.pdus).toEqual([])
    expect(
      (await stranger.request(server, 'GET', path('backfill', roomId, `?v=${encodeURIComponent(eventId)}&limit=9`))).status,
    ).toBe(403)
  })

  it('gives redacted copies of what the server may not see', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'joined' } }],
    })
    await alice.sendText(roomId, 'secret')
    await appendPastServices(server, roomId, [foreignJoin(bob())])
    const eventId = await alice.sendText(roomId, 'for all')
    const { body } = await peer.request<Pdus>(
      server,
      'GET',
      path('backfill', roomId, `?v=${encodeURIComponent(eventId)}&limit=3`),
    )
    expect(body.pdus.map((pdu) => pdu.content)).toMatchObject([{ body: 'for all' }, { membership: 'join' }, {}])
    expect(JSON.stringify(body)).not.toContain('secret')
  })

  it('fills the gap between what a server has and a later event, oldest first', async () => {
    const roomId = await createSharedRoom()
    const sent: string[] = []
    for (let number = 0; number < 6; number++) sent.push(await alice.sendText(roomId, `message ${number}`))
    const ask = (body: Record<string, unknown>) =>
      peer.request<{ events: PduJson[] }>(server, 'POST', path('get_missing_events', roomId, ''), body as never)
    const gap = await ask({ earliest_events: [sent[1]], latest_events: [sent[5]], limit: 10 })
    expect(gap.body.events.map((pdu) => pdu.content['body'])).toEqual(['message 2', 'message 3', 'message 4'])
    const few = await ask({ earliest_events: [sent[0]], latest_events: [sent[5]], limit: 2 })
    expect(few.body.events.map((pdu) => pdu.content['body'])).toEqual(['message 3', 'message 4'])
    const many = await ask({ earliest_events: [], latest_events: [sent[5]], limit: 1000 })
    expect(many.body.events.length).toBeLessThanOrEqual(20)
    expect((await ask({ earliest_events: [], latest_events: 'x' })).status).toBe(400)
  })
})

describe('an event near a time', () => {
  it('is found among what the server may see', async () => {
    const roomId = await createSharedRoom()
    const eventId = await alice.sendText(roomId, 'hello')
    const found = await peer.request<{ event_id: string }>(
      server,
      'GET',
      path('timestamp_to_event', roomId, '?ts=9999999999999&dir=b'),
    )
    expect(found.body.event_id).toBe(eventId)
    expect((await peer.request(server, 'GET', path('timestamp_to_event', roomId, '?ts=9999999999999&dir=f'))).status).toBe(404)
    expect((await stranger.request(server, 'GET', path('timestamp_to_event', roomId, '?ts=1&dir=f'))).status).toBe(403)
  })
})

describe('the server ACL of a room', () => {
  it('keeps servers from all of it', async () => {
    const roomId = await createSharedRoom()
    const eventId = await alice.sendText(roomId, 'hello')
    await alice.sendState(roomId, 'm.room.server_acl', '', { allow: ['*'], deny: [peer.serverName.replace(/:.*/, '')] })
    const id = encodeURIComponent(eventId)
    const room = encodeURIComponent(roomId)
    for (const url of [
      `state/${room}?event_id=${id}`,
      `state_ids/${room}?event_id=${id}`,
      `event_auth/${room}/${id}`,
      `backfill/${room}?v=${id}&limit=1`,
      `timestamp_to_event/${room}?ts=1&dir=f`,
      `make_join/${room}/${encodeURIComponent(bob())}?ver=12`,
      `make_leave/${room}/${encodeURIComponent(bob())}`,
      `make_knock/${room}/${encodeURIComponent(bob())}?ver=12`,
      `event/${id}`,
    ]) {
      const { status, body } = await peer.request(server, 'GET', `${FEDERATION}/${url}`)
      expect([url, status, body['errcode']]).toEqual([url, 403, 'M_FORBIDDEN'])
    }
    const missing = await peer.request(server, 'POST', path('get_missing_events', roomId, ''), {
      earliest_events: [],
      latest_events: [],
    })
    expect(missing.status).toBe(403)
    await alice.sendState(roomId, 'm.room.server_acl', '', { allow: ['*'] })
    expect((await fetchEvent(eventId)).status).toBe(200)
  })
})
