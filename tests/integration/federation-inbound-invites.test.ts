import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { BuiltEvent } from '../../src/protocol/events/event-builder.ts'
import { readPdu } from '../../src/protocol/events/parse-event.ts'
import { computeContentHash } from '../../src/protocol/hashes.ts'
import { signEvent, signJson } from '../../src/protocol/signatures.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { systemRandom } from '../../src/util/random.ts'
import type { TestClient } from '../kit/client.ts'
import { PeerRoom, toPdu } from '../kit/peer-room.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

interface Sync {
  readonly next_batch: string
  readonly rooms?: {
    readonly invite?: Record<string, { invite_state: { events: JsonObject[] } }>
    readonly leave?: Record<string, { timeline: { events: JsonObject[] } }>
    readonly join?: Record<string, { timeline: { events: JsonObject[] } }>
  }
}

let server: TestServer
let peer: TestPeer
let users = 0

beforeAll(async () => {
  server = await TestServer.start({ federation: true })
  peer = await TestPeer.start()
  peer.handle('PUT', /^\/_matrix\/federation\/v1\/send\//, () => ({ pdus: {} }))
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function newUser(): Promise<TestClient> {
  return server.register(`user${++users}`)
}

function creator(): string {
  return `@creator:${peer.serverName}`
}

/** With `origin`, which the specification's form of the answer has. */
function buildInvite(room: PeerRoom, userId: string): BuiltEvent {
  const plain = room.build({ type: 'm.room.member', sender: creator(), stateKey: userId, content: { membership: 'invite' } })
  const { hashes: _hashes, signatures: _signatures, ...rest } = plain.event.pdu
  const unsigned = { ...rest, origin: peer.serverName }
  const hashes = { sha256: computeContentHash(room.version, unsigned as unknown as JsonObject) }
  const pdu = signEvent(room.version, { ...unsigned, hashes, signatures: {} }, peer.serverName, peer.signingKey)
  return readPdu(pdu as unknown as JsonObject, room.version)
}

async function send(room: PeerRoom, invite: BuiltEvent, more: JsonObject = {}) {
  const path = `${encodeURIComponent(room.roomId)}/${encodeURIComponent(invite.event.eventId)}`
  return peer.request<{ event: JsonObject; errcode?: string }>(server, 'PUT', `/_matrix/federation/v2/invite/${path}`, {
    room_version: room.version.id,
    event: toPdu(invite),
    invite_room_state: room.state().map(toPdu),
    ...more,
  })
}

function sync(client: TestClient, since?: string): Promise<Sync> {
  return client.get<Sync>(`/_matrix/client/v3/sync?timeout=0${since === undefined ? '' : `&since=${since}`}`)
}

async function eventually<T>(look: () => Promise<T>, isDone: (value: T) => boolean): Promise<T> {
  const deadline = performance.now() + 10_000
  for (;;) {
    const value = await look()
    if (isDone(value) || performance.now() > deadline) return value
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
}

describe('invites of other servers', () => {
  it.each(['10', '11', '12'])('to rooms of version %s are signed and come with the next sync', async (version) => {
    const alice = await newUser()
    const room = PeerRoom.create(peer, { version })
    room.send({ type: 'm.room.name', stateKey: '', sender: creator(), content: { name: 'Far away' } })
    const { next_batch: since } = await sync(alice)
    const invite = buildInvite(room, alice.userId)
    const { status, body } = await send(room, invite)
    expect(status).toBe(200)
    expect(Object.keys(body.event['signatures'] as JsonObject).sort()).toEqual([peer.serverName, server.serverName].sort())
    for (const answer of [await sync(alice, since), await sync(alice)]) {
      const events = answer.rooms?.invite?.[room.roomId]?.invite_state.events ?? []
      expect(events).toContainEqual({ type: 'm.room.name', state_key: '', sender: creator(), content: { name: 'Far away' } })
      expect(events.at(-1)).toMatchObject({ type: 'm.room.member', state_key: alice.userId, content: { membership: 'invite' } })
    }
    expect((await send(room, invite)).status).toBe(200)
  })

  it('are taken back by whoever invited', async () => {
    const alice = await newUser()
    const room = PeerRoom.create(peer)
    const invite = buildInvite(room, alice.userId)
    await send(room, invite)
    room.add(invite)
    const { next_batch: since } = await sync(alice)
    const content = { membership: 'leave', reason: 'mistake' }
    const leave = room.send({ type: 'm.room.member', sender: creator(), stateKey: alice.userId, content })
    const message = room.sendText(creator(), 'not for us')
    expect((await room.transmit(server, [leave, message])).status).toBe(200)
    const answer = await eventually(
      () => sync(alice, since),
      ({ rooms }) => rooms?.leave?.[room.roomId] !== undefined,
    )
    const { events = [] } = answer.rooms?.leave?.[room.roomId]?.timeline ?? {}
    expect(events).toMatchObject([{ type: 'm.room.member', content }])
    expect((await sync(alice)).rooms?.invite?.[room.roomId]).toBeUndefined()
  })

  it('are not taken back by strangers', async () => {
    const alice = await newUser()
    const room = PeerRoom.create(peer)
    const invite = buildInvite(room, alice.userId)
    await send(room, invite)
    await using stranger = await TestPeer.start()
    const evil = `@evil:${stranger.serverName}`
    const author = { serverName: stranger.serverName, signingKey: stranger.signingKey }
    const content = { membership: 'leave' }
    const leave = room.build({ type: 'm.room.member', sender: evil, stateKey: alice.userId, content, author })
    await stranger.request(server, 'PUT', '/_matrix/federation/v1/send/evil', { pdus: [toPdu(leave)] })
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect((await sync(alice)).rooms?.invite?.[room.roomId]).toBeDefined()
  })

  it('can be accepted', async () => {
    const alice = await newUser()
    const room = PeerRoom.create(peer, { joinRule: 'invite' }).serve()
    const invite = buildInvite(room, alice.userId)
    await send(room, invite)
    room.add(invite)
    const { next_batch: since } = await sync(alice)
    await alice.join(room.roomId)
    const answer = await sync(alice, since)
    expect(answer.rooms?.invite?.[room.roomId]).toBeUndefined()
    const types = answer.rooms?.join?.[room.roomId]?.timeline.events.map(
      (event) => (event['content'] as JsonObject)['membership'],
    )
    expect(types?.at(-1)).toBe('join')
  })

  it('are refused where they are none, for strangers, or to rooms of unknown versions', async () => {
    const alice = await newUser()
    const room = PeerRoom.create(peer)
    const errcodeOf = async (built: BuiltEvent, more?: JsonObject) => {
      const { status, body } = await send(room, built, more)
      return [status, body.errcode]
    }
    const invite = buildInvite(room, alice.userId)
    expect(await errcodeOf(invite, { room_version: 'unheard.of' })).toEqual([400, 'M_INCOMPATIBLE_ROOM_VERSION'])
    expect(await errcodeOf(buildInvite(room, '@user:elsewhere.example'))).toEqual([400, 'M_INVALID_PARAM'])
    expect(await errcodeOf(buildInvite(room, `@nobody:${server.serverName}`))).toEqual([403, 'M_FORBIDDEN'])
    const message = room.build({ type: 'm.room.message', sender: creator(), content: { body: 'no' } })
    expect(await errcodeOf(message)).toEqual([400, 'M_INVALID_PARAM'])
    const changed = { ...toPdu(invite), content: { membership: 'invite', displayname: 'changed' } }
    expect(await errcodeOf(invite, { event: changed })).toEqual([400, 'M_INVALID_PARAM'])
    const twelve = PeerRoom.create(peer, { version: '12' })
    const { status } = await send(twelve, buildInvite(twelve, alice.userId), { invite_room_state: [] })
    expect(status).toBe(400)
  })

  it('are refused for users who block them', async () => {
    const alice = await newUser()
    const config = `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/account_data/m.invite_permission_config`
    await alice.put(config, { default_action: 'block' })
    const room = PeerRoom.create(peer)
    const { status, body } = await send(room, buildInvite(room, alice.userId))
    expect([status, body.errcode]).toEqual([403, 'M_INVITE_BLOCKED'])
  })

  it('of the first version are answered with a list', async () => {
    const alice = await newUser()
    const room = PeerRoom.create(peer, { version: '1' })
    const invite = buildInvite(room, alice.userId)
    const path = `${encodeURIComponent(room.roomId)}/${encodeURIComponent(invite.event.eventId)}`
    const { body } = await peer.request<[number, { event: JsonObject }]>(server, 'PUT', `/_matrix/federation/v1/invite/${path}`, {
      ...toPdu(invite),
      unsigned: { invite_room_state: [{ type: 'm.room.name', state_key: '', sender: creator(), content: { name: 'Old' } }] },
    })
    expect([body[0], body[1].event['event_id']]).toEqual([200, invite.event.eventId])
    const events = (await sync(alice)).rooms?.invite?.[room.roomId]?.invite_state.events ?? []
    expect(events[0]).toMatchObject({ type: 'm.room.name', content: { name: 'Old' } })
  })
})

describe('third-party invites', () => {
  it('are exchanged for invites where the identity server signed them, and only then', async () => {
    const [alice, carol] = [await newUser(), await newUser()]
    const roomId = await alice.createRoom({ preset: 'private_chat', room_version: '11' })
    const key = generateSigningKey(systemRandom)
    await alice.sendState(roomId, 'm.room.third_party_invite', 'token', {
      display_name: 'c...@example.org',
      key_validity_url: 'https://identity.example/valid',
      public_key: key.publicKeyBase64,
    })
    const exchange = (signed: JsonObject) =>
      peer.request(server, 'PUT', `/_matrix/federation/v1/exchange_third_party_invite/${encodeURIComponent(roomId)}`, {
        type: 'm.room.member',
        room_id: roomId,
        sender: alice.userId,
        state_key: carol.userId,
        content: { membership: 'invite', third_party_invite: { display_name: 'c...', signed } },
      })
    const unsigned = { mxid: carol.userId, token: 'token' }
    const forged = signJson(unsigned, 'identity.example', generateSigningKey(systemRandom))
    expect((await exchange(forged)).status).toBe(403)
    expect((await exchange({ ...unsigned, mxid: alice.userId })).status).toBe(400)
    expect((await exchange(signJson(unsigned, 'identity.example', key))).status).toBe(200)
    expect((await sync(carol)).rooms?.invite?.[roomId]).toBeDefined()
  })

  it('that an identity server tells of are redeemed where they were sent', async () => {
    const carol = await newUser()
    const room = PeerRoom.create(peer)
    const path = /^\/_matrix\/federation\/v1\/exchange_third_party_invite\//
    peer.handle('PUT', path, () => ({}))
    const signed = { mxid: carol.userId, token: 'token', signatures: {} }
    const invite = {
      medium: 'email',
      address: 'c@example.org',
      mxid: carol.userId,
      room_id: room.roomId,
      sender: creator(),
      signed,
    }
    const { status } = await peer.request(server, 'PUT', '/_matrix/federation/v1/3pid/onbind', {
      medium: 'email',
      address: 'c@example.org',
      mxid: carol.userId,
      invites: [invite],
    })
    expect(status).toBe(200)
    expect((await peer.waitForRequest(path)).body).toMatchObject({ room_id: room.roomId, state_key: carol.userId })
  })
})
