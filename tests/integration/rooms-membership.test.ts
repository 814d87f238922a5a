import { expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

type Membership = 'none' | 'join' | 'invite' | 'knock' | 'leave' | 'ban'
type Action = 'join' | 'leave' | 'knock' | 'invite' | 'kick' | 'ban' | 'unban'

const ACTIONS: readonly Action[] = ['join', 'leave', 'knock', 'invite', 'kick', 'ban', 'unban']

/** What becomes of bob in a room that takes knocks; a number is the status of the refusal. */
const TRANSITIONS: Readonly<Record<Membership, Readonly<Record<Action, Membership | number>>>> = {
  none: { join: 403, leave: 403, knock: 'knock', invite: 'invite', kick: 403, ban: 'ban', unban: 403 },
  join: { join: 'join', leave: 'leave', knock: 403, invite: 403, kick: 'leave', ban: 'ban', unban: 403 },
  invite: { join: 'join', leave: 'leave', knock: 403, invite: 'invite', kick: 'leave', ban: 'ban', unban: 403 },
  knock: { join: 403, leave: 'leave', knock: 'knock', invite: 'invite', kick: 'leave', ban: 'ban', unban: 403 },
  leave: { join: 403, leave: 'leave', knock: 'knock', invite: 'invite', kick: 403, ban: 'ban', unban: 403 },
  ban: { join: 403, leave: 403, knock: 403, invite: 403, kick: 403, ban: 'ban', unban: 'leave' },
}

async function bring(alice: TestClient, bob: TestClient, roomId: string, membership: Membership): Promise<void> {
  if (membership === 'none') return
  if (membership === 'knock') await bob.knock(roomId)
  else if (membership === 'ban') await alice.ban(roomId, bob.userId)
  else await alice.invite(roomId, bob.userId)
  if (membership === 'join' || membership === 'leave') await bob.join(roomId)
  if (membership === 'leave') await bob.leave(roomId)
}

function perform(alice: TestClient, bob: TestClient, roomId: string, action: Action): Promise<{ status: number }> {
  const self = {
    join: roomPath(roomId, 'join'),
    leave: roomPath(roomId, 'leave'),
    knock: `/_matrix/client/v3/knock/${encodeURIComponent(roomId)}`,
  }
  if (action === 'join' || action === 'leave' || action === 'knock')
    return bob.exchange('POST', self[action], { body: { reason: 'why not' }, expect: 'any' })
  return alice.exchange('POST', roomPath(roomId, action), { body: { user_id: bob.userId, reason: 'so' }, expect: 'any' })
}

test.each(Object.keys(TRANSITIONS) as Membership[])('every membership change from %s does what the table says', async (from) => {
  await using server = await TestServer.start()
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  for (const action of ACTIONS) {
    const roomId = await alice.createRoom({ initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }] })
    await bring(alice, bob, roomId, from)
    const { status } = await perform(alice, bob, roomId, action)
    const wanted = TRANSITIONS[from][action]
    expect([from, action, status]).toEqual([from, action, typeof wanted === 'number' ? wanted : 200])
    const after = typeof wanted === 'number' ? from : wanted
    if (after === 'none') continue
    expect(await alice.getState(roomId, 'm.room.member', bob.userId)).toMatchObject({ membership: after })
  }
})

test('members of an allowed room join a restricted room, with a member who may invite as authoriser; others do not', async () => {
  await using server = await TestServer.start()
  const [alice, bob, carol] = await Promise.all([server.register('alice'), server.register('bob'), server.register('carol')])
  const space = await alice.createRoom({ preset: 'public_chat', creation_content: { type: 'm.space' } })
  for (const room_version of ['8', '10', '12']) {
    const allow = [{ type: 'm.room_membership', room_id: space }]
    const roomId = await alice.createRoom({
      room_version,
      power_level_content_override: { invite: 50 },
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'restricted', allow } }],
    })
    await carol.fails(403, 'M_FORBIDDEN', 'POST', roomPath(roomId, 'join'))
    await bob.join(space)
    await bob.join(roomId)
    expect(await alice.getState(roomId, 'm.room.member', bob.userId)).toMatchObject({
      membership: 'join',
      join_authorised_via_users_server: alice.userId,
    })
    await alice.invite(roomId, carol.userId)
    await carol.join(roomId)
    expect(await alice.getState(roomId, 'm.room.member', carol.userId)).not.toHaveProperty('join_authorised_via_users_server')
    await alice.leave(roomId)
    await bob.leave(roomId)
    await bob.fails(403, 'M_UNABLE_TO_GRANT_JOIN', 'POST', roomPath(roomId, 'join'))
  }
})

test('a room is forgotten after leaving only', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  await alice.fails(400, 'M_UNKNOWN', 'POST', roomPath(roomId, 'forget'))
  await alice.leave(roomId)
  await alice.post(roomPath(roomId, 'forget'))
  await alice.post(roomPath(roomId, 'forget'))
})

test('unknown rooms and aliases are a 404, malformed ids a 400', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  for (const [room, status, errcode] of [
    ['!none:test.example', 404, 'M_NOT_FOUND'],
    ['#none:test.example', 404, 'M_NOT_FOUND'],
    ['none', 400, 'M_INVALID_PARAM'],
  ] as const) {
    await alice.fails(status, errcode, 'POST', `/_matrix/client/v3/join/${encodeURIComponent(room)}`, { body: {} })
    await alice.fails(status, errcode, 'POST', `/_matrix/client/v3/knock/${encodeURIComponent(room)}`, { body: {} })
  }
  await alice.fails(404, 'M_NOT_FOUND', 'POST', roomPath('!none:test.example', 'invite'), {
    body: { user_id: '@b:test.example' },
  })
  await alice.fails(404, 'M_NOT_FOUND', 'PUT', roomPath('!none:test.example', 'send', 'm.x', '1'), { body: {} })
})

test('a changed name goes into the member events of all rooms', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const rooms = await Promise.all(Array.from({ length: 12 }, () => alice.createRoom()))
  await alice.put(`/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}/displayname`, {
    displayname: 'Alice of Wonderland',
  })
  for (const roomId of rooms)
    expect(await alice.getState(roomId, 'm.room.member', alice.userId)).toMatchObject({
      displayname: 'Alice of Wonderland',
      membership: 'join',
    })
})

test('a member may show another name in one room, by setting the member event', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.sendState(roomId, 'm.room.member', bob.userId, { membership: 'join', displayname: 'Robert' })
  await bob.sendState(roomId, 'm.room.member', bob.userId, { membership: 'join', displayname: 'Bobby' })
  expect(await alice.getState(roomId, 'm.room.member', bob.userId)).toEqual({ membership: 'join', displayname: 'Bobby' })
  await alice.sendState(roomId, 'm.room.member', bob.userId, { membership: 'ban', reason: 'no' })
  await bob.fails(403, 'M_FORBIDDEN', 'PUT', roomPath(roomId, 'state', 'm.room.member', bob.userId), {
    body: { membership: 'join' },
  })
  await alice.fails(400, 'M_BAD_JSON', 'PUT', roomPath(roomId, 'state', 'm.room.member', bob.userId), {
    body: { membership: 'dance' },
  })
})

test('who blocks invites is not invited', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  const roomId = await alice.createRoom()
  await bob.put(`/_matrix/client/v3/user/${encodeURIComponent(bob.userId)}/account_data/m.invite_permission_config`, {
    default_action: 'block',
  })
  await alice.fails(403, 'M_INVITE_BLOCKED', 'POST', roomPath(roomId, 'invite'), { body: { user_id: bob.userId } })
  await alice.fails(403, 'M_INVITE_BLOCKED', 'POST', '/_matrix/client/v3/createRoom', { body: { invite: [bob.userId] } })
})

test('invites of whom a user does not want are refused, or never shown', async () => {
  await using server = await TestServer.start({ config: { experimental_features: { msc4155_enabled: true } } })
  const [alice, bob, carol] = await Promise.all([server.register('alice'), server.register('bob'), server.register('carol')])
  const filter = `/_matrix/client/v3/user/${encodeURIComponent(bob.userId)}/account_data/org.matrix.msc4155.invite_permission_config`
  await bob.put(filter, { ignored_users: ['@al*'], blocked_servers: ['test.*'] })
  const [ofAlice, ofCarol] = await Promise.all([alice.createRoom(), carol.createRoom()])
  await carol.fails(403, 'M_INVITE_BLOCKED', 'POST', roomPath(ofCarol, 'invite'), { body: { user_id: bob.userId } })
  await alice.invite(ofAlice, bob.userId)
  type Sync = { rooms?: { invite?: Record<string, unknown> } }
  expect((await bob.get<Sync>('/_matrix/client/v3/sync')).rooms?.invite).toBeUndefined()
  await bob.put(filter, { allowed_users: [carol.userId], blocked_servers: ['test.*'] })
  await carol.invite(ofCarol, bob.userId)
  expect(Object.keys((await bob.get<Sync>('/_matrix/client/v3/sync')).rooms?.invite ?? {})).toContain(ofCarol)
})

test('new accounts join the welcome rooms, closed accounts leave all rooms', async () => {
  await using server = await TestServer.start({ config: { auto_join_rooms: ['#welcome:test.example'] } })
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  const { room_id: roomId } = await alice.get<{ room_id: string }>('/_matrix/client/v3/directory/room/%23welcome%3Atest.example')
  for (const client of [alice, bob])
    expect(await client.get('/_matrix/client/v3/joined_rooms')).toEqual({ joined_rooms: [roomId] })
  const auth = { type: 'm.login.password', identifier: { type: 'm.id.user', user: bob.userId }, password: bob.password }
  await bob.post('/_matrix/client/v3/account/deactivate', { auth })
  await expect.poll(() => alice.getState(roomId, 'm.room.member', bob.userId)).toMatchObject({ membership: 'leave' })
})
