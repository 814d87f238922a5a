import { expect, it } from 'vitest'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

it('messages of an erased account keep their content for those who were there, and lose it for who comes later', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob', { password: 'a long password' })
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  const eventId = await bob.sendText(roomId, 'forget me')
  const kept = await alice.sendText(roomId, 'keep me')
  await bob.request('POST', '/_matrix/client/v3/account/deactivate', {
    body: {
      erase: true,
      auth: { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'bob' }, password: 'a long password' },
    },
  })
  const carol = await server.register('carol')
  await carol.join(roomId)

  const read = async (client: typeof alice, id: string): Promise<unknown> =>
    (await client.request<{ content: unknown }>('GET', roomPath(roomId, 'event', id))).content
  expect(await read(alice, eventId)).toMatchObject({ body: 'forget me' })
  expect(await read(carol, eventId)).toEqual({})
  expect(await read(carol, kept)).toMatchObject({ body: 'keep me' })
  const sync = JSON.stringify(await carol.sync())
  expect(sync).toContain('keep me')
  expect(sync).not.toContain('forget me')
})
