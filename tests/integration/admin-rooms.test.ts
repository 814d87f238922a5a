import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ROOM_ADMIN_ENDPOINTS } from '../../src/api/admin/room-admin-endpoints.ts'
import { registerAdministrator } from '../kit/administrator.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const V1 = '/_synapse/admin/v1'
const V2 = '/_synapse/admin/v2'

interface RoomList {
  readonly rooms: readonly { readonly room_id: string; readonly name: string | null }[]
  readonly offset: number
  readonly total_rooms: number
  readonly next_batch?: number
  readonly prev_batch?: number
}

let server: TestServer
let root: TestClient
let alice: TestClient
let bob: TestClient

beforeAll(async () => {
  server = await TestServer.start()
  ;[root, alice, bob] = await Promise.all([registerAdministrator(server), server.register('alice'), server.register('bob')])
})

afterAll(() => server[Symbol.asyncDispose]())

const ERRCODES: Readonly<Record<number, string>> = { 400: 'M_UNKNOWN', 403: 'M_FORBIDDEN', 404: 'M_NOT_FOUND' }

/** Expects an error, with the usual errcode of its status where none is given. */
async function refused(
  client: TestClient,
  method: string,
  path: string,
  { status, errcode, ...options }: { status: number; errcode?: string; body?: unknown },
): Promise<void> {
  await client.fails(status, errcode ?? ERRCODES[status] ?? '', method, path, options)
}

function at(roomId: string, rest = ''): string {
  return `${V1}/rooms/${encodeURIComponent(roomId)}${rest}`
}

/** Waits until a deletion is over. */
async function deletionOf(deleteId: string): Promise<{ status: string; shutdown_room: Record<string, unknown> }> {
  const path = `${V2}/rooms/delete_status/${deleteId}`
  await expect.poll(async () => (await root.get<{ status: string }>(path)).status, { timeout: 20_000 }).toMatch(/complete|failed/)
  return root.get(path)
}

describe('AD-08 to AD-10, AD-18: administrators', () => {
  it('list rooms by name, size and parts of their names, page by page', async () => {
    const [small = '', large = '', empty = ''] = await Promise.all([
      alice.createRoom({ name: 'Listing: small' }),
      alice.createRoom({ name: 'Listing: Large', preset: 'public_chat', room_alias_name: 'listing-large' }),
      alice.createRoom({ name: 'Listing: empty' }),
    ])
    await bob.join(large)
    await alice.leave(empty)
    const list = (query: Record<string, string | number>): Promise<RoomList> =>
      root.get<RoomList>(`${V1}/rooms`, { query: { search_term: 'listing', ...query } })
    expect(await list({ order_by: 'joined_members' })).toMatchObject({
      rooms: [{ room_id: large }, { room_id: small }, { room_id: empty }],
      offset: 0,
      total_rooms: 3,
    })
    const backwards = await list({ order_by: 'joined_local_members', dir: 'b', limit: 2 })
    expect(backwards).toMatchObject({ rooms: [{ room_id: empty }, { room_id: small }], next_batch: 2 })
    const rest = await list({ order_by: 'joined_local_members', dir: 'b', limit: 2, from: 2 })
    expect(rest).toMatchObject({ rooms: [{ room_id: large }], offset: 2, total_rooms: 3, prev_batch: 0 })
    expect((await list({ empty_rooms: 'true' })).rooms.map((room) => room.room_id)).toEqual([empty])
    expect((await list({ search_term: small })).rooms.map((room) => room.room_id)).toEqual([small])
    const orders = [
      'name',
      'canonical_alias',
      'version',
      'creator',
      'encryption',
      'federatable',
      'public',
      'join_rules',
      'guest_access',
    ]
    for (const order of [...orders, 'history_visibility', 'state_events', 'alphabetical', 'size'])
      expect((await list({ order_by: order })).total_rooms).toBe(3)
    await refused(root, 'GET', `${V1}/rooms?order_by=colour`, { status: 400, errcode: 'M_INVALID_PARAM' })
    await refused(root, 'GET', `${V1}/rooms?search_term=`, { status: 400, errcode: 'M_INVALID_PARAM' })
  })

  it('see a room, who is in it, its state, and all that was said', async () => {
    const roomId = await alice.createRoom({ name: 'Seen', topic: 'Everything', preset: 'private_chat', invite: [bob.userId] })
    const said = await alice.sendText(roomId, 'between us')
    const started = Date.now()
    const last = await alice.sendText(roomId, 'and nobody else')
    expect(await root.get(at(roomId))).toMatchObject({
      room_id: roomId,
      name: 'Seen',
      topic: 'Everything',
      avatar: null,
      canonical_alias: null,
      joined_members: 1,
      joined_local_members: 1,
      joined_local_devices: 1,
      creator: alice.userId,
      encryption: null,
      federatable: true,
      public: false,
      join_rules: 'invite',
      history_visibility: 'shared',
      guest_access: 'can_join',
      room_type: null,
      forgotten: false,
      tombstoned: false,
    })
    expect(await root.get(at(roomId, '/members'))).toEqual({ members: [alice.userId], total: 1 })
    const { state } = await root.get<{ state: { type: string; event_id: string }[] }>(at(roomId, '/state'))
    expect(state.map((event) => event.type)).toContain('m.room.create')
    const topics = await root.get<{ state: { content: unknown }[] }>(at(roomId, '/state?type=m.room.topic'))
    expect(topics.state).toHaveLength(1)
    const page = await root.get<{ chunk: { event_id: string }[]; end?: string }>(at(roomId, '/messages?dir=b&limit=2'))
    expect(page.chunk.map((event) => event.event_id)).toEqual([last, said])
    const earlier = await root.get<{ chunk: unknown[] }>(at(roomId, `/messages?dir=b&limit=3&from=${page.end ?? ''}`))
    expect(earlier.chunk).toHaveLength(3)
    const context = await root.get<{ event: { event_id: string }; events_after: { event_id: string }[] }>(
      at(roomId, `/context/${encodeURIComponent(said)}?limit=4`),
    )
    expect([context.event.event_id, context.events_after[0]?.event_id]).toEqual([said, last])
    const near = await root.get<{ event_id: string }>(at(roomId, `/timestamp_to_event?ts=${started}&dir=f`))
    expect(near.event_id).toBe(last)
    expect(await root.get(`${V1}/fetch_event/${encodeURIComponent(said)}`)).toMatchObject({ event: { event_id: said } })
    expect(await root.get(at(roomId, '/forward_extremities'))).toMatchObject({ count: 1, results: [{ event_id: last }] })
    expect(await root.request('DELETE', at(roomId, '/forward_extremities'))).toEqual({ deleted: 0 })
    expect(await root.get(at(roomId, '/hierarchy'))).toMatchObject({ rooms: [{ room_id: roomId }] })
  })

  it('block rooms, known or not: nobody gets in', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect(await root.get(at(roomId, '/block'))).toEqual({ block: false })
    expect(await root.put(at(roomId, '/block'), { block: true })).toEqual({ block: true })
    expect(await root.get(at(roomId, '/block'))).toEqual({ block: true, user_id: root.userId })
    await refused(bob, 'POST', `/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, {
      body: {},
      status: 403,
      errcode: 'M_FORBIDDEN',
    })
    await root.put(at(roomId, '/block'), { block: false })
    await bob.join(roomId)
    await root.put(at('!nobody:elsewhere.example', '/block'), { block: true })
    expect(await root.get(at('!nobody:elsewhere.example', '/block'))).toMatchObject({ block: true })
    await refused(root, 'PUT', at(roomId, '/block'), { body: { block: 'yes' }, status: 400, errcode: 'M_BAD_JSON' })
  })

  it('bring users into rooms and give them power', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const path = `${V1}/join/${encodeURIComponent(roomId)}`
    expect(await root.post(path, { user_id: bob.userId })).toEqual({ room_id: roomId })
    expect(await root.get(at(roomId, '/members'))).toMatchObject({ total: 2 })
    await refused(root, 'POST', path, { body: { user_id: '@bob:elsewhere.example' }, status: 400 })
    await refused(root, 'POST', path, { body: { user_id: '@nobody:test.example' }, status: 404 })
    const closed = await alice.createRoom({ preset: 'private_chat' })
    await refused(root, 'POST', `${V1}/join/${encodeURIComponent(closed)}`, { body: { user_id: bob.userId }, status: 403 })
    expect(await root.post(at(closed, '/make_room_admin'), { user_id: bob.userId })).toEqual({})
    await bob.join(closed)
    await bob.sendState(closed, 'm.room.name', '', { name: 'Bob rules' })
    await refused(root, 'POST', at('!nobody:test.example', '/make_room_admin'), { body: {}, status: 400 })
  })

  it('delete rooms: its people move to a new one, its aliases with them, and nothing of it is left', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Doomed', room_alias_name: 'doomed' })
    await bob.join(roomId)
    const eventId = await alice.sendText(roomId, 'the last word')
    const { next_batch: since } = await bob.sync()
    const { delete_id: deleteId } = await root.request<{ delete_id: string }>(
      'DELETE',
      `${V2}/rooms/${encodeURIComponent(roomId)}`,
      {
        body: { new_room_user_id: alice.userId, room_name: 'A new place', message: 'Be kind here', block: true },
      },
    )
    const { status, shutdown_room: shutdown } = await deletionOf(deleteId)
    expect([
      status,
      (shutdown['kicked_users'] as string[]).toSorted(),
      shutdown['failed_to_kick_users'],
      shutdown['local_aliases'],
    ]).toEqual(['complete', [alice.userId, bob.userId], [], ['#doomed:test.example']])
    const newRoom = String(shutdown['new_room_id'])
    const synced = await bob.sync({ since })
    expect(Object.keys(synced.rooms?.join ?? {})).toEqual([newRoom])
    expect((await bob.messages(newRoom)).chunk.map((event) => event.content['body'])).toContain('Be kind here')
    expect((await bob.get<{ room_id: string }>('/_matrix/client/v3/directory/room/%23doomed%3Atest.example')).room_id).toBe(
      newRoom,
    )
    await refused(root, 'GET', at(roomId), { status: 404, errcode: 'M_NOT_FOUND' })
    await refused(root, 'GET', `${V1}/fetch_event/${encodeURIComponent(eventId)}`, { status: 404 })
    await refused(bob, 'GET', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b`, { status: 403 })
    await refused(bob, 'POST', `/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, { body: {}, status: 403 })
    const list = await root.get<{ results: { delete_id: string }[] }>(`${V2}/rooms/${encodeURIComponent(roomId)}/delete_status`)
    expect(list.results.map((one) => one.delete_id)).toEqual([deleteId])
    const tasks = await root.get<{ scheduled_tasks: { id: string; status: string }[] }>(`${V1}/scheduled_tasks`, {
      query: { resource_id: roomId },
    })
    expect(tasks.scheduled_tasks).toMatchObject([{ id: deleteId, status: 'complete' }])
  })

  it('delete rooms and wait for it, with and without its history', async () => {
    const [kept = '', gone = ''] = await Promise.all([alice.createRoom(), alice.createRoom()])
    expect(await root.request('DELETE', at(kept), { body: { purge: false } })).toMatchObject({
      kicked_users: [alice.userId],
      new_room_id: null,
    })
    expect(await root.get(at(kept))).toMatchObject({ joined_members: 0 })
    await root.request('DELETE', at(gone), { body: {} })
    await refused(root, 'GET', at(gone), { status: 404 })
    const remembered = await root.get<{ results: unknown[] }>(`${V2}/rooms/${encodeURIComponent(gone)}/delete_status`)
    expect(remembered.results).toMatchObject([
      { room_id: gone, status: 'complete', shutdown_room: { kicked_users: [alice.userId] } },
    ])
    // What was shut down without its history may go later.
    await root.request('DELETE', at(kept), { body: { force_purge: true } })
    await refused(root, 'GET', at(kept), { status: 404 })
    const { joined_rooms: joined } = await root.get<{ joined_rooms: string[] }>(
      `${V1}/users/${encodeURIComponent(alice.userId)}/joined_rooms`,
    )
    expect(joined.filter((roomId) => roomId === kept || roomId === gone)).toEqual([])
    await refused(root, 'DELETE', at('!nobody:test.example'), { body: {}, status: 400, errcode: 'M_UNKNOWN' })
    await refused(root, 'DELETE', `${V2}/rooms/!nobody:test.example`, { body: {}, status: 404 })
    await refused(root, 'GET', `${V2}/rooms/delete_status/none`, { status: 404 })
    await refused(root, 'GET', `${V2}/rooms/!nobody:test.example/delete_status`, { status: 404 })
  })

  it('let long changes of the database wait, and ask for them', async () => {
    const path = `${V1}/background_updates`
    expect(await root.post(`${path}/enabled`, { enabled: false })).toEqual({ enabled: false })
    await root.post(`${path}/start_job`, { job_name: 'regenerate_directory' })
    await refused(root, 'POST', `${path}/start_job`, {
      body: { job_name: 'regenerate_directory' },
      status: 400,
      errcode: 'M_UNKNOWN',
    })
    await refused(root, 'POST', `${path}/start_job`, { body: { job_name: 'nothing' }, status: 400 })
    expect(await root.get(`${path}/enabled`)).toEqual({ enabled: false })
    expect(await root.post(`${path}/enabled`, { enabled: true })).toEqual({ enabled: true })
    const done = { query: { action_name: 'regenerate_directory', status: 'complete' } }
    await expect
      .poll(async () => (await root.get<{ scheduled_tasks: unknown[] }>(`${V1}/scheduled_tasks`, done)).scheduled_tasks.length, {
        timeout: 20_000,
      })
      .toBe(1)
    expect(await root.get(`${path}/status`)).toMatchObject({ enabled: true })
    const found = await alice.post<{ results: { user_id: string }[] }>('/_matrix/client/v3/user_directory/search', {
      search_term: 'bob',
    })
    expect(found.results.map((one) => one.user_id)).toEqual([bob.userId])
  })
})

it('nobody else may do any of it (AD-08)', async () => {
  const roomId = await alice.createRoom()
  const values: Readonly<Record<string, string>> = { roomId, roomIdOrAlias: roomId, eventId: '$event' }
  for (const { method, paths } of ROOM_ADMIN_ENDPOINTS) {
    const address = (paths[0] ?? '').replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(values[name] ?? 'some'))
    await refused(alice, method, address, { ...(method === 'GET' ? {} : { body: {} }), status: 403 })
  }
})
