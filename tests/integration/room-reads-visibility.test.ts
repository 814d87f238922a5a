import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

type Visibility = 'world_readable' | 'shared' | 'invited' | 'joined'
const VISIBILITIES: readonly Visibility[] = ['world_readable', 'shared', 'invited', 'joined']

/** What bob may see of messages sent before his invite, while invited, while joined, and after he left. */
const MATRIX: Readonly<Record<Visibility, { readonly [Membership in Reader]: string }>> = {
  world_readable: {
    stranger: 'outside invited joined left',
    invited: 'outside invited',
    joined: 'outside invited joined',
    left: 'outside invited joined left',
  },
  shared: { stranger: '', invited: '', joined: 'outside invited joined', left: 'outside invited joined' },
  invited: { stranger: '', invited: 'invited', joined: 'invited joined', left: 'invited joined' },
  joined: { stranger: '', invited: '', joined: 'joined', left: 'joined' },
}
type Reader = 'stranger' | 'invited' | 'joined' | 'left'

describe('history visibility', () => {
  let server: TestServer
  let alice: TestClient
  let bob: TestClient
  let carol: TestClient

  beforeAll(async () => {
    server = await TestServer.start()
    alice = await server.register('alice')
    bob = await server.register('bob')
    carol = await server.register('carol')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /** Asks for each event by its id: the names of those that are shown. */
  async function visibleTo(client: TestClient, roomId: string, events: Readonly<Record<string, string>>): Promise<string> {
    const shown: string[] = []
    for (const [name, eventId] of Object.entries(events)) {
      const { status } = await client.exchange('GET', roomPath(roomId, 'event', eventId), { expect: [200, 404] })
      if (status === 200) shown.push(name)
    }
    return shown.join(' ')
  }

  async function namesInMessages(client: TestClient, roomId: string, expectation: number): Promise<string | undefined> {
    const { status, body } = await client.exchange<{ chunk: { type: string; content: { body?: string } }[] }>(
      'GET',
      roomPath(roomId, 'messages'),
      { query: { dir: 'f', limit: 100 }, expect: [200, 403] },
    )
    expect(status).toBe(expectation)
    if (status !== 200) return undefined
    return body.chunk
      .filter((event) => event.type === 'm.room.message')
      .map((event) => event.content.body)
      .join(' ')
  }

  test.each(VISIBILITIES)('%s decides what users may see at each membership', async (visibility) => {
    const expected = MATRIX[visibility]
    const roomId = await alice.createRoom({
      preset: 'private_chat',
      initial_state: [{ type: 'm.room.history_visibility', state_key: '', content: { history_visibility: visibility } }],
    })
    const isOpen = visibility === 'world_readable'
    const events: Record<string, string> = { outside: await alice.sendText(roomId, 'outside') }
    await alice.invite(roomId, bob.userId)
    events['invited'] = await alice.sendText(roomId, 'invited')
    expect(await visibleTo(bob, roomId, events)).toBe(expected.invited)
    expect(await namesInMessages(bob, roomId, isOpen ? 200 : 403)).toBe(isOpen ? expected.invited : undefined)
    await bob.join(roomId)
    events['joined'] = await alice.sendText(roomId, 'joined')
    expect(await visibleTo(bob, roomId, events)).toBe(expected.joined)
    expect(await namesInMessages(bob, roomId, 200)).toBe(expected.joined)
    await bob.leave(roomId)
    events['left'] = await alice.sendText(roomId, 'left')
    expect(await visibleTo(bob, roomId, events)).toBe(expected.left)
    expect(await namesInMessages(bob, roomId, 200)).toBe(expected.left)
    expect(await visibleTo(carol, roomId, events)).toBe(expected.stranger)
    expect(await namesInMessages(carol, roomId, isOpen ? 200 : 403)).toBe(isOpen ? expected.stranger : undefined)
    expect(await visibleTo(alice, roomId, events)).toBe('outside invited joined left')
  })

  test('whoever left sees the state and the members as they were then', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Before' })
    await bob.join(roomId)
    await bob.leave(roomId)
    await alice.sendState(roomId, 'm.room.name', '', { name: 'After' })
    await carol.join(roomId)
    expect(await bob.getState(roomId, 'm.room.name')).toEqual({ name: 'Before' })
    expect(await alice.getState(roomId, 'm.room.name')).toEqual({ name: 'After' })
    const { chunk } = await bob.get<{ chunk: { state_key: string; content: { membership: string } }[] }>(
      roomPath(roomId, 'members'),
    )
    expect(Object.fromEntries(chunk.map((event) => [event.state_key, event.content.membership]))).toEqual({
      [alice.userId]: 'join',
      [bob.userId]: 'leave',
    })
    const state = await bob.get<{ type: string; content: { name?: string } }[]>(roomPath(roomId, 'state'))
    expect(state.find((event) => event.type === 'm.room.name')?.content.name).toBe('Before')
    await bob.fails(403, 'M_FORBIDDEN', 'GET', roomPath(roomId, 'joined_members'))
  })

  test('an invite that was refused opens nothing, nor does a ban of someone who was never in', async () => {
    const roomId = await alice.createRoom({ preset: 'private_chat' })
    await alice.invite(roomId, bob.userId)
    await bob.leave(roomId)
    await alice.ban(roomId, carol.userId)
    for (const client of [bob, carol]) {
      await client.fails(403, 'M_FORBIDDEN', 'GET', roomPath(roomId, 'state'))
      await client.fails(403, 'M_FORBIDDEN', 'GET', roomPath(roomId, 'messages'), { query: { dir: 'b' } })
    }
  })

  test('strangers and unknown rooms are refused alike', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    for (const id of [roomId, '!nowhere:test.example']) {
      await bob.fails(403, 'M_FORBIDDEN', 'GET', roomPath(id, 'state'))
      await bob.fails(403, 'M_FORBIDDEN', 'GET', roomPath(id, 'members'))
      await bob.fails(403, 'M_FORBIDDEN', 'GET', roomPath(id, 'state', 'm.room.name', ''))
      await bob.fails(404, 'M_NOT_FOUND', 'GET', roomPath(id, 'event', '$nothing'))
    }
    await alice.fails(404, 'M_NOT_FOUND', 'GET', roomPath(roomId, 'state', 'm.room.topic', ''))
  })

  test('an event tells the membership of who reads it, at its time', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const before = await alice.sendText(roomId, 'before')
    await bob.join(roomId)
    const after = await alice.sendText(roomId, 'after')
    const membershipAt = async (eventId: string) =>
      (await bob.get<{ unsigned: { membership: string } }>(roomPath(roomId, 'event', eventId))).unsigned.membership
    expect(await membershipAt(before)).toBe('leave')
    expect(await membershipAt(after)).toBe('join')
  })

  test('the transaction id is shown to the device that sent it, and to nobody else', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const event = await alice.sendText(roomId, 'mine', 'txn-of-alice')
    const other = await alice.loginAgain()
    const transactionOf = async (client: TestClient) =>
      (await client.get<{ unsigned: { transaction_id?: string } }>(roomPath(roomId, 'event', event))).unsigned.transaction_id
    expect(await transactionOf(alice)).toBe('txn-of-alice')
    expect(await transactionOf(other)).toBeUndefined()
    expect(await transactionOf(bob)).toBeUndefined()
  })

  test('messages of ignored users are left out, their state is not', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await carol.join(roomId)
    const ignored = await carol.sendText(roomId, 'noise')
    await alice.put(`/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/account_data/m.ignored_user_list`, {
      ignored_users: { [carol.userId]: {} },
    })
    const { chunk } = await alice.messages(roomId)
    expect(chunk.map((event) => event.event_id)).not.toContain(ignored)
    expect(chunk.some((event) => event.type === 'm.room.member' && event.sender === carol.userId)).toBe(true)
    await alice.fails(404, 'M_NOT_FOUND', 'GET', roomPath(roomId, 'event', ignored))
  })
})
