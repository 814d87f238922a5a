import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const ROOM = '!room:test.example'

function userPath(client: TestClient, ...parts: readonly string[]): string {
  return ['/_matrix/client/v3/user', ...[client.userId, ...parts].map(encodeURIComponent)].join('/')
}

describe('account data over HTTP', () => {
  it('belongs to its user, refuses what the server manages, and can be deleted', async () => {
    await using server = await TestServer.start()
    const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
    const path = userPath(alice, 'account_data', 'org.example.x')
    await alice.fails(404, 'M_NOT_FOUND', 'GET', path)
    await alice.put(path, { text: '\u0000', deep: { n: 1.5 } })
    expect(await alice.get(path)).toEqual({ text: '\u0000', deep: { n: 1.5 } })
    await bob.fails(403, 'M_FORBIDDEN', 'GET', path)
    await bob.fails(403, 'M_FORBIDDEN', 'PUT', path, { body: {} })
    await alice.fails(400, 'M_BAD_JSON', 'PUT', path, { body: [] })
    for (const type of ['m.push_rules', 'm.fully_read']) {
      await alice.fails(405, 'M_BAD_JSON', 'PUT', userPath(alice, 'account_data', type), { body: {} })
      await alice.fails(405, 'M_BAD_JSON', 'PUT', userPath(alice, 'rooms', ROOM, 'account_data', type), { body: {} })
    }
    expect(await alice.get(userPath(alice, 'account_data', 'm.push_rules'))).toHaveProperty('global')
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', userPath(alice, 'rooms', '@alice:x', 'account_data', 'a.b'), { body: {} })
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', userPath(alice, 'account_data', 'a\u0000b'), { body: {} })
    const unstable = path.replace('/v3/', '/unstable/org.matrix.msc3391/')
    // Not in the specification, so the checking client does not know it.
    const headers = { authorization: `Bearer ${alice.accessToken ?? ''}` }
    const deleted = await request(`${server.baseUrl}${unstable}`, { method: 'DELETE', headers })
    expect(deleted.statusCode).toBe(200)
    expect(await deleted.body.json()).toEqual({})
    await alice.fails(404, 'M_NOT_FOUND', 'GET', path)
    const ofRoom = userPath(alice, 'rooms', ROOM, 'account_data', 'org.example.x')
    await alice.put(ofRoom, { n: 1 })
    expect(await alice.get(ofRoom)).toEqual({ n: 1 })
  })

  it('tags rooms and keeps filters', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    await alice.put(userPath(alice, 'rooms', ROOM, 'tags', 'm.favourite'), { order: 0.25 })
    expect(await alice.get(userPath(alice, 'rooms', ROOM, 'tags'))).toEqual({ tags: { 'm.favourite': { order: 0.25 } } })
    await alice.delete(userPath(alice, 'rooms', ROOM, 'tags', 'm.favourite'))
    expect(await alice.get(userPath(alice, 'rooms', ROOM, 'tags'))).toEqual({ tags: {} })
    const { filter_id: filterId } = await alice.post<{ filter_id: string }>(userPath(alice, 'filter'), {
      room: { timeline: { limit: 10 } },
    })
    expect(await alice.get(userPath(alice, 'filter', filterId))).toEqual({ room: { timeline: { limit: 10 } } })
    await alice.fails(404, 'M_NOT_FOUND', 'GET', userPath(alice, 'filter', '4711'))
    await alice.fails(400, 'M_BAD_JSON', 'POST', userPath(alice, 'filter'), { body: { room: 7 } })
  })
})

it('profiles can be read by everyone and written by their user', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  const path = `/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}`
  await alice.put(`${path}/displayname`, { displayname: 'Alice' })
  await alice.put(`${path}/org.example.pronouns`, { 'org.example.pronouns': ['she'] })
  expect(await server.anonymous().get(path)).toEqual({ displayname: 'Alice', 'org.example.pronouns': ['she'] })
  expect(await bob.get(`${path}/displayname`)).toEqual({ displayname: 'Alice' })
  await bob.fails(403, 'M_FORBIDDEN', 'PUT', `${path}/displayname`, { body: { displayname: 'Mallory' } })
  await alice.fails(400, 'M_MISSING_PARAM', 'PUT', `${path}/displayname`, { body: { other: 1 } })
  await alice.fails(400, 'M_PROFILE_TOO_LARGE', 'PUT', `${path}/org.example.large`, {
    body: { 'org.example.large': 'x'.repeat(66_000) },
  })
  await alice.fails(400, 'M_KEY_TOO_LARGE', 'PUT', `${path}/a${'.b'.repeat(200)}`, { body: {} })
  await alice.delete(`${path}/displayname`)
  await bob.fails(404, 'M_NOT_FOUND', 'GET', `${path}/displayname`)
  await bob.fails(404, 'M_NOT_FOUND', 'GET', `/_matrix/client/v3/profile/${encodeURIComponent('@nobody:test.example')}`)
})

it('presence is seen by its user, and by nobody who shares no room', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  const path = `/_matrix/client/v3/presence/${encodeURIComponent(alice.userId)}/status`
  expect(await alice.get(path)).toEqual({ presence: 'offline' })
  await alice.put(path, { presence: 'online', status_msg: 'here' })
  expect(await alice.get(path)).toMatchObject({ presence: 'online', status_msg: 'here', currently_active: true })
  await bob.fails(403, 'M_FORBIDDEN', 'GET', path)
  await bob.fails(403, 'M_FORBIDDEN', 'PUT', path, { body: { presence: 'online' } })
  await alice.fails(400, 'M_INVALID_PARAM', 'PUT', path, { body: { presence: 'dancing' } })
})

it('tells clients, servers and people where to turn to, and has no TURN servers or networks by itself', async () => {
  await using server = await TestServer.start({
    config: { serve_server_wellknown: true, admin_contact: 'mailto:admin@test.example' },
  })
  const alice = await server.register('alice')
  const anonymous = server.anonymous()
  expect(await anonymous.get('/.well-known/matrix/client')).toEqual({ 'm.homeserver': { base_url: 'https://test.example/' } })
  expect(await anonymous.get('/.well-known/matrix/server')).toEqual({ 'm.server': 'test.example:443' })
  expect(await anonymous.get('/.well-known/matrix/support')).toEqual({
    contacts: [{ email_address: 'admin@test.example', role: 'm.role.admin' }],
  })
  expect(await alice.get('/_matrix/client/v3/thirdparty/protocols')).toEqual({})
  await alice.fails(404, 'M_NOT_FOUND', 'GET', '/_matrix/client/v3/thirdparty/protocol/irc')
})

it('the user directory finds everyone where an admin wants that, by any part of id and name', async () => {
  await using server = await TestServer.start({ config: { user_directory: { search_all_users: true } } })
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  await bob.put(`/_matrix/client/v3/profile/${encodeURIComponent(bob.userId)}/displayname`, { displayname: '田中 Bobby_100%' })
  const search = async (term: string): Promise<string[]> =>
    (
      await alice.post<{ results: { user_id: string }[] }>('/_matrix/client/v3/user_directory/search', { search_term: term })
    ).results.map((user) => user.user_id)
  for (const term of ['bob', 'BOBBY', '中', '@bob:test', 'bobby 田', '100%', 'y_1'])
    expect(await search(term), term).toEqual([bob.userId])
  for (const term of ['alice', 'zzz', '%', 'b%b', '']) expect(await search(term), term).toEqual(term === '%' ? [bob.userId] : [])
})
