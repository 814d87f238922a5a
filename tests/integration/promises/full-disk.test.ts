import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { TestClient } from '../../kit/client.ts'
import { TestServer } from '../../kit/test-server.ts'

async function upload(
  client: TestClient,
  bytes: Buffer,
  expect: number,
): Promise<{ content_uri?: string; errcode?: string; error?: string }> {
  return client.request('POST', '/_matrix/media/v3/upload', { rawBody: bytes, contentType: 'application/octet-stream', expect })
}

test('P19: where the disk is full, that upload fails with a clean error, leaves nothing behind, and all else goes on', async () => {
  await using server = await TestServer.spawn()
  const alice = await server.register('alice')
  const small = await upload(alice, randomBytes(1000), 200)
  // No file of the server may grow beyond this from now on: writing more fails just as on a full disk.
  execFileSync('prlimit', ['--pid', String(server.pid), '--fsize=50000'])
  const failed = await upload(alice, randomBytes(300_000), 507)
  expect(failed.errcode).toMatch(/^M_/)
  expect(failed.error).not.toMatch(/EFBIG|ENOSPC|\//)
  const left = readdirSync(join(server.directory, 'media'), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  expect(left).toHaveLength(1)
  const path = `/_matrix/client/v1/media/download/${(small.content_uri ?? '').slice('mxc://'.length)}`
  expect((await alice.exchange('GET', path)).bytes).toHaveLength(1000)
  const roomId = await alice.createRoom()
  await alice.sendText(roomId, 'still here')
})
