import { expect, test } from 'vitest'
import { TestServer } from '../kit/test-server.ts'

test('a server answers /versions, and again after a restart at the same address', async () => {
  await using server = await TestServer.start()
  const client = server.anonymous()
  const before = await client.get<{ versions: string[] }>('/_matrix/client/versions')
  expect(before.versions).toContain('v1.19')
  await server.restart()
  expect(await client.get('/_matrix/client/versions')).toEqual(before)
})

test('an unknown path is answered with M_UNRECOGNIZED', async () => {
  await using server = await TestServer.start()
  await server.anonymous().fails(404, 'M_UNRECOGNIZED', 'GET', '/_matrix/client/v3/no_such_thing')
})

test('a spawned server answers, survives being killed, and keeps its address', async () => {
  await using server = await TestServer.spawn()
  const client = server.anonymous()
  await client.get('/_matrix/client/versions')
  await server.kill()
  await server.startAgain()
  await client.get('/_matrix/client/versions')
})
