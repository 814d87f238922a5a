import { expect, test, vi } from 'vitest'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

test.each([
  ['1', '5'],
  ['5', '8'],
  ['10', '11'],
  ['11', '12'],
  ['12', '12'],
])('a room of version %s is upgraded to %s', async (before, after) => {
  await using server = await TestServer.start()
  const [alice, bob, carol] = await Promise.all([server.register('alice'), server.register('bob'), server.register('carol')])
  const roomId = await alice.createRoom({
    room_version: before,
    preset: 'public_chat',
    name: 'Hall',
    topic: 'All things',
    room_alias_name: 'hall',
    creation_content: { 'm.federate': false },
  })
  await bob.join(roomId)
  await carol.join(roomId)
  await alice.ban(roomId, carol.userId)
  await bob.put(`/_matrix/client/v3/user/${encodeURIComponent(bob.userId)}/rooms/${encodeURIComponent(roomId)}/tags/u.work`, {
    order: 0.5,
  })
  await bob.fails(403, 'M_FORBIDDEN', 'POST', roomPath(roomId, 'upgrade'), { body: { new_version: after } })
  await alice.fails(400, 'M_UNSUPPORTED_ROOM_VERSION', 'POST', roomPath(roomId, 'upgrade'), { body: { new_version: 'x' } })
  const { replacement_room: newId } = await alice.post<{ replacement_room: string }>(roomPath(roomId, 'upgrade'), {
    new_version: after,
  })
  expect(await alice.getState(roomId, 'm.room.tombstone')).toMatchObject({ replacement_room: newId })
  const create = await alice.getState<{ predecessor: { event_id?: string } }>(newId, 'm.room.create')
  expect(create).toMatchObject({ 'm.federate': false, room_version: after, predecessor: { room_id: roomId } })
  expect(create.predecessor.event_id === undefined).toBe(after === '12')
  expect(await alice.getState(newId, 'm.room.name')).toEqual({ name: 'Hall' })
  expect(await alice.getState(newId, 'm.room.topic')).toMatchObject({ topic: 'All things' })
  expect(await alice.getState(newId, 'm.room.member', carol.userId)).toMatchObject({ membership: 'ban' })
  expect(await alice.getState(newId, 'm.room.canonical_alias')).toEqual({ alias: '#hall:test.example' })
  expect(await alice.get('/_matrix/client/v3/directory/room/%23hall%3Atest.example')).toMatchObject({ room_id: newId })
  expect((await alice.getState<{ users: unknown }>(newId, 'm.room.power_levels')).users).toEqual(
    after === '12' ? {} : { [alice.userId]: 100 },
  )
  await bob.fails(403, 'M_FORBIDDEN', 'PUT', roomPath(roomId, 'send', 'm.room.message', 't'), {
    body: { msgtype: 'm.text', body: 'late' },
  })
  await bob.join(newId)
  expect(
    await bob.get(`/_matrix/client/v3/user/${encodeURIComponent(bob.userId)}/rooms/${encodeURIComponent(newId)}/tags`),
  ).toEqual({ tags: { 'u.work': { order: 0.5 } } })
})

test('who makes a room that names its predecessor brings their tags along', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const tagsOf = (roomId: string) =>
    `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/rooms/${encodeURIComponent(roomId)}/tags`
  const roomId = await alice.createRoom()
  await alice.put(`${tagsOf(roomId)}/u.work`, { order: 0.5 })
  const newId = await alice.createRoom({ creation_content: { predecessor: { room_id: roomId } } })
  await vi.waitFor(async () => expect(await alice.get(tagsOf(newId))).toEqual({ tags: { 'u.work': { order: 0.5 } } }))
})
