import { expect, it } from 'vitest'
import { registerAdministrator } from '../kit/administrator.ts'
import { TestServer } from '../kit/test-server.ts'

const PATH = '/_synapse/admin/v1/send_server_notice'

it('CS-50: the server writes to a user, in a room of their own whose invite cannot be rejected', async () => {
  await using server = await TestServer.start({
    config: {
      server_notices: { system_mxid_localpart: 'notices', system_mxid_display_name: 'The server', room_name: 'From the server' },
    },
  })
  const [root, alice] = await Promise.all([registerAdministrator(server), server.register('alice')])
  const content = { msgtype: 'm.text', body: 'Maintenance tonight' }
  const notice = { user_id: alice.userId, content }
  // Two at once make one room.
  const [first, second] = await Promise.all([1, 2].map(() => root.post<{ event_id: string }>(PATH, notice)))
  expect(first?.event_id).not.toBe(second?.event_id)
  const invited = (await alice.sync()).rooms?.invite ?? {}
  const [roomId = '', ...others] = Object.keys(invited)
  expect(others).toEqual([])
  await alice.fails(
    403,
    'M_CANNOT_LEAVE_SERVER_NOTICE_ROOM',
    'POST',
    `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/leave`,
    { body: {} },
  )
  await alice.join(roomId)
  const tags = `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/rooms/${encodeURIComponent(roomId)}/tags`
  expect(await alice.get(tags)).toEqual({ tags: { 'm.server_notice': {} } })
  const once = await Promise.all([1, 2].map(() => root.put<{ event_id: string }>(`${PATH}/txn1`, notice)))
  expect(once[0]).toEqual(once[1])
  const said = (await alice.messages(roomId, { dir: 'b', limit: 50 })).chunk.filter((event) => event.type === 'm.room.message')
  expect(said.map((event) => [event.sender, event.content])).toEqual(
    Array.from({ length: 3 }, () => ['@notices:test.example', content]),
  )
  await alice.fails(403, 'M_FORBIDDEN', 'PUT', `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/1`, {
    body: { msgtype: 'm.text', body: 'Thank you' },
  })
  await alice.leave(roomId)
  await root.post(PATH, { ...notice, type: 'm.room.topic', state_key: '', content: { topic: 'News' } })
  expect(Object.keys((await alice.sync()).rooms?.invite ?? {})).toEqual([roomId])
  // Nobody may take the server's name.
  const available = '/_matrix/client/v3/register/available?username=notices'
  await server.anonymous().fails(400, 'M_EXCLUSIVE', 'GET', available)
  await root.fails(404, 'M_NOT_FOUND', 'POST', PATH, { body: { ...notice, user_id: '@nobody:test.example' } })
  await root.fails(400, 'M_UNKNOWN', 'POST', PATH, { body: { ...notice, user_id: '@alice:elsewhere.example' } })
  await root.fails(400, 'M_BAD_JSON', 'POST', PATH, { body: { ...notice, content: 'words' } })
  await alice.fails(403, 'M_FORBIDDEN', 'POST', PATH, { body: notice })
})
