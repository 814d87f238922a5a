import { expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const CREATE = '/_matrix/client/v3/createRoom'
const PRESETS = {
  private_chat: { joinRule: 'invite', guestAccess: 'can_join' },
  trusted_private_chat: { joinRule: 'invite', guestAccess: 'can_join' },
  public_chat: { joinRule: 'public', guestAccess: undefined },
} as const

test.each(['1', '5', '8', '10', '11', '12'])('the presets make what they stand for in rooms of version %s', async (version) => {
  await using server = await TestServer.start()
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  for (const [preset, { joinRule, guestAccess }] of Object.entries(PRESETS)) {
    const roomId = await alice.createRoom({
      room_version: version,
      preset,
      invite: [bob.userId],
      is_direct: true,
      name: 'N',
      topic: 'T',
    })
    expect(roomId.includes(':')).toBe(version !== '12')
    expect(await alice.getState(roomId, 'm.room.join_rules')).toEqual({ join_rule: joinRule })
    if (guestAccess === undefined)
      await alice.fails(404, 'M_NOT_FOUND', 'GET', roomPath(roomId, 'state', 'm.room.guest_access', ''))
    else expect(await alice.getState(roomId, 'm.room.guest_access')).toEqual({ guest_access: guestAccess })
    expect(await alice.getState(roomId, 'm.room.history_visibility')).toEqual({ history_visibility: 'shared' })
    expect(await alice.getState(roomId, 'm.room.topic')).toEqual({ topic: 'T', 'm.topic': { 'm.text': [{ body: 'T' }] } })
    expect(await alice.getState(roomId, 'm.room.member', bob.userId)).toEqual({
      membership: 'invite',
      is_direct: true,
      displayname: 'bob',
    })
    const create = await alice.getState<Record<string, unknown>>(roomId, 'm.room.create')
    const isTrusted = preset === 'trusted_private_chat'
    expect(create['room_version']).toBe(version)
    expect(create['creator']).toBe(Number(version) < 11 ? alice.userId : undefined)
    expect(create['additional_creators']).toEqual(version === '12' && isTrusted ? [bob.userId] : undefined)
    const { users, events } = await alice.getState<{ users: unknown; events: Record<string, number> }>(
      roomId,
      'm.room.power_levels',
    )
    expect(users).toEqual(version === '12' ? {} : { [alice.userId]: 100, ...(isTrusted && { [bob.userId]: 100 }) })
    expect(events['m.room.tombstone']).toBe(version === '12' ? 150 : 100)
  }
})

test('initial_state goes before the preset, name and topic before initial_state', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom({
    name: 'Wins',
    topic: 'Wins too',
    room_alias_name: 'den',
    initial_state: [
      { type: 'm.room.name', content: { name: 'Loses' } },
      { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'joined' } },
      { type: 'com.example', state_key: 'x', content: { a: 1 } },
    ],
    power_level_content_override: { events_default: 7 },
  })
  expect(await alice.getState(roomId, 'm.room.name')).toEqual({ name: 'Wins' })
  expect(await alice.getState(roomId, 'm.room.history_visibility')).toEqual({ history_visibility: 'joined' })
  expect(await alice.getState(roomId, 'com.example', 'x')).toEqual({ a: 1 })
  expect(await alice.getState(roomId, 'm.room.power_levels')).toMatchObject({ events_default: 7, state_default: 50 })
  expect(await alice.getState(roomId, 'm.room.canonical_alias')).toEqual({ alias: '#den:test.example' })
  const { chunk } = await alice.messages(roomId, { dir: 'f', limit: 100 })
  expect(chunk.slice(0, 4).map((event) => event.type)).toEqual([
    'm.room.create',
    'm.room.member',
    'm.room.power_levels',
    'm.room.canonical_alias',
  ])
  expect(await alice.join('#den:test.example')).toBe(roomId)
})

test('requests that contradict themselves make no room', async () => {
  await using server = await TestServer.start({ config: { room_list_publication_rules: [{ action: 'deny' }] } })
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  await alice.createRoom({ room_alias_name: 'taken' })
  const cases: readonly [Record<string, unknown>, number, string][] = [
    [{ room_version: '99' }, 400, 'M_UNSUPPORTED_ROOM_VERSION'],
    [{ room_version: 11 }, 400, 'M_BAD_JSON'],
    [{ room_alias_name: 'taken' }, 400, 'M_ROOM_IN_USE'],
    [{ room_alias_name: 'a:b' }, 400, 'M_INVALID_PARAM'],
    [{ room_alias_name: 'a\u0000b' }, 400, 'M_INVALID_PARAM'],
    [{ invite: ['bob'] }, 400, 'M_INVALID_PARAM'],
    [{ visibility: 'public' }, 403, 'M_FORBIDDEN'],
    [{ invite_3pid: [{ id_server: 'no host', id_access_token: 'y', medium: 'email', address: 'a@b' }] }, 400, 'M_INVALID_PARAM'],
    [{ room_version: '11', power_level_content_override: { users: { [bob.userId]: 100 } } }, 400, 'M_BAD_JSON'],
    [{ room_version: '12', power_level_content_override: { users: { [alice.userId]: 100 } } }, 400, 'M_INVALID_ROOM_STATE'],
    [{ room_version: '11', power_level_content_override: { users: { [alice.userId]: 10 } } }, 400, 'M_INVALID_ROOM_STATE'],
    [{ power_level_content_override: { users: { [bob.userId]: 'high' } } }, 400, 'M_BAD_JSON'],
    [{ creation_content: { additional_creators: ['@invalid:dom$ain$.com'] } }, 400, 'M_INVALID_PARAM'],
    [
      { initial_state: [{ type: 'm.room.member', state_key: bob.userId, content: { membership: 'join' } }] },
      400,
      'M_INVALID_ROOM_STATE',
    ],
    [{ preset: 'secret' }, 400, 'M_INVALID_PARAM'],
  ]
  for (const [body, status, errcode] of cases) await alice.fails(status, errcode, 'POST', CREATE, { body })
  const { joined_rooms: rooms } = await alice.get<{ joined_rooms: string[] }>('/_matrix/client/v3/joined_rooms')
  expect(rooms).toHaveLength(1)
})

test('an administrator sets encryption and power levels of new rooms', async () => {
  await using server = await TestServer.start({
    config: {
      encryption_enabled_by_default_for_room_type: 'invite',
      default_power_level_content_override: { private_chat: { invite: 33 } },
      default_room_version: '10',
    },
  })
  const alice = await server.register('alice')
  const priv = await alice.createRoom({ preset: 'private_chat' })
  const pub = await alice.createRoom({ preset: 'public_chat' })
  expect(await alice.getState(priv, 'm.room.create')).toMatchObject({ room_version: '10' })
  expect(await alice.getState(priv, 'm.room.encryption')).toEqual({ algorithm: 'm.megolm.v1.aes-sha2' })
  expect(await alice.getState(priv, 'm.room.power_levels')).toMatchObject({ invite: 33 })
  await alice.fails(404, 'M_NOT_FOUND', 'GET', `/_matrix/client/v3/rooms/${encodeURIComponent(pub)}/state/m.room.encryption/`)
})
