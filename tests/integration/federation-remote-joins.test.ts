import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { TestClient } from '../kit/client.ts'
import { PeerRoom, toPdu } from '../kit/peer-room.ts'
import { PeerAnswer, TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

let server: TestServer
let peer: TestPeer
let other: TestPeer
let alice: TestClient
let users = 0

beforeAll(async () => {
  server = await TestServer.start({ federation: true })
  peer = await TestPeer.start()
  other = await TestPeer.start()
  for (const one of [peer, other]) one.handle('PUT', /\/send\//, () => ({ pdus: {} }))
  alice = await server.register('alice')
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** A user who has not used up any limits. */
function newUser(): Promise<TestClient> {
  return server.register(`user${++users}`)
}

function joinPath(room: string): string {
  return `/_matrix/client/v3/join/${encodeURIComponent(room)}`
}

async function join(client: TestClient, room: string, via: readonly string[] = [peer.serverName]): Promise<string> {
  const { room_id: roomId } = await client.request<{ room_id: string }>('POST', joinPath(room), {
    query: { via: [...via] },
    body: {},
  })
  return roomId
}

async function refusal(client: TestClient, room: string, via: readonly string[] = [peer.serverName]) {
  const { status, body } = await client.exchange<{ errcode: string }>('POST', joinPath(room), {
    query: { via: [...via] },
    body: {},
    expect: [400, 403, 404, 502],
  })
  return { status, errcode: body.errcode }
}

/** Lets the peer answer send_join with what `change` makes of the right answer. */
function tamper(
  room: PeerRoom,
  change: (answer: Record<string, unknown> & { state: JsonObject[]; auth_chain: JsonObject[] }) => unknown,
): void {
  const pattern = new RegExp(
    `^/_matrix/federation/v2/send_join/${encodeURIComponent(room.roomId).replaceAll('.', String.raw`\.`)}/`,
  )
  peer.handle('PUT', pattern, () => {
    const state = room.state()
    return change({
      origin: peer.serverName,
      members_omitted: false,
      state: state.map(toPdu),
      auth_chain: room.authChain(state).map(toPdu),
    })
  })
}

describe('joining a room of another server', () => {
  it.each(['1', '2', '3', '6', '10', '11', '12'])('brings a room of version %s here', async (version) => {
    const room = PeerRoom.create(peer, { version }).serve()
    const client = await newUser()
    room.sendText(`@creator:${peer.serverName}`, 'before')
    expect(await join(client, room.roomId)).toBe(room.roomId)
    const sync = await client.sync()
    const joined = sync.rooms?.join?.[room.roomId]
    expect(joined?.timeline?.events.at(-1)).toMatchObject({ type: 'm.room.member', state_key: client.userId })
    const members = await client.request<{ joined: Record<string, unknown> }>(
      'GET',
      `/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}/joined_members`,
    )
    expect(Object.keys(members.joined).toSorted()).toEqual([`@creator:${peer.serverName}`, client.userId].toSorted())
    // It can be written to.
    await client.sendText(room.roomId, 'hello')
  })

  it('signs only what is ours, whatever the server prepares', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    const client = await newUser()
    peer.handle('GET', new RegExp(`/make_join/${encodeURIComponent(room.roomId)}/`), () => {
      const template = room.makeTemplate(client.userId, 'join')
      return {
        ...template,
        event: {
          ...template.event,
          type: 'm.room.power_levels',
          state_key: '',
          sender: `@creator:${peer.serverName}`,
          room_id: '!other:elsewhere',
          content: { membership: 'ban', users: {}, displayname: 'Somebody' },
        },
      }
    })
    await join(client, room.roomId)
    const [sent] = peer.requestsTo(new RegExp(`/send_join/${encodeURIComponent(room.roomId)}/`))
    expect(sent?.body).toMatchObject({
      type: 'm.room.member',
      state_key: client.userId,
      sender: client.userId,
      room_id: room.roomId,
      content: { membership: 'join' },
    })
    expect(sent?.body?.['content']).not.toHaveProperty('users')
  })

  it('asks the next server where the first one fails or does not know the room', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    await join(await newUser(), room.roomId, [other.serverName, 'localhost:1', peer.serverName])
    expect(other.requestsTo(/make_join/)).not.toHaveLength(0)
  })

  it('is found by an alias of the other server', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    peer.handle('GET', /\/query\/directory$/, ({ query }) =>
      query.get('room_alias') === `#here:${peer.serverName}`
        ? { room_id: room.roomId, servers: [peer.serverName] }
        : new PeerAnswer(404, { errcode: 'M_NOT_FOUND', error: 'No such alias' }),
    )
    expect(await join(await newUser(), `#here:${peer.serverName}`, [])).toBe(room.roomId)
    expect(await refusal(await newUser(), `#there:${peer.serverName}`, [])).toEqual({ status: 404, errcode: 'M_NOT_FOUND' })
  })

  it('lets the second of our users join here, and several at once with one import', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    const clients = [await newUser(), await newUser(), await newUser()]
    await Promise.all(clients.map((client) => join(client, room.roomId)))
    expect(peer.requestsTo(new RegExp(`/send_join/${encodeURIComponent(room.roomId)}/`))).toHaveLength(1)
    const late = await newUser()
    await join(late, room.roomId, [])
    expect((await late.sync()).rooms?.join?.[room.roomId]).toBeDefined()
  })

  it('answers with what the server refuses it with', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    peer.handle(
      'GET',
      new RegExp(`/make_join/${encodeURIComponent(room.roomId)}/`),
      () => new PeerAnswer(403, { errcode: 'M_FORBIDDEN', error: 'You are not invited' }),
    )
    expect(await refusal(alice, room.roomId)).toEqual({ status: 403, errcode: 'M_FORBIDDEN' })
    peer.handle(
      'GET',
      new RegExp(`/make_join/${encodeURIComponent(room.roomId)}/`),
      () => new PeerAnswer(400, { errcode: 'M_INCOMPATIBLE_ROOM_VERSION', error: 'No', room_version: '99' }),
    )
    expect(await refusal(alice, room.roomId)).toEqual({ status: 400, errcode: 'M_INCOMPATIBLE_ROOM_VERSION' })
    expect(await refusal(alice, '!nobody:nowhere', [])).toEqual({ status: 404, errcode: 'M_NOT_FOUND' })
    expect(await refusal(await newUser(), '!nobody:nowhere', ['localhost:1'])).toEqual({ status: 502, errcode: 'M_UNKNOWN' })
  })

  it('falls back to the old endpoint', async () => {
    const room = PeerRoom.create(peer, { version: '5' }).serve()
    peer.handle(
      'PUT',
      new RegExp(`/v2/send_join/${encodeURIComponent(room.roomId)}/`),
      () => new PeerAnswer(404, { errcode: 'M_UNRECOGNIZED', error: 'No such endpoint' }),
    )
    await join(await newUser(), room.roomId)
  })

  it('comes back to a room that all of ours had left', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    const client = await newUser()
    await join(client, room.roomId)
    room.learn(toPdu([...room.events.values()].at(-1) as never))
    await client.leave(room.roomId)
    room.send({ type: 'm.room.name', stateKey: '', sender: `@creator:${peer.serverName}`, content: { name: 'Later' } })
    await join(client, room.roomId)
    const name = await client.request<{ name: string }>(
      'GET',
      `/_matrix/client/v3/rooms/${encodeURIComponent(room.roomId)}/state/m.room.name`,
    )
    expect(name.name).toBe('Later')
  })
})

describe('a hostile answer to a join', () => {
  async function expectRefused(change: Parameters<typeof tamper>[1]): Promise<void> {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    tamper(room, change)
    const client = await newUser()
    expect(await refusal(client, room.roomId)).toEqual({ status: 502, errcode: 'M_UNKNOWN' })
    expect((await client.sync()).rooms?.join?.[room.roomId]).toBeUndefined()
  }

  it('is refused where the state lacks what the join needs', async () => {
    await expectRefused((answer) => ({ ...answer, state: answer.state.filter((event) => event['type'] !== 'm.room.create') }))
    await expectRefused((answer) => ({ ...answer, state: answer.state.filter((event) => event['type'] !== 'm.room.join_rules') }))
    await expectRefused((answer) => ({ ...answer, state: [], auth_chain: [] }))
  })

  it('is refused where events are not signed as they must be', async () => {
    await expectRefused((answer) => ({
      ...answer,
      state: answer.state.map((event) => ({ ...event, signatures: { [peer.serverName]: { [peer.signingKey.id]: 'AAAA' } } })),
      auth_chain: [],
    }))
  })

  it('is refused where the auth chain has holes', async () => {
    await expectRefused((answer) => ({
      ...answer,
      state: answer.state.filter((event) => event['type'] !== 'm.room.power_levels'),
      auth_chain: answer.auth_chain.filter((event) => event['type'] !== 'm.room.power_levels'),
    }))
  })

  it('is refused where it is about another room', async () => {
    const room = PeerRoom.create(peer, { version: '11' })
    await expectRefused((answer) => ({ ...answer, state: room.state().map(toPdu), auth_chain: room.state().map(toPdu) }))
  })

  it('is refused where it is no object, no JSON, or only a part of the state', async () => {
    await expectRefused(() => [])
    await expectRefused(() => new PeerAnswer(200, '{"state":[{'))
    await expectRefused((answer) => ({ ...answer, members_omitted: true }))
  })

  it('does not keep others from being asked', async () => {
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    other.handle('GET', new RegExp(`/make_join/${encodeURIComponent(room.roomId)}/`), () => ({
      room_version: '11',
      event: { depth: -1 },
    }))
    await join(await newUser(), room.roomId, [other.serverName, peer.serverName])
  })
})
