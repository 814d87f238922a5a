import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registerAdministrator } from '../kit/administrator.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const V1 = '/_synapse/admin/v1'
const V2 = '/_synapse/admin/v2'

interface UserList {
  readonly users: readonly { readonly name: string; readonly displayname: string | null; readonly admin: boolean }[]
  readonly total: number
  readonly next_token?: string
}

let server: TestServer
let root: TestClient
let alice: TestClient
let bob: TestClient

beforeAll(async () => {
  server = await TestServer.start({
    config: { registration_requires_token: false, rc_message: { per_second: 1000, burst_count: 1000 } },
  })
  ;[root, alice, bob] = await Promise.all([registerAdministrator(server), server.register('alice'), server.register('bob')])
})

afterAll(() => server[Symbol.asyncDispose]())

function user(client: { readonly userId: string }, rest = '', version = V1): string {
  return `${version}/users/${encodeURIComponent(client.userId)}${rest}`
}

function idOf(localpart: string): { userId: string } {
  return { userId: `@${localpart}:test.example` }
}

describe('AD-01 to AD-03: accounts', () => {
  it('are made with all that belongs to them, shown and changed', async () => {
    const path = user(idOf('carol'), '', V2)
    const made = await root.put<Record<string, unknown>>(
      path,
      {
        password: 'a long password',
        displayname: 'Carol',
        avatar_url: 'mxc://test.example/carol',
        threepids: [{ medium: 'email', address: 'Carol@Example.com' }],
        external_ids: [{ auth_provider: 'oidc-home', external_id: 'c-1' }],
        user_type: 'bot',
      },
      { expect: 201 },
    )
    const expected = {
      name: '@carol:test.example',
      displayname: 'Carol',
      avatar_url: 'mxc://test.example/carol',
      threepids: [{ medium: 'email', address: 'carol@example.com' }],
      external_ids: [{ auth_provider: 'oidc-home', external_id: 'c-1' }],
      admin: false,
      user_type: 'bot',
      deactivated: false,
      locked: false,
      suspended: false,
      shadow_banned: false,
      is_guest: false,
      appservice_id: null,
    }
    expect(made).toMatchObject(expected)
    expect(await root.get(path)).toMatchObject(expected)
    expect(await root.get(`${V1}/threepid/email/users/carol%40example.com`)).toEqual({ user_id: '@carol:test.example' })
    expect(await root.get(`${V1}/auth_providers/oidc-home/users/c-1`)).toEqual({ user_id: '@carol:test.example' })
    await root.fails(404, 'M_NOT_FOUND', 'GET', `${V1}/auth_providers/oidc-home/users/c-2`)
    await root.fails(404, 'M_NOT_FOUND', 'GET', `${V1}/threepid/email/users/nobody%40example.com`)
    await root.fails(409, 'M_UNKNOWN', 'PUT', user(alice, '', V2), {
      body: { external_ids: [{ auth_provider: 'oidc-home', external_id: 'c-1' }] },
    })
    await root.fails(400, 'M_THREEPID_IN_USE', 'PUT', user(alice, '', V2), {
      body: { threepids: [{ medium: 'email', address: 'carol@example.com' }] },
    })
    const carol = await server.anonymous().login('carol', 'a long password')
    await root.put(path, {
      password: 'another password',
      logout_devices: false,
      admin: true,
      threepids: [],
      user_type: null,
      displayname: '',
    })
    expect(await carol.get('/_matrix/client/v3/account/whoami')).toMatchObject({ user_id: '@carol:test.example' })
    expect(await root.get(path)).toMatchObject({ admin: true, threepids: [], user_type: null, displayname: null })
    await root.post(`${V1}/reset_password/${encodeURIComponent(carol.userId)}`, { new_password: 'the third one' })
    await carol.fails(401, 'M_UNKNOWN_TOKEN', 'GET', '/_matrix/client/v3/account/whoami')
    await server.anonymous().login('carol', 'the third one')
    await root.put(path, { locked: true })
    expect(await root.get(path)).toMatchObject({ locked: true })
    await root.fails(404, 'M_NOT_FOUND', 'GET', user(idOf('nobody'), '', V2))
    await root.fails(400, 'M_UNKNOWN', 'GET', user({ userId: '@bob:elsewhere.example' }, '', V2))
  })

  it('are listed by name, kind and state, page by page', async () => {
    for (const [name, body] of [
      ['list1', { displayname: 'Zoe' }],
      ['list2', { displayname: 'Adam', admin: true }],
      ['list3', { user_type: 'bot' }],
    ] as const)
      await root.put(user(idOf(name), '', V2), { password: 'a long password', ...body }, { expect: 201 })
    await root.post(`${V1}/deactivate/${encodeURIComponent('@list3:test.example')}`, {})
    const list = async (query: Record<string, string | number>, version = 'v2'): Promise<string[]> => {
      const { users } = await root.get<UserList>(`/_synapse/admin/${version}/users`, { query: { name: 'list', ...query } })
      return users.map((one) => one.name.slice(1, 6))
    }
    expect(await list({})).toEqual(['list1', 'list2'])
    expect(await list({ deactivated: 'true' })).toEqual(['list1', 'list2', 'list3'])
    expect(await list({ deactivated: 'true' }, 'v3')).toEqual(['list3'])
    expect(await list({}, 'v3')).toEqual(['list1', 'list2', 'list3'])
    expect(await list({ order_by: 'displayname' })).toEqual(['list2', 'list1'])
    expect(await list({ dir: 'b' })).toEqual(['list2', 'list1'])
    expect(await list({ admins: 'true' })).toEqual(['list2'])
    expect(await list({ not_user_type: 'bot' }, 'v3')).toEqual(['list1', 'list2'])
    const page = await root.get<UserList>(`${V2}/users?name=list&limit=1`)
    expect([page.total, page.next_token]).toEqual([2, '1'])
    const rest = await root.get<UserList>(`${V2}/users?name=list&limit=1&from=1`)
    expect([rest.users[0]?.name, rest.next_token]).toEqual(['@list2:test.example', undefined])
    expect(await root.get(`${V1}/search_users/${encodeURIComponent(root.userId)}?term=list1`)).toMatchObject([
      { name: '@list1:test.example' },
    ])
    await root.fails(400, 'M_INVALID_PARAM', 'GET', `${V2}/users?order_by=shoe`)
  })

  it('are closed, opened again, made administrators, and used by one', async () => {
    const dave = await server.register('dave')
    const roomId = await dave.createRoom()
    expect(await root.post(`${V1}/deactivate/${encodeURIComponent(dave.userId)}`, { erase: true })).toMatchObject({
      id_server_unbind_result: expect.any(String) as string,
    })
    await dave.fails(401, 'M_UNKNOWN_TOKEN', 'GET', '/_matrix/client/v3/account/whoami')
    expect(await root.get(user(dave, '', V2))).toMatchObject({ deactivated: true, erased: true })
    await expect
      .poll(async () => (await root.get<{ total: number }>(user(dave, '/joined_rooms'))).total, { timeout: 20_000 })
      .toBe(0)
    expect(await root.get(user(dave, '/memberships'))).toEqual({ memberships: { [roomId]: 'leave' } })
    await root.put(user(dave, '', V2), { deactivated: false, password: 'once again here' })
    await server.anonymous().login('dave', 'once again here')
    expect(await root.get(user(alice, '/admin'))).toEqual({ admin: false })
    await root.put(user(alice, '/admin'), { admin: true })
    await alice.get(`${V1}/rooms`)
    await root.put(user(alice, '/admin'), { admin: false })
    await alice.fails(403, 'M_FORBIDDEN', 'GET', `${V1}/rooms`)
    await root.fails(400, 'M_UNKNOWN', 'PUT', user(root, '/admin'), { body: { admin: false } })
    const { access_token: token } = await root.post<{ access_token: string }>(user(bob, '/login'), {})
    const who = await server.anonymous().exchange('GET', '/_matrix/client/v3/account/whoami', {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(who.body).toMatchObject({ user_id: bob.userId })
    await root.fails(400, 'M_UNKNOWN', 'POST', user(root, '/login'), { body: {} })
    expect(await root.get(`${V1}/username_available?username=free`)).toEqual({ available: true })
    await root.fails(400, 'M_USER_IN_USE', 'GET', `${V1}/username_available?username=bob`)
  })
})

describe('AD-04, AD-06: moderation', () => {
  it('shadow-bans: who is banned so writes to nobody, and is answered as ever', async () => {
    const mallory = await server.register('mallory')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await mallory.join(roomId)
    await mallory.sendText(roomId, 'before')
    await root.post(user(mallory, '/shadow_ban'), {})
    expect(await mallory.sendText(roomId, 'spam')).toMatch(/^\$/)
    await mallory.invite(roomId, bob.userId)
    const unseenRoom = await mallory.createRoom({ invite: [bob.userId] })
    await alice.sendText(roomId, 'after')
    const said = (await alice.messages(roomId)).chunk.flatMap((event) => event.content['body'] ?? [])
    expect(said).toEqual(['after', 'before'])
    const invitedTo = Object.keys((await bob.sync()).rooms?.invite ?? {})
    expect(invitedTo).not.toContain(roomId)
    expect(invitedTo).not.toContain(unseenRoom)
    await root.request('DELETE', user(mallory, '/shadow_ban'))
    await mallory.sendText(roomId, 'reformed')
    expect((await alice.messages(roomId)).chunk[0]?.content['body']).toBe('reformed')
  })

  it('gives users other limits, or none', async () => {
    const erin = await server.register('erin')
    const roomId = await erin.createRoom()
    expect(await root.get(user(erin, '/override_ratelimit'))).toEqual({})
    const limit = { messages_per_second: 1, burst_count: 1 }
    expect(await root.post(user(erin, '/override_ratelimit'), limit)).toEqual(limit)
    expect(await root.get(user(erin, '/override_ratelimit'))).toEqual(limit)
    const sends = Array.from({ length: 10 }, (_, index) =>
      erin.exchange('PUT', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${index}`, {
        body: { msgtype: 'm.text', body: 'fast' },
        expect: [200, 429],
      }),
    )
    expect((await Promise.all(sends)).map(({ status }) => status)).toContain(429)
    expect(await root.request('DELETE', user(erin, '/override_ratelimit'))).toEqual({})
    await root.fails(400, 'M_INVALID_PARAM', 'POST', user(erin, '/override_ratelimit'), { body: { burst_count: -1 } })
  })

  it('redacts what a user has said, and tells how it goes', async () => {
    const frank = await server.register('frank')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await frank.join(roomId)
    for (let index = 0; index < 3; index += 1) await frank.sendText(roomId, `regrettable ${index}`)
    const path = `${V1}/user/${encodeURIComponent(frank.userId)}/redact`
    const { redact_id: redactId } = await root.post<{ redact_id: string }>(path, { rooms: [], reason: 'asked for' })
    const status = `${V1}/user/redact_status/${redactId}`
    await expect.poll(async () => (await root.get<{ status: string }>(status)).status, { timeout: 20_000 }).toBe('complete')
    expect(await root.get(status)).toEqual({ status: 'complete', failed_redactions: {} })
    const bodies = (await alice.messages(roomId, { dir: 'b', limit: 50 })).chunk.flatMap((event) => event.content['body'] ?? [])
    expect(bodies).toEqual([])
    await root.fails(404, 'M_NOT_FOUND', 'GET', `${V1}/user/redact_status/none`)
  })
})

describe('AD-05, AD-07: what belongs to an account', () => {
  it('devices are made, shown, renamed and deleted', async () => {
    const grace = await server.register('grace')
    const devices = user(grace, '/devices', V2)
    await root.post(devices, { device_id: 'BYADMIN' }, { expect: 201 })
    await root.put(`${devices}/BYADMIN`, { display_name: 'Made by hand' })
    expect(await root.get(`${devices}/BYADMIN`)).toMatchObject({
      device_id: 'BYADMIN',
      display_name: 'Made by hand',
      user_id: grace.userId,
    })
    expect((await root.get<{ total: number }>(devices)).total).toBe(2)
    await root.request('DELETE', `${devices}/BYADMIN`)
    await root.fails(404, 'M_NOT_FOUND', 'GET', `${devices}/BYADMIN`)
    const { devices: left } = await root.get<{ devices: { device_id: string }[] }>(devices)
    await root.post(user(grace, '/delete_devices', V2), { devices: left.map((device) => device.device_id) })
    await grace.fails(401, 'M_UNKNOWN_TOKEN', 'GET', '/_matrix/client/v3/account/whoami')
  })

  it('rooms, invites, account data and pushers are told', async () => {
    const heidi = await server.register('heidi')
    const roomId = await heidi.createRoom({ invite: [bob.userId] })
    await heidi.put(`/_matrix/client/v3/user/${encodeURIComponent(heidi.userId)}/account_data/org.example`, { a: 1 })
    expect(await root.get(user(heidi, '/joined_rooms'))).toEqual({ joined_rooms: [roomId], total: 1 })
    expect(await root.get(user(heidi, '/memberships'))).toEqual({ memberships: { [roomId]: 'join' } })
    expect(await root.get(user(heidi, '/sent_invite_count?from_ts=0'))).toEqual({ invite_count: 1 })
    expect(await root.get(user(heidi, '/cumulative_joined_room_count?from_ts=0'))).toEqual({ cumulative_joined_room_count: 1 })
    expect(await root.get(user(heidi, '/accountdata'))).toMatchObject({
      account_data: { global: { 'org.example': { a: 1 } }, rooms: {} },
    })
    expect(await root.get(user(heidi, '/pushers'))).toEqual({ pushers: [], total: 0 })
    await root.fails(404, 'M_NOT_FOUND', 'POST', user(heidi, '/_allow_cross_signing_replacement_without_uia'), { body: {} })
  })
})

it('AD-16: registration tokens are made, shown, changed and deleted', async () => {
  const path = `${V1}/registration_tokens`
  const made = await root.post(`${path}/new`, { token: 'welcome', uses_allowed: 2 })
  expect(made).toEqual({ token: 'welcome', uses_allowed: 2, pending: 0, completed: 0, expiry_time: null })
  await root.fails(400, 'M_INVALID_PARAM', 'POST', `${path}/new`, { body: { token: 'welcome' } })
  await root.fails(400, 'M_INVALID_PARAM', 'POST', `${path}/new`, { body: { token: 'not welcome' } })
  await root.fails(400, 'M_INVALID_PARAM', 'POST', `${path}/new`, { body: { length: 65 } })
  expect((await root.post<{ token: string }>(`${path}/new`, { length: 5 })).token).toHaveLength(5)
  expect(await root.put(`${path}/welcome`, { uses_allowed: null, expiry_time: 4102444800000 })).toMatchObject({
    uses_allowed: null,
    expiry_time: 4102444800000,
  })
  expect(await root.get(`${path}/welcome`)).toMatchObject({ uses_allowed: null })
  const { registration_tokens: all } = await root.get<{ registration_tokens: unknown[] }>(`${path}?valid=true`)
  expect(all).toHaveLength(2)
  expect(await root.get(`${path}?valid=false`)).toEqual({ registration_tokens: [] })
  await root.request('DELETE', `${path}/welcome`)
  await root.fails(404, 'M_NOT_FOUND', 'GET', `${path}/welcome`)
  await root.fails(404, 'M_NOT_FOUND', 'DELETE', `${path}/welcome`)
})

it('AD-14, AD-19: the server tells its version and its largest rooms', async () => {
  const roomId = await alice.createRoom()
  expect(await server.anonymous().get(`${V1}/server_version`)).toEqual({
    server_version: expect.stringMatching(/^Ganglion\/\d/) as string,
  })
  const { rooms } = await root.get<{ rooms: { room_id: string; estimated_size: number }[] }>(`${V1}/statistics/database/rooms`)
  expect(rooms.length).toBeGreaterThan(0)
  expect(rooms.every((room) => room.estimated_size > 0)).toBe(true)
  expect(roomId).toBeDefined()
})

it('AD-19: experimental features are switched for single users', async () => {
  const path = `${V1}/experimental_features/${encodeURIComponent(alice.userId)}`
  expect(await root.get(path)).toEqual({ features: { msc3881: false, msc3575: false, msc4222: false } })
  await root.put(path, { features: { msc3881: true, msc4222: true } })
  await root.put(path, { features: { msc4222: false } })
  expect(await root.get(path)).toEqual({ features: { msc3881: true, msc3575: false, msc4222: false } })
  await root.fails(400, 'M_UNKNOWN', 'PUT', path, { body: { features: { msc1: true } } })
  await root.fails(400, 'M_BAD_JSON', 'PUT', path, { body: { features: { msc3881: 'yes' } } })
  await root.fails(404, 'M_NOT_FOUND', 'GET', `${V1}/experimental_features/${encodeURIComponent('@nobody:test.example')}`)
})

it('AD-14: the server tells how much each user has uploaded', async () => {
  const [ivan, judy] = await Promise.all([server.register('ivan'), server.register('judy')])
  for (const client of [ivan, ivan, judy])
    await client.request('POST', '/_matrix/media/v3/upload', {
      rawBody: Buffer.alloc(client === judy ? 100 : 10),
      contentType: 'text/plain',
    })
  const path = `${V1}/statistics/users/media`
  const ivans = { user_id: ivan.userId, displayname: 'ivan', media_count: 2, media_length: 20 }
  const judys = { user_id: judy.userId, displayname: 'judy', media_count: 1, media_length: 100 }
  expect(await root.get(path)).toEqual({ users: [ivans, judys], total: 2 })
  expect(await root.get(`${path}?order_by=media_length&dir=b&limit=1`)).toEqual({ users: [judys], total: 2, next_token: 1 })
  expect(await root.get(`${path}?order_by=media_count&from=1`)).toEqual({ users: [ivans], total: 2 })
  expect(await root.get(`${path}?search_term=UDY`)).toEqual({ users: [judys], total: 1 })
  expect(await root.get(`${path}?until_ts=1000`)).toEqual({ users: [], total: 0 })
  await root.fails(400, 'M_INVALID_PARAM', 'GET', `${path}?order_by=size`)
  await root.fails(400, 'M_INVALID_PARAM', 'GET', `${path}?from_ts=5&until_ts=4`)
})

it('none of it is for others', async () => {
  for (const [method, path] of [
    ['GET', `${V2}/users`],
    ['GET', user(alice, '', V2)],
    ['PUT', user(alice, '', V2)],
    ['POST', `${V1}/deactivate/${encodeURIComponent(alice.userId)}`],
    ['POST', user(alice, '/login')],
    ['GET', `${V1}/registration_tokens`],
    ['POST', user(alice, '/shadow_ban')],
  ] as const)
    await bob.fails(403, 'M_FORBIDDEN', method, path, method === 'GET' ? {} : { body: {} })
})
