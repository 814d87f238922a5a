import { expect, test } from 'vitest'
import { registerAdministrator } from '../kit/administrator.ts'
import { roomPath, TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

async function registerGuest(server: TestServer): Promise<TestClient> {
  const guest = await server
    .anonymous()
    .request<{ user_id: string; access_token: string; device_id: string }>('POST', '/_matrix/client/v3/register?kind=guest', {
      body: {},
    })
  return new TestClient(server.transport, {
    userId: guest.user_id,
    accessToken: guest.access_token,
    deviceId: guest.device_id,
  })
}

test('guests send what the specification lets them, and leave when the room is closed to guests', async () => {
  await using server = await TestServer.start({ config: { allow_guest_access: true } })
  const alice = await server.register('alice')
  const [guest, invited] = [await registerGuest(server), await registerGuest(server)]
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await guest.fails(403, 'M_GUEST_ACCESS_FORBIDDEN', 'POST', roomPath(roomId, 'join'), { body: {} })
  const guestAccess = roomPath(roomId, 'state', 'm.room.guest_access', '')
  await alice.put(guestAccess, { guest_access: 'can_join' })
  await guest.join(roomId)
  await alice.post(roomPath(roomId, 'invite'), { user_id: invited.userId })

  const eventId = await guest.sendText(roomId, 'hello')
  await guest.put(roomPath(roomId, 'send', 'org.example.any', 't1'), { any: 'thing' })
  await guest.put(`/_matrix/client/v3/sendToDevice/org.example.any/t1`, { messages: {} })
  const profile = `/_matrix/client/v3/profile/${encodeURIComponent(guest.userId)}`
  await guest.put(`${profile}/displayname`, { displayname: 'Passer-by' })
  const forbidden: [string, string, unknown][] = [
    ['PUT', `${profile}/avatar_url`, { avatar_url: 'mxc://test.example/x' }],
    ['PUT', roomPath(roomId, 'redact', eventId, 't2'), {}],
    ['POST', '/_matrix/client/v3/createRoom', {}],
    ['POST', roomPath(roomId, 'invite'), { user_id: alice.userId }],
    ['POST', roomPath(roomId, 'kick'), { user_id: alice.userId }],
    ['PUT', roomPath(roomId, 'typing', guest.userId), { typing: true }],
    ['POST', roomPath(roomId, 'receipt', 'm.read', eventId), {}],
    ['POST', '/_matrix/client/v3/user_directory/search', { search_term: 'a' }],
    ['GET', '/_matrix/client/v3/pushrules/', undefined],
    ['GET', '/_matrix/client/v3/account/3pid', undefined],
  ]
  for (const [method, path, body] of forbidden)
    await guest.fails(403, 'M_GUEST_ACCESS_FORBIDDEN', method as 'PUT', path, body === undefined ? {} : { body })

  await alice.put(guestAccess, { guest_access: 'forbidden' })
  const memberOf = async (client: TestClient): Promise<unknown> =>
    (await alice.getState<{ membership: string }>(roomId, 'm.room.member', client.userId)).membership
  await expect.poll(() => memberOf(guest), { timeout: 5000 }).toBe('leave')
  await expect.poll(() => memberOf(invited), { timeout: 5000 }).toBe('leave')
  expect(await memberOf(alice)).toBe('join')
})

test('a suspended account reads, leaves, redacts its own and logs out; it does not write to others', async () => {
  await using server = await TestServer.start()
  const [root, alice, bob] = [await registerAdministrator(server), await server.register('alice'), await server.register('bob')]
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  const other = await bob.createRoom({ preset: 'public_chat' })
  const invitation = await bob.createRoom({ invite: [alice.userId] })
  await bob.join(roomId)
  const [own, foreign] = [await alice.sendText(roomId, 'mine'), await bob.sendText(roomId, 'yours')]
  await root.put(`/_matrix/client/v1/admin/suspend/${encodeURIComponent(alice.userId)}`, { suspended: true })

  const refused: [string, string, unknown][] = [
    ['PUT', roomPath(roomId, 'send', 'm.room.message', 't1'), { msgtype: 'm.text', body: 'no' }],
    ['PUT', roomPath(roomId, 'state', 'm.room.topic', ''), { topic: 'no' }],
    ['PUT', roomPath(roomId, 'redact', foreign, 't2'), {}],
    ['POST', roomPath(other, 'join'), {}],
    ['POST', roomPath(invitation, 'join'), {}],
    ['POST', `/_matrix/client/v3/knock/${encodeURIComponent(other)}`, {}],
    ['POST', '/_matrix/client/v3/createRoom', {}],
    ['POST', roomPath(roomId, 'invite'), { user_id: root.userId }],
    ['POST', roomPath(roomId, 'kick'), { user_id: bob.userId }],
    ['POST', roomPath(roomId, 'ban'), { user_id: bob.userId }],
    ['PUT', `/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}/displayname`, { displayname: 'no' }],
  ]
  for (const [method, path, body] of refused) await alice.fails(403, 'M_USER_SUSPENDED', method as 'PUT', path, { body })

  expect(JSON.stringify(await alice.sync())).toContain('yours')
  expect((await alice.messages(roomId)).chunk.length).toBeGreaterThan(2)
  await alice.put(roomPath(roomId, 'redact', own, 't3'), {})
  await alice.post(roomPath(invitation, 'leave'), {})
  await alice.post(roomPath(roomId, 'leave'), {})
  const again = await alice.loginAgain()
  await again.fails(403, 'M_USER_SUSPENDED', 'POST', '/_matrix/client/v3/createRoom', { body: {} })
  await again.post('/_matrix/client/v3/logout', {})
  await root.put(`/_matrix/client/v1/admin/suspend/${encodeURIComponent(alice.userId)}`, { suspended: false })
  await alice.join(roomId)
})

test('joins and invites beyond their rate are refused and tell when to try again', async () => {
  const strict = { per_second: 0.01, burst_count: 2 }
  await using server = await TestServer.start({
    config: { rc_joins: { local: strict }, rc_invites: { per_issuer: strict, per_user: { per_second: 99, burst_count: 99 } } },
  })
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const rooms = [await alice.createRoom({ preset: 'public_chat' }), await alice.createRoom({ preset: 'public_chat' })]
  const third = await alice.createRoom({ preset: 'public_chat' })
  for (const roomId of rooms) await bob.join(roomId)
  const refusal = await bob.fails(429, 'M_LIMIT_EXCEEDED', 'POST', roomPath(third, 'join'), { body: {} })
  expect(refusal).toMatchObject({ retry_after_ms: expect.any(Number) as number })
  // Being in a room already costs nothing.
  await bob.join(rooms[0]!)
  const people = ['carol', 'dave', 'erin'].map((name) => `@${name}:test.example`)
  for (const name of ['carol', 'dave', 'erin']) await server.register(name)
  for (const userId of people.slice(0, 2)) await alice.post(roomPath(third, 'invite'), { user_id: userId })
  await alice.fails(429, 'M_LIMIT_EXCEEDED', 'POST', roomPath(third, 'invite'), { body: { user_id: people[2] } })
})
