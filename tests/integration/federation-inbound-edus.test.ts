import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { TestClient } from '../kit/client.ts'
import { PeerRoom } from '../kit/peer-room.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

let server: TestServer
let peer: TestPeer
let alice: TestClient
let roomId: string
let room: PeerRoom
let bob: string

beforeAll(async () => {
  server = await TestServer.start({ federation: true, config: { presence: { enabled: true } } })
  peer = await TestPeer.start()
  peer.handle('PUT', /^\/_matrix\/federation\/v1\/send\//, () => ({ pdus: {} }))
  alice = await server.register('alice')
  roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  bob = `@bob:${peer.serverName}`
  room = await PeerRoom.join(peer, server, roomId, bob)
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

interface Sync {
  readonly next_batch: string
  readonly rooms?: {
    readonly join?: Record<string, { readonly ephemeral: { readonly events: readonly { type: string; content: JsonObject }[] } }>
  }
  readonly presence?: { readonly events: readonly { sender: string; content: JsonObject }[] }
  readonly to_device?: { readonly events: readonly { type: string; sender: string; content: JsonObject }[] }
  readonly device_lists?: { readonly changed?: readonly string[] }
}

function sync(since?: string): Promise<Sync> {
  return alice.get<Sync>(`/_matrix/client/v3/sync?timeout=0${since === undefined ? '' : `&since=${since}`}`)
}

function send(...edus: { type: string; content: JsonObject }[]) {
  return room.transmit(server, [], { edus: edus.map(({ type, content }) => ({ edu_type: type, content })) })
}

/** Looks at syncs until one shows what is looked for. */
async function find<T>(since: string, look: (answer: Sync) => T | undefined): Promise<T | undefined> {
  const deadline = performance.now() + 10_000
  let next = since
  while (performance.now() < deadline) {
    const answer = await sync(next)
    const found = look(answer)
    if (found !== undefined) return found
    next = answer.next_batch
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return undefined
}

function ephemeral(type: string): (answer: Sync) => JsonObject | undefined {
  return (answer) => answer.rooms?.join?.[roomId]?.ephemeral.events.find((event) => event.type === type)?.content
}

describe('EDUs of other servers', () => {
  it('say who types', async () => {
    const { next_batch: since } = await sync()
    await send({ type: 'm.typing', content: { room_id: roomId, user_id: bob, typing: true } })
    expect(await find(since, ephemeral('m.typing'))).toEqual({ user_ids: [bob] })
    const { next_batch: later } = await sync()
    await send({ type: 'm.typing', content: { room_id: roomId, user_id: bob, typing: false } })
    expect(await find(later, ephemeral('m.typing'))).toEqual({ user_ids: [] })
  })

  it('speak for their own users alone', async () => {
    const { next_batch: since } = await sync()
    const { status } = await send(
      { type: 'm.typing', content: { room_id: roomId, user_id: alice.userId, typing: true } },
      { type: 'm.typing', content: { room_id: roomId, user_id: `@stranger:${peer.serverName}`, typing: true } },
      { type: 'm.presence', content: { push: [{ user_id: alice.userId, presence: 'unavailable', last_active_ago: 1 }] } },
      { type: 'm.nothing', content: {} },
      { type: 'm.receipt', content: { [roomId]: 'nonsense' } },
    )
    expect(status).toBe(200)
    const after = await sync(since)
    expect(ephemeral('m.typing')(after)).toBeUndefined()
  })

  it('tell what was read, also before the event is here, and nothing private', async () => {
    const { next_batch: since } = await sync()
    const eventId = await alice.sendText(roomId, 'read me')
    const receipt = (ids: string[]): JsonObject => ({ [bob]: { event_ids: ids, data: { ts: 1_700_000_000_000 } } })
    await send({
      type: 'm.receipt',
      content: { [roomId]: { 'm.read': receipt([eventId]), 'm.read.private': receipt([eventId]) } },
    })
    expect(await find(since, ephemeral('m.receipt'))).toEqual({ [eventId]: { 'm.read': { [bob]: { ts: 1_700_000_000_000 } } } })
    const { next_batch: later } = await sync()
    const coming = room.sendText(bob, 'coming')
    await send({ type: 'm.receipt', content: { [roomId]: { 'm.read': receipt([coming.event.eventId]) } } })
    room.serve()
    await room.transmit(server, [coming])
    const found = await find(later, ephemeral('m.receipt'))
    expect(Object.keys(found ?? {})).toEqual([coming.event.eventId])
  })

  it('tell who is there', async () => {
    const { next_batch: since } = await sync()
    const state = { user_id: bob, presence: 'online', status_msg: 'Here', last_active_ago: 10, currently_active: true }
    await send({ type: 'm.presence', content: { push: [state, { user_id: 7 }] } })
    const seen = await find(since, (answer) => answer.presence?.events.find((event) => event.sender === bob)?.content)
    expect(seen).toMatchObject({ presence: 'online', status_msg: 'Here', currently_active: true })
  })

  it('bring messages to devices once', async () => {
    const { next_batch: since } = await sync()
    const content = (id: string, text: string): JsonObject => ({
      sender: bob,
      type: 'm.custom',
      message_id: id,
      messages: { [alice.userId]: { '*': { text } }, '@nobody:elsewhere.example': { '*': {} } },
    })
    for (let times = 0; times < 2; times++) await send({ type: 'm.direct_to_device', content: content('first', 'one') })
    await send(
      { type: 'm.direct_to_device', content: content('second', 'two') },
      { type: 'm.direct_to_device', content: { ...content('third', 'forged'), sender: alice.userId } },
    )
    const { to_device: inbox } = await sync(since)
    expect(inbox?.events.map((event) => [event.sender, event.type, event.content])).toEqual([
      [bob, 'm.custom', { text: 'one' }],
      [bob, 'm.custom', { text: 'two' }],
    ])
  })

  it('keep device lists, which are fetched where an update was missed', async () => {
    const deviceKeys = (deviceId: string): JsonObject => ({
      user_id: bob,
      device_id: deviceId,
      algorithms: ['m.olm.v1.curve25519-aes-sha2'],
      keys: { [`ed25519:${deviceId}`]: 'key' },
      signatures: {},
    })
    let list: JsonObject = { user_id: bob, stream_id: 5, devices: [{ device_id: 'ONE', keys: deviceKeys('ONE') }] }
    peer.handle('GET', /^\/_matrix\/federation\/v1\/user\/devices\/([^/]+)$/, () => list)
    const changed = async (since: string): Promise<boolean | undefined> =>
      find(since, (answer) => (answer.device_lists?.changed?.includes(bob) === true ? true : undefined))
    const known = async (): Promise<string[]> => {
      const answer = await alice.post<{ device_keys: Record<string, Record<string, unknown>> }>('/_matrix/client/v3/keys/query', {
        device_keys: { [bob]: [] },
      })
      return Object.keys(answer.device_keys[bob] ?? {}).sort()
    }
    const knownAs = async (devices: string[]): Promise<string[]> => {
      const deadline = performance.now() + 10_000
      while (performance.now() < deadline && String(await known()) !== String(devices))
        await new Promise((resolve) => setTimeout(resolve, 50))
      return known()
    }
    const { next_batch: since } = await sync()
    const update = (deviceId: string, streamId: number, previous: number[], more: JsonObject = {}) =>
      send({
        type: 'm.device_list_update',
        content: {
          user_id: bob,
          device_id: deviceId,
          stream_id: streamId,
          prev_id: previous,
          keys: deviceKeys(deviceId),
          ...more,
        },
      })
    await update('ONE', 5, [4])
    expect(await changed(since)).toBe(true)
    expect(await knownAs(['ONE'])).toEqual(['ONE'])
    const fetches = (): number => peer.requestsTo(/\/user\/devices\//).length
    const before = fetches()
    await update('TWO', 6, [5])
    expect(await knownAs(['ONE', 'TWO'])).toEqual(['ONE', 'TWO'])
    await update('ONE', 7, [6], { deleted: true })
    expect(await knownAs(['TWO'])).toEqual(['TWO'])
    expect(fetches()).toBe(before)
    list = { user_id: bob, stream_id: 10, devices: [{ device_id: 'NINE', keys: deviceKeys('NINE') }] }
    await update('TEN', 10, [9])
    expect(await knownAs(['NINE'])).toEqual(['NINE'])
    expect(fetches()).toBe(before + 1)
    const master = { user_id: bob, usage: ['master'], keys: { 'ed25519:master': 'master' } }
    await send({ type: 'm.signing_key_update', content: { user_id: bob, master_key: master } })
    const answer = await alice.post<{ master_keys: JsonObject }>('/_matrix/client/v3/keys/query', { device_keys: { [bob]: [] } })
    expect(answer.master_keys[bob]).toMatchObject(master)
  })
})
