import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registerAdministrator } from '../kit/administrator.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const ADMIN = '/_synapse/admin/v1'
const DOWNLOAD = '/_matrix/client/v1/media/download/'
const FUTURE_MS = 4_000_000_000_000

let server: TestServer
let root: TestClient

beforeAll(async () => {
  server = await TestServer.start()
  root = await registerAdministrator(server)
})

afterAll(() => server[Symbol.asyncDispose]())

async function upload(client: TestClient, bytes: Buffer, filename?: string): Promise<string> {
  const query = { filename }
  const body = await client.request<{ content_uri: string }>('POST', '/_matrix/media/v3/upload', {
    rawBody: bytes,
    contentType: 'application/octet-stream',
    query,
  })
  return body.content_uri.slice('mxc://'.length)
}

const idOf = (uri: string): string => uri.split('/')[1] ?? ''
const download = (client: TestClient, uri: string): Promise<unknown> => client.exchange('GET', DOWNLOAD + uri)
const isGone = (client: TestClient, uri: string): Promise<unknown> => client.fails(404, 'M_NOT_FOUND', 'GET', DOWNLOAD + uri)

function fileCount(): number {
  const directory = join(server.directory, 'media')
  if (!existsSync(directory)) return 0
  return readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length
}

describe('administrators', () => {
  it('list, describe and delete the uploads of a user', async () => {
    const alice = await server.register('alice')
    const user = `${ADMIN}/users/${encodeURIComponent(alice.userId)}/media`
    const uris = [
      await upload(alice, randomBytes(10), 'a.bin'),
      await upload(alice, randomBytes(30), 'c.bin'),
      await upload(alice, randomBytes(20), 'b.bin'),
    ]
    interface Page {
      media: { media_id: string; upload_name: string; media_length: number }[]
      total: number
      next_token?: number
    }
    const newest = await root.get<Page>(user)
    expect(newest.media.map((media) => media.media_id)).toEqual(uris.map(idOf).toReversed())
    const bySize = await root.get<Page>(user, { query: { order_by: 'media_length', dir: 'f', limit: 2 } })
    expect(bySize).toMatchObject({ total: 3, next_token: 2 })
    expect(bySize.media.map((media) => media.upload_name)).toEqual(['a.bin', 'b.bin'])
    expect(await root.get(`${ADMIN}/media/${uris[0] ?? ''}`)).toMatchObject({
      media_info: { user_id: alice.userId, media_length: 10, media_origin: null, url_cache: null, quarantined_by: null },
    })
    const statistics = { query: { search_term: 'alice' } }
    expect(await root.get(`${ADMIN}/statistics/users/media`, statistics)).toMatchObject({
      total: 1,
      users: [{ user_id: alice.userId, displayname: 'alice', media_count: 3, media_length: 60 }],
    })
    const files = fileCount()
    expect(await root.request('DELETE', `${ADMIN}/media/${uris[0] ?? ''}`)).toEqual({
      deleted_media: [idOf(uris[0] ?? '')],
      total: 1,
    })
    await isGone(alice, uris[0] ?? '')
    expect(fileCount()).toBe(files - 1)
    expect(await root.request('DELETE', user, { query: { limit: 1, order_by: 'media_length', dir: 'b' } })).toEqual({
      deleted_media: [idOf(uris[1] ?? '')],
      total: 1,
    })
    await download(alice, uris[2] ?? '')
    await root.fails(404, 'M_NOT_FOUND', 'DELETE', `${ADMIN}/media/${uris[0] ?? ''}`)
    await root.fails(400, 'M_UNKNOWN', 'DELETE', `${ADMIN}/media/other.example/abcdefgh`)
    await root.fails(400, 'M_UNKNOWN', 'GET', `${ADMIN}/users/@x:other.example/media`)
    await root.fails(404, 'M_NOT_FOUND', 'GET', `${ADMIN}/users/@nobody:test.example/media`)
    await alice.fails(403, 'M_FORBIDDEN', 'GET', user)
  })

  it('hide media of a room, of a user and by id, with all that have the same bytes, but for protected ones', async () => {
    const [bob, carol] = [await server.register('bob'), await server.register('carol')]
    const bytes = randomBytes(50)
    const shown = await upload(bob, bytes)
    const same = await upload(carol, bytes)
    const sticker = await upload(bob, randomBytes(50))
    const roomId = await bob.createRoom({})
    for (const uri of [shown, sticker, 'other.example/abcdefgh']) {
      await bob.send(roomId, 'm.room.message', { msgtype: 'm.image', body: 'x', url: `mxc://${uri}` })
    }
    expect(await root.get(`${ADMIN}/room/${roomId}/media`)).toEqual({
      local: [shown, sticker].toSorted().map((uri) => `mxc://${uri}`),
      remote: ['mxc://other.example/abcdefgh'],
    })
    await root.post(`${ADMIN}/media/protect/${idOf(sticker)}`)
    expect(await root.post(`${ADMIN}/room/${roomId}/media/quarantine`)).toEqual({ num_quarantined: 2 })
    await Promise.all([isGone(bob, shown), isGone(carol, same), download(bob, sticker)])
    await isGone(carol, await upload(carol, bytes))
    await root.post(`${ADMIN}/media/unquarantine/${shown}`)
    await Promise.all([download(bob, shown), download(carol, same)])
    await root.post(`${ADMIN}/media/unprotect/${idOf(sticker)}`)
    expect(await root.post(`${ADMIN}/user/${encodeURIComponent(bob.userId)}/media/quarantine`)).toMatchObject({
      num_quarantined: expect.any(Number) as number,
    })
    await Promise.all([isGone(bob, shown), isGone(bob, sticker)])
    await root.post(`${ADMIN}/media/unquarantine/${sticker}`)
    const log = await root.get<{ next_batch: number; changes: unknown[] }>(`${ADMIN}/media/quarantine_changes`)
    expect(log.changes.at(-1)).toEqual({ origin: 'test.example', media_id: idOf(sticker), quarantined: false })
    const rest = await root.get(`${ADMIN}/media/quarantine_changes`, { query: { from: log.next_batch } })
    expect(rest).toEqual({ changes: [], next_batch: log.next_batch })
  })

  it('delete uploads by age and size, but for the pictures of users and rooms', async () => {
    const dave = await server.register('dave')
    const [avatar, small, large] = [
      await upload(dave, randomBytes(5000)),
      await upload(dave, randomBytes(3000)),
      await upload(dave, randomBytes(6000)),
    ]
    const profile = `/_matrix/client/v3/profile/${encodeURIComponent(dave.userId)}/avatar_url`
    await dave.put(profile, { avatar_url: `mxc://${avatar}` })
    const remove = (query: Record<string, number | boolean>): Promise<{ deleted_media: string[] }> =>
      root.request('POST', `${ADMIN}/media/delete`, { query })
    expect((await remove({ before_ts: FUTURE_MS, size_gt: 4000 })).deleted_media).toEqual([idOf(large)])
    await download(dave, avatar)
    await download(dave, small)
    expect((await remove({ before_ts: FUTURE_MS, size_gt: 4000, keep_profiles: false })).deleted_media).toEqual([idOf(avatar)])
    await root.fails(400, 'M_INVALID_PARAM', 'POST', `${ADMIN}/media/delete`, { query: { before_ts: 1_700_000_000 } })
    await root.fails(400, 'M_MISSING_PARAM', 'POST', `${ADMIN}/media/delete`)
    expect(await root.request('POST', `${ADMIN}/purge_media_cache`, { query: { before_ts: FUTURE_MS } })).toEqual({ deleted: 0 })
  })
})

it('uploads that nobody fetches for their lifetime go by themselves', async () => {
  const erin = await server.register('erin')
  const uri = await upload(erin, randomBytes(10))
  await server.restart({ config: { media_retention: { local_media_lifetime: '0s' } } })
  await expect
    .poll(() => erin.exchange('GET', DOWNLOAD + uri, { expect: [200, 404] }).then(({ status }) => status), { timeout: 20_000 })
    .toBe(404)
})
