import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseRoomId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { Database } from '../../src/storage/database.ts'
import { insertStagedEvents } from '../../src/storage/tables/federation-staging.ts'
import type { TestClient } from '../kit/client.ts'
import { findFreePort } from '../kit/federation-config.ts'
import { PeerRoom, toPdu } from '../kit/peer-room.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

interface Timeline {
  readonly chunk: readonly { readonly event_id: string; readonly type: string; readonly content: JsonObject }[]
}

const STATE_REQUESTS = /\/(state|state_ids)\//
let server: TestServer
let peer: TestPeer
/** A peer with an address for a name, so that an ACL can tell it from us. */
let numbered: TestPeer
let alice: TestClient

beforeAll(async () => {
  server = await TestServer.start({ federation: true })
  peer = await TestPeer.start()
  peer.handle('PUT', /^\/_matrix\/federation\/v1\/send\//, () => ({ pdus: {} }))
  const port = await findFreePort()
  numbered = await TestPeer.start({ port, serverName: `127.0.0.1:${port}` })
  alice = await server.register('alice')
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await numbered[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function userOf(name: string): string {
  return `@${name}:${peer.serverName}`
}

async function createRoom(version = '11', by = peer): Promise<{ roomId: string; room: PeerRoom; bob: string }> {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version })
  const bob = `@bob:${by.serverName}`
  return { roomId, room: await PeerRoom.join(by, server, roomId, bob), bob }
}

async function bodies(roomId: string): Promise<unknown[]> {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=50`
  const { chunk } = await alice.get<Timeline>(path)
  return chunk.filter((event) => event.type === 'm.room.message').map((event) => event.content['body'])
}

async function eventually<T>(look: () => Promise<T>, isDone: (value: T) => boolean, timeoutMs = 10_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await look()
    if (isDone(value) || performance.now() > deadline) return value
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
}

/** The newest messages of the room, once that one is there. */
function bodiesWith(roomId: string, body: string): Promise<unknown[]> {
  return eventually(
    () => bodies(roomId),
    (found) => found.includes(body),
  )
}

describe('joins', () => {
  it.each(['1', '6', '10', '11', '12'])('over send_join bring users into rooms of version %s', async (version) => {
    const { roomId, room, bob } = await createRoom(version)
    expect(room.stateEvent('m.room.create')).toBeDefined()
    const members = await alice.get<{ joined: Record<string, unknown> }>(
      `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/joined_members`,
    )
    expect(Object.keys(members.joined).sort()).toEqual([alice.userId, bob].sort())
    const sent = room.sendText(bob, 'hello')
    expect(await room.transmit(server, [sent])).toEqual({ status: 200, pdus: { [sent.event.eventId]: {} } })
    expect(await bodiesWith(roomId, 'hello')).toEqual(['hello'])
  })

  it('by the first version of send_join are answered with a list', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
    const path = `${encodeURIComponent(roomId)}/${encodeURIComponent(userOf('bob'))}?ver=11`
    const made = await peer.request<{ event: JsonObject }>(server, 'GET', `/_matrix/federation/v1/make_join/${path}`)
    const other = PeerRoom.create(peer, { version: '11' })
    const join = other.signTemplate(made.body.event, roomId)
    const { status, body } = await peer.request<[number, { state: JsonObject[] }]>(
      server,
      'PUT',
      `/_matrix/federation/v1/send_join/${encodeURIComponent(roomId)}/${encodeURIComponent(join.event.eventId)}`,
      toPdu(join),
    )
    expect([status, body[0]]).toEqual([200, 200])
    expect(body[1].state.map((pdu) => pdu['type'])).toContain('m.room.power_levels')
  })

  it('are refused where the event is none, is of another user or of another server', async () => {
    const { roomId, room, bob } = await createRoom()
    const send = async (event: Parameters<PeerRoom['build']>[0]) => {
      const built = room.build(event)
      const path = `${encodeURIComponent(roomId)}/${encodeURIComponent(built.event.eventId)}`
      const pdu = toPdu(built)
      return (await peer.request(server, 'PUT', `/_matrix/federation/v2/send_join/${path}`, pdu)).status
    }
    const carol = userOf('carol')
    expect(await send({ type: 'm.room.message', sender: bob, content: { body: 'no' } })).toBe(400)
    expect(await send({ type: 'm.room.member', sender: carol, stateKey: carol, content: { membership: 'leave' } })).toBe(400)
    expect(await send({ type: 'm.room.member', sender: carol, stateKey: bob, content: { membership: 'join' } })).toBe(400)
    const dave = `@dave:elsewhere.example`
    expect(await send({ type: 'm.room.member', sender: dave, stateKey: dave, content: { membership: 'join' } })).toBe(403)
  })

  it('with omit_members leave members out, and name the servers instead', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11', name: 'Named' })
    const dora = await server.register(`dora${Date.now()}`)
    await dora.join(roomId)
    const path = `${encodeURIComponent(roomId)}/${encodeURIComponent(userOf('bob'))}?ver=11`
    const made = await peer.request<{ event: JsonObject }>(server, 'GET', `/_matrix/federation/v1/make_join/${path}`)
    const join = PeerRoom.create(peer, { version: '11' }).signTemplate(made.body.event, roomId)
    const { body } = await peer.request<{
      state: { type: string; state_key: string }[]
      auth_chain: { type: string; state_key: string }[]
      members_omitted: boolean
      servers_in_room: string[]
    }>(
      server,
      'PUT',
      `/_matrix/federation/v2/send_join/${encodeURIComponent(roomId)}/${encodeURIComponent(join.event.eventId)}?omit_members=true`,
      toPdu(join),
    )
    expect(body.members_omitted).toBe(true)
    expect(body.servers_in_room).toEqual([server.serverName])
    expect(body.state.filter(({ type }) => type === 'm.room.member')).toEqual([])
    // What authorises the state, without what is part of it.
    expect(body.auth_chain.map(({ type, state_key: stateKey }) => [type, stateKey])).toEqual([['m.room.member', alice.userId]])
  })
})

describe('events of other servers', () => {
  it('come once, however often their transaction is sent', async () => {
    const { roomId, room, bob } = await createRoom()
    const sent = room.sendText(bob, 'once')
    const [first, second] = await Promise.all([1, 2].map(() => room.transmit(server, [sent], { txnId: 'same' })))
    const third = await room.transmit(server, [], { txnId: 'same' })
    expect([second, third]).toEqual([first, first])
    await room.transmit(server, [sent], { txnId: 'another' })
    expect(await bodiesWith(roomId, 'once')).toEqual(['once'])
  })

  it('that are missing are fetched from who sent the next one', async () => {
    const { roomId, room, bob } = await createRoom()
    room.serve()
    for (const body of ['one', 'two', 'three']) room.sendText(bob, body)
    const last = room.sendText(bob, 'four')
    await room.transmit(server, [last])
    expect(await bodiesWith(roomId, 'four')).toEqual(['four', 'three', 'two', 'one'])
    expect(peer.requestsTo(STATE_REQUESTS)).toEqual([])
  })

  it('behind a gap that is too large come with the state on its far side', async () => {
    const { roomId, room, bob } = await createRoom()
    room.serve()
    for (let count = 0; count < 30; count++) room.sendText(bob, `unseen ${count}`)
    const content = { membership: 'join', displayname: 'Bob' }
    room.send({ type: 'm.room.member', sender: bob, stateKey: bob, content })
    for (let count = 0; count < 15; count++) room.sendText(bob, `lately ${count}`)
    const last = room.sendText(bob, 'last')
    await room.transmit(server, [last])
    expect((await bodiesWith(roomId, 'last')).slice(0, 3)).toEqual(['last', 'lately 14', 'lately 13'])
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.member/${encodeURIComponent(bob)}`
    expect(await alice.get(path)).toEqual(content)
  })

  it('on a fork are resolved with the rest', async () => {
    const { roomId, room, bob } = await createRoom()
    room.serve()
    const [head = ''] = room.heads
    const a = room.build({ type: 'm.room.message', sender: bob, content: { body: 'left' }, prevEvents: [head] })
    const b = room.build({ type: 'm.room.message', sender: bob, content: { body: 'right' }, prevEvents: [head] })
    room.add(a)
    room.add(b)
    expect(room.heads).toHaveLength(2)
    await room.transmit(server, [a, b, room.sendText(bob, 'merged')])
    expect((await bodiesWith(roomId, 'merged')).sort()).toEqual(['left', 'merged', 'right'])
  })

  it('with a wrong signature, of another room or too large are refused one by one', async () => {
    const { roomId, room, bob } = await createRoom()
    const stranger = await TestPeer.start()
    const forged = room.build({
      type: 'm.room.message',
      sender: bob,
      content: { body: 'forged' },
      author: { ...stranger, serverName: peer.serverName },
    })
    const large = {
      ...toPdu(room.build({ type: 'm.room.message', sender: bob, content: { body: 'large' } })),
      content: { body: 'x'.repeat(70_000) },
    }
    const good = room.sendText(bob, 'good')
    const { status, body } = await peer.request<{ pdus: Record<string, { error?: string }> }>(
      server,
      'PUT',
      '/_matrix/federation/v1/send/mixed',
      {
        pdus: [toPdu(forged), large, 'nonsense', { room_id: roomId }, toPdu(good)],
        origin: peer.serverName,
        origin_server_ts: 1,
      },
    )
    expect(status).toBe(200)
    expect(body.pdus[good.event.eventId]).toEqual({})
    expect(body.pdus[forged.event.eventId]?.error).toBe(`The key of ${peer.serverName} is not known`)
    expect(await bodiesWith(roomId, 'good')).toEqual(['good'])
    await stranger[Symbol.asyncDispose]()
  })

  it('whose hash is wrong count as redacted', async () => {
    const { roomId, room, bob } = await createRoom()
    const built = room.build({ type: 'm.room.message', sender: bob, content: { body: 'true' } })
    const { body } = await peer.request<{ pdus: JsonObject }>(server, 'PUT', '/_matrix/federation/v1/send/changed', {
      pdus: [{ ...toPdu(built), content: { body: 'changed' } }],
    })
    expect(body.pdus).toEqual({ [built.event.eventId]: {} })
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/event/${encodeURIComponent(built.event.eventId)}`
    const found = await eventually(
      () => alice.exchange<{ content: JsonObject }>('GET', path, { expect: [200, 404] }),
      ({ status }) => status === 200,
    )
    expect(found.body.content).toEqual({})
  })

  it('of servers that the room has banned, and of unknown rooms, are left out', async () => {
    const { roomId, room, bob } = await createRoom('11', numbered)
    await alice.sendState(roomId, 'm.room.server_acl', '', { allow: ['*'], allow_ip_literals: false })
    const banned = room.sendText(bob, 'banned')
    const unknown = PeerRoom.create(numbered).sendText(`@creator:${numbered.serverName}`, 'unknown')
    const { pdus } = await room.transmit(server, [banned, unknown])
    expect(pdus).toEqual({ [banned.event.eventId]: { error: expect.stringContaining('banned') as string } })
    const after = await alice.sendText(roomId, 'after')
    expect(after).toBeDefined()
    expect(await bodies(roomId)).toEqual(['after'])
  })

  it('that cannot be completed hold up nothing', async () => {
    const { roomId, room, bob } = await createRoom()
    const [head = ''] = room.heads
    const lost = room.build({ type: 'm.room.message', sender: bob, content: { body: 'lost' } })
    const orphan = room.build({
      type: 'm.room.message',
      sender: bob,
      content: { body: 'orphan' },
      prevEvents: [lost.event.eventId],
    })
    const good = room.build({ type: 'm.room.message', sender: bob, content: { body: 'good' }, prevEvents: [head] })
    await room.transmit(server, [orphan, good])
    expect(await bodiesWith(roomId, 'good')).toEqual(['good'])
  })

  it('that were acknowledged just before the process was killed are worked on by the next one', async () => {
    const { roomId, room, bob } = await createRoom()
    room.serve()
    room.sendText(bob, 'first')
    const second = room.sendText(bob, 'second')
    await server.stop()
    // What an acknowledged transaction leaves, before anybody looks at it.
    const database = new Database({ ...server.databaseOptions, max: 2 }, { onError: () => {} })
    const { eventId } = second.event
    const origin = peer.serverName
    await insertStagedEvents(database, [{ roomId: parseRoomId(roomId), eventId, origin, json: second.json }], Date.now())
    await database.close()
    await server.startAgain()
    expect(await bodiesWith(roomId, 'second')).toEqual(['second', 'first'])
  })

  it('are not lost while what they need cannot be had', async () => {
    const { roomId, room, bob } = await createRoom()
    const first = room.sendText(bob, 'first')
    const second = room.sendText(bob, 'second')
    await room.transmit(server, [second])
    await server.restart()
    room.serve()
    await room.transmit(server, [first])
    await room.transmit(server, [room.sendText(bob, 'third')])
    expect(await bodiesWith(roomId, 'third')).toEqual(['third', 'second', 'first'])
  })
})

describe('leaves and knocks', () => {
  it('over send_leave and send_knock change the room', async () => {
    const { roomId, room, bob } = await createRoom()
    const path = (built: { event: { eventId: string } }): string =>
      `${encodeURIComponent(roomId)}/${encodeURIComponent(built.event.eventId)}`
    const leave = room.build({ type: 'm.room.member', sender: bob, stateKey: bob, content: { membership: 'leave' } })
    const left = await peer.request(server, 'PUT', `/_matrix/federation/v2/send_leave/${path(leave)}`, toPdu(leave))
    expect([left.status, left.body]).toEqual([200, {}])
    await alice.sendState(roomId, 'm.room.join_rules', '', { join_rule: 'knock' })
    const made = await peer.request<{ event: JsonObject }>(
      server,
      'GET',
      `/_matrix/federation/v1/make_knock/${encodeURIComponent(roomId)}/${encodeURIComponent(bob)}?ver=11`,
    )
    const knock = room.signTemplate(made.body.event)
    const knocked = await peer.request<{ knock_room_state: { type: string }[] }>(
      server,
      'PUT',
      `/_matrix/federation/v1/send_knock/${path(knock)}`,
      toPdu(knock),
    )
    expect(knocked.status).toBe(200)
    expect(knocked.body.knock_room_state.map(({ type }) => type)).toEqual(['m.room.create', 'm.room.join_rules'])
    const state = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.member/${encodeURIComponent(bob)}`
    expect((await alice.get<JsonObject>(state))['membership']).toBe('knock')
  })
})
