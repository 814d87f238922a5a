import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

let one: TestServer
let other: TestServer

beforeAll(async () => {
  one = await TestServer.start({ federation: true })
  other = await TestServer.start({ federation: true })
})

afterAll(async () => {
  await one[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

/** Waits until the client sees what it is to see. */
async function eventually<T>(look: () => Promise<T>, isDone: (value: T) => boolean): Promise<T> {
  const deadline = performance.now() + 20_000
  for (;;) {
    const value = await look()
    if (isDone(value)) return value
    if (performance.now() > deadline) throw new Error(`Not in time; the last was ${JSON.stringify(value).slice(0, 2000)}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function seesText(client: TestClient, roomId: string, body: string): Promise<void> {
  await eventually(
    () => client.messages(roomId, { dir: 'b', limit: 50 }),
    ({ chunk }) => chunk.some(({ content }) => content['body'] === body),
  )
}

function stateOf(client: TestClient, roomId: string, type: string, key = ''): Promise<Record<string, unknown>> {
  return client.get(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/${type}/${encodeURIComponent(key)}`)
}

describe('two servers', () => {
  it.each(['10', '12'])('share a room: join, messages, state and leave (room version %s)', async (version) => {
    const alice = await one.register(`alice${version}`)
    const bob = await other.register(`bob${version}`)
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version, name: 'Shared' })
    await alice.sendText(roomId, 'before')
    await bob.post(`/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, {}, { query: { via: one.serverName } })
    await seesText(bob, roomId, 'before')
    await eventually(
      () => alice.get<{ joined: object }>(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/joined_members`),
      ({ joined }) => Object.keys(joined).length === 2,
    )
    await alice.sendText(roomId, 'from one')
    await seesText(bob, roomId, 'from one')
    await bob.sendText(roomId, 'from the other')
    await seesText(alice, roomId, 'from the other')
    const levels = await stateOf(alice, roomId, 'm.room.power_levels')
    const users = { ...(levels['users'] as object), [bob.userId]: 50 }
    await alice.sendState(roomId, 'm.room.power_levels', '', { ...levels, users })
    await eventually(
      () => stateOf(bob, roomId, 'm.room.power_levels'),
      (content) => (content['users'] as Record<string, number>)[bob.userId] === 50,
    )
    await bob.sendState(roomId, 'm.room.topic', '', { topic: 'Tea' })
    await eventually(
      () =>
        alice.exchange<{ topic?: string }>('GET', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.topic/`, {
          expect: [200, 404],
        }),
      ({ body }) => body.topic === 'Tea',
    )
    await bob.leave(roomId)
    await eventually(
      () => stateOf(alice, roomId, 'm.room.member', bob.userId),
      (content) => content['membership'] === 'leave',
    )
    await alice.sendText(roomId, 'while away')
    await bob.post(`/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, {}, { query: { via: one.serverName } })
    await seesText(bob, roomId, 'while away')
  })

  it('invite each other, and reject', async () => {
    const alice = await one.register('anna')
    const bob = await other.register('ben')
    const roomId = await alice.createRoom({ preset: 'private_chat', invite: [bob.userId] })
    const invited = await bob.sync()
    expect(JSON.stringify(invited.rooms?.invite?.[roomId])).toContain('m.room.create')
    await bob.leave(roomId)
    await eventually(
      () => stateOf(alice, roomId, 'm.room.member', bob.userId),
      (content) => content['membership'] === 'leave',
    )
    await alice.invite(roomId, bob.userId)
    await bob.join(roomId)
    await bob.sendText(roomId, 'hello')
    await seesText(alice, roomId, 'hello')
    await alice.kick(roomId, bob.userId)
    await eventually(
      () => bob.sync({ filter: { room: { include_leave: true } } }),
      ({ rooms }) => rooms?.leave?.[roomId] !== undefined,
    )
  })
})
