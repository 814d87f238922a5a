import { expect, it } from 'vitest'
import { TestServer } from '../kit/test-server.ts'

it('ten processes behind nginx are one server (W-02)', async () => {
  await using server = await TestServer.startCluster()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const room = await alice.createRoom({ preset: 'public_chat', name: 'A room' })
  await bob.join(room)
  const since = (await bob.sync()).next_batch
  const sent = await alice.sendText(room, 'hello')
  const seen = await bob.sync({ since })
  expect(JSON.stringify(seen)).toContain(sent)
  expect(JSON.stringify(await bob.messages(room))).toContain(sent)
})
