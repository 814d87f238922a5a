import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readPdu } from '../../src/protocol/events/parse-event.ts'
import { computeContentHash } from '../../src/protocol/hashes.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { signEvent } from '../../src/protocol/signatures.ts'
import type { RoomVersion } from '../../src/protocol/room-versions/room-version.ts'
import { getRoomVersion } from '../../src/protocol/room-versions/room-versions.ts'
import type { TestClient } from '../kit/client.ts'
import { PeerRoom, toPdu } from '../kit/peer-room.ts'
import { PeerAnswer, TestPeer } from '../kit/test-peer.ts'
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

function newUser(): Promise<TestClient> {
  return server.register(`user${++users}`)
}

/** Lets the peer sign invites as its user's server. */
function signInvites(change: (event: JsonObject) => JsonObject = (event) => event): void {
  peer.handle('PUT', /\/_matrix\/federation\/v2\/invite\//, ({ body }) => {
    const version = getRoomVersion(body?.['room_version'] as string) as RoomVersion
    return {
      event: change(signEvent(version, body?.['event'] as never, peer.serverName, peer.signingKey) as unknown as JsonObject),
    }
  })
}

/** Invites one of our users to a room of a peer. The event has `origin`, which the specification's form of the answer has. */
async function inviteFrom(from: TestPeer, room: PeerRoom, client: TestClient): Promise<void> {
  const sender = `@creator:${from.serverName}`
  const plain = room.build({ type: 'm.room.member', sender, stateKey: client.userId, content: { membership: 'invite' } })
  const { hashes: _hashes, signatures: _signatures, ...rest } = plain.event.pdu
  const unsigned = { ...rest, origin: from.serverName }
  const hashes = { sha256: computeContentHash(room.version, unsigned as unknown as JsonObject) }
  const pdu = signEvent(room.version, { ...unsigned, hashes, signatures: {} }, from.serverName, from.signingKey)
  const state = room.state()
  const built = room.receive(pdu as unknown as JsonObject)
  const path = `/_matrix/federation/v2/invite/${encodeURIComponent(room.roomId)}/${encodeURIComponent(built.event.eventId)}`
  const { status, body } = await from.request(server, 'PUT', path, {
    room_version: room.version.id,
    event: toPdu(built),
    invite_room_state: state.map(toPdu),
  })
  expect({ status, body }).toMatchObject({ status: 200 })
}

async function placeOf(client: TestClient, roomId: string): Promise<string | undefined> {
  const { rooms } = await client.sync({ filter: { room: { include_leave: true } } })
  return (['join', 'invite', 'knock', 'leave'] as const).find((section) => rooms?.[section]?.[roomId] !== undefined)
}

describe('inviting users of other servers', () => {
  it.each(['1', '6', '11', '12'])('appends the event that both servers signed (room version %s)', async (version) => {
    signInvites()
    const client = await newUser()
    const roomId = await client.createRoom({ room_version: version, name: 'Tea' })
    const bob = `@bob${version}:${peer.serverName}`
    await client.invite(roomId, bob)
    const asked = peer.requestsTo(new RegExp(`/v2/invite/${encodeURIComponent(roomId)}/`))[0]?.body
    expect(asked?.['room_version']).toBe(version)
    const shown = asked?.['invite_room_state'] as JsonObject[]
    expect(shown.map((event) => event['type'])).toEqual(expect.arrayContaining(['m.room.create', 'm.room.name', 'm.room.member']))
    const { event } = readPdu(asked?.['event'] as JsonObject, getRoomVersion(version) as RoomVersion)
    const { chunk } = await client.messages(roomId, { dir: 'b', limit: 1 })
    expect(chunk[0]).toMatchObject({ event_id: event.eventId, state_key: bob, content: { membership: 'invite' } })
    // Their server gets in with it.
    const room = await PeerRoom.join(peer, server, roomId, bob)
    expect(room.stateEvent('m.room.member', bob)).toBeDefined()
  })

  it('leaves the room as it is where their server refuses, or answers nonsense', async () => {
    const client = await newUser()
    const roomId = await client.createRoom()
    const bob = `@bob:${peer.serverName}`
    const attempt = () =>
      client.exchange<{ errcode: string }>('POST', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/invite`, {
        body: { user_id: bob },
        expect: [400, 403, 502],
      })
    peer.handle('PUT', /\/v2\/invite\//, () => new PeerAnswer(403, { errcode: 'M_FORBIDDEN', error: 'Nobody wants that' }))
    expect(await attempt()).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    peer.handle('PUT', /\/v2\/invite\//, () => new PeerAnswer(404, { errcode: 'M_UNRECOGNIZED', error: 'What?' }))
    expect(await attempt()).toMatchObject({ status: 400, body: { errcode: 'M_UNSUPPORTED_ROOM_VERSION' } })
    signInvites((event) => ({ ...event, signatures: { [peer.serverName]: { [peer.signingKey.id]: 'AAAA' } } }))
    expect(await attempt()).toMatchObject({ status: 502, body: { errcode: 'M_UNKNOWN' } })
    signInvites(() => ({}))
    expect(await attempt()).toMatchObject({ status: 502, body: { errcode: 'M_UNKNOWN' } })
    const { chunk } = await client.messages(roomId, { dir: 'b', limit: 100 })
    expect(chunk.filter((event) => event.state_key === bob)).toEqual([])
  })

  it('happens when a room is made', async () => {
    signInvites()
    const client = await newUser()
    const bob = `@bob:${peer.serverName}`
    const roomId = await client.createRoom({ invite: [bob], is_direct: true })
    const { chunk } = await client.messages(roomId, { dir: 'b', limit: 1 })
    expect(chunk[0]).toMatchObject({ state_key: bob, content: { membership: 'invite', is_direct: true } })
  })
})

describe('invites from other servers', () => {
  it.each(['11', '12'])('are accepted by way of the inviter (room version %s)', async (version) => {
    const room = PeerRoom.create(peer, { version, joinRule: 'invite' }).serve()
    const client = await newUser()
    await inviteFrom(peer, room, client)
    expect(await placeOf(client, room.roomId)).toBe('invite')
    await client.join(room.roomId)
    expect(await placeOf(client, room.roomId)).toBe('join')
    await client.sendText(room.roomId, 'here I am')
  })

  it('are rejected by way of the inviter', async () => {
    const room = PeerRoom.create(peer, { version: '11', joinRule: 'invite' }).serve()
    const client = await newUser()
    await inviteFrom(peer, room, client)
    await client.leave(room.roomId)
    expect(peer.requestsTo(new RegExp(`/send_leave/${encodeURIComponent(room.roomId)}/`))).toHaveLength(1)
    expect(await placeOf(client, room.roomId)).toBe('leave')
    expect(room.stateEvent('m.room.member', client.userId)?.event.content['membership']).toBe('leave')
  })

  it('are rejected here alone where the room has no servers any more', async () => {
    await using gone = await TestPeer.start()
    const room = PeerRoom.create(gone, { version: '11', joinRule: 'invite' }).serve()
    const client = await newUser()
    await inviteFrom(gone, room, client)
    await gone.stop()
    await client.leave(room.roomId)
    expect(await placeOf(client, room.roomId)).toBe('leave')
  })
})

describe('knocking on rooms of other servers', () => {
  it('shows the room, and can be taken back', async () => {
    const room = PeerRoom.create(peer, { version: '11', joinRule: 'knock' }).serve()
    const client = await newUser()
    await client.post(
      `/_matrix/client/v3/knock/${encodeURIComponent(room.roomId)}`,
      { reason: 'Please' },
      { query: { via: peer.serverName } },
    )
    const knock = (await client.sync()).rooms?.knock?.[room.roomId]
    expect(JSON.stringify(knock)).toContain('m.room.join_rules')
    expect(room.stateEvent('m.room.member', client.userId)?.event.content).toMatchObject({
      membership: 'knock',
      reason: 'Please',
    })
    await client.leave(room.roomId)
    expect(await placeOf(client, room.roomId)).toBe('leave')
  })
})

describe('rooms that only their members may join', () => {
  it('let our user in with the signature of who may invite', async () => {
    const allow = [{ type: 'm.room_membership', room_id: `!club:${peer.serverName}` }]
    const room = PeerRoom.create(peer, { version: '11' }).serve()
    room.send({ type: 'm.room.join_rules', stateKey: '', sender: creator, content: { join_rule: 'restricted', allow } })
    const client = await newUser()
    const id = encodeURIComponent(room.roomId)
    peer.handle('GET', new RegExp(`/make_join/${id}/`), () => {
      const content = { membership: 'join', join_authorised_via_users_server: creator }
      const { event } = room.build({ type: 'm.room.member', sender: client.userId, stateKey: client.userId, content })
      return { room_version: '11', event: event.pdu }
    })
    let signs = false
    peer.handle('PUT', new RegExp(`/v2/send_join/${id}/`), ({ body = {} }) => {
      const state = room.state()
      const event = signs ? signEvent(room.version, body as never, peer.serverName, peer.signingKey) : body
      return {
        origin: peer.serverName,
        members_omitted: false,
        state: state.map(toPdu),
        auth_chain: room.authChain(state).map(toPdu),
        event,
      }
    })
    const path = `/_matrix/client/v3/join/${id}`
    await client.exchange('POST', path, { query: { via: peer.serverName }, body: {}, expect: 502 })
    signs = true
    await client.post(path, {}, { query: { via: peer.serverName } })
    expect(await placeOf(client, room.roomId)).toBe('join')
  })
})
