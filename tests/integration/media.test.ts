import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, statSync, truncateSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import sharp from 'sharp'
import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const AUTHED = '/_matrix/client/v1/media'
const OLD = '/_matrix/media/v3'

async function upload(
  client: TestClient,
  bytes: Buffer,
  options: { contentType?: string; filename?: string } = {},
): Promise<string> {
  const { contentType = 'application/octet-stream', filename } = options
  const body = await client.request<{ content_uri: string }>('POST', `${OLD}/upload`, {
    rawBody: bytes,
    contentType,
    query: { filename },
  })
  return body.content_uri.slice('mxc://'.length)
}

/** A folder that nobody has made yet has none. */
function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  )
}

function picture(width: number, height: number): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
}

describe('uploads and downloads', () => {
  it('give back the same bytes, with headers that let nothing run', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const bytes = randomBytes(300_000)
    const uri = await upload(alice, bytes, { contentType: 'text/html', filename: 'a;b "c".html' })
    const { bytes: got, headers } = await alice.exchange('GET', `${AUTHED}/download/${uri}`)
    expect(got.equals(bytes)).toBe(true)
    expect(headers).toMatchObject({
      'content-type': 'text/html',
      'content-disposition': 'attachment; filename="a;b \\"c\\".html"',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'cross-origin',
      'content-length': '300000',
    })
    expect(headers['content-security-policy']).toContain('sandbox')
    const renamed = await alice.exchange('GET', `${AUTHED}/download/${uri}/${encodeURIComponent('☕.png')}`)
    expect(renamed.headers['content-disposition']).toBe("attachment; filename*=utf-8''%E2%98%95.png")
    const [path] = filesIn(join(server.directory, 'media', 'local_content'))
    const id = uri.split('/')[1] ?? ''
    expect(path).toBe(join(server.directory, 'media', 'local_content', id.slice(0, 2), id.slice(2, 4), id.slice(4)))
  })

  it('send ranges, and nothing to who has it already', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const uri = await upload(alice, Buffer.from('0123456789'), { contentType: 'video/mp4' })
    const whole = await alice.exchange('GET', `${AUTHED}/download/${uri}`)
    // The specification does not know these answers, but HTTP does.
    const get = (headers: Record<string, string>): ReturnType<typeof request> =>
      request(`${server.baseUrl}${AUTHED}/download/${uri}`, {
        headers: { ...headers, authorization: `Bearer ${alice.accessToken ?? ''}` },
      })
    const part = await get({ range: 'bytes=2-4' })
    expect(part.statusCode).toBe(206)
    expect(await part.body.text()).toBe('234')
    expect(part.headers['content-range']).toBe('bytes 2-4/10')
    const beyond = await get({ range: 'bytes=10-' })
    expect(beyond.statusCode).toBe(416)
    await beyond.body.dump()
    const cached = await get({ 'if-none-match': String(whole.headers['etag']) })
    expect(cached.statusCode).toBe(304)
    expect(await cached.body.text()).toBe('')
    const empty = await upload(alice, Buffer.alloc(0))
    expect((await alice.exchange('GET', `${AUTHED}/download/${empty}`)).bytes).toHaveLength(0)
  })

  it('need an access token, unless the server was told to need none', async () => {
    await using server = await TestServer.start({ config: { enable_authenticated_media: false } })
    const alice = await server.register('alice')
    const open = await upload(alice, Buffer.from('open'))
    await server.restart({ config: { enable_authenticated_media: true } })
    const closed = await upload(alice, Buffer.from('closed'))
    expect((await alice.exchange('GET', `${OLD}/download/${open}`, { token: null })).bytes.toString()).toBe('open')
    await alice.fails(404, 'M_NOT_FOUND', 'GET', `${OLD}/download/${closed}`)
    await alice.fails(401, 'M_MISSING_TOKEN', 'GET', `${AUTHED}/download/${closed}`, { token: null })
    expect((await alice.exchange('GET', `${AUTHED}/download/${closed}`)).bytes.toString()).toBe('closed')
    await server.restart({ config: { enable_authenticated_media: false, prevent_media_downloads_from: ['other.example'] } })
    expect((await alice.exchange('GET', `${OLD}/download/${closed}`, { token: null })).bytes.toString()).toBe('closed')
    await alice.fails(404, 'M_NOT_FOUND', 'GET', `${AUTHED}/download/other.example/${closed.split('/')[1] ?? ''}`)
    await alice.fails(404, 'M_NOT_FOUND', 'GET', `${AUTHED}/download/test.example/${encodeURIComponent('../../../etc/passwd')}`)
  })

  it('are refused above the limit, told or not, and leave nothing behind', async () => {
    await using server = await TestServer.start({ config: { max_upload_size: '10K' } })
    const alice = await server.register('alice')
    expect(await alice.get(`${AUTHED}/config`)).toEqual({ 'm.upload.size': 10_240 })
    await alice.fails(413, 'M_TOO_LARGE', 'POST', `${OLD}/upload`, { rawBody: Buffer.alloc(10_241) })
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { authorization: `Bearer ${alice.accessToken ?? ''}`, 'transfer-encoding': 'chunked' }
      const chunked = httpRequest(`${server.baseUrl}${OLD}/upload`, { method: 'POST', headers }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      chunked.on('error', reject)
      chunked.write(Buffer.alloc(8000))
      chunked.end(Buffer.alloc(8000))
    })
    expect(status).toBe(413)
    expect(filesIn(join(server.directory, 'media'))).toEqual([])
  })

  it('that are cut off leave nothing behind, and a damaged file is absent', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const headers = { authorization: `Bearer ${alice.accessToken ?? ''}`, 'content-length': 100_000 }
    const cut = httpRequest(`${server.baseUrl}${OLD}/upload`, { method: 'POST', headers })
    cut.on('error', () => cut.destroy())
    cut.write(Buffer.alloc(50_000))
    const media = join(server.directory, 'media')
    await expect.poll(() => filesIn(media).length).toBe(1)
    cut.destroy()
    await expect.poll(() => filesIn(media)).toEqual([])
    const uri = await upload(alice, Buffer.alloc(1000))
    const [path = ''] = filesIn(media)
    expect(statSync(path).size).toBe(1000)
    truncateSync(path, 500)
    await alice.fails(404, 'M_NOT_FOUND', 'GET', `${AUTHED}/download/${uri}`)
  })

  it('work in two steps, once, by the one who made the id', async () => {
    await using server = await TestServer.start({ config: { max_pending_media_uploads: 2 } })
    const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
    const { content_uri: contentUri } = await alice.post<{ content_uri: string }>('/_matrix/media/v1/create')
    const uri = contentUri.slice('mxc://'.length)
    await alice.fails(504, 'M_NOT_YET_UPLOADED', 'GET', `${AUTHED}/download/${uri}`, { query: { timeout_ms: 0 } })
    await bob.fails(403, 'M_FORBIDDEN', 'PUT', `${OLD}/upload/${uri}`, { rawBody: 'x' })
    const waiting = alice.exchange('GET', `${AUTHED}/download/${uri}`)
    const put = (text: string): Promise<{ status: number }> =>
      alice.exchange('PUT', `${OLD}/upload/${uri}`, { rawBody: text, contentType: 'text/plain', expect: [200, 409] })
    const statuses = (await Promise.all([put('one'), put('two')])).map(({ status }) => status)
    expect(statuses.toSorted()).toEqual([200, 409])
    expect((await waiting).bytes.toString()).toBe(statuses[0] === 200 ? 'one' : 'two')
    await alice.fails(409, 'M_CANNOT_OVERWRITE_MEDIA', 'PUT', `${OLD}/upload/${uri}`, { rawBody: 'x' })
    await alice.fails(404, 'M_NOT_FOUND', 'PUT', `${OLD}/upload/test.example/unknownunknown`, { rawBody: 'x' })
    await alice.post('/_matrix/media/v1/create')
    await alice.post('/_matrix/media/v1/create')
    await alice.fails(429, 'M_LIMIT_EXCEEDED', 'POST', '/_matrix/media/v1/create')
  })
})

describe('thumbnails', () => {
  const thumbnail = (uri: string): string => `${AUTHED}/thumbnail/${uri}`

  it('have the configured sizes, are kept, and show the picture upright', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const uri = await upload(alice, await picture(1000, 500))
    const { bytes, headers } = await alice.exchange('GET', thumbnail(uri), {
      query: { width: 300, height: 200, method: 'scale' },
    })
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'png', width: 320, height: 160 })
    expect(headers['content-disposition']).toBe('inline; filename=thumbnail.png')
    const again = await alice.exchange('GET', thumbnail(uri), { query: { width: 300, height: 200, method: 'scale' } })
    expect(again.bytes.equals(bytes)).toBe(true)
    const crop = await alice.exchange('GET', thumbnail(uri), { query: { width: 96, height: 96, method: 'crop' } })
    expect(await sharp(crop.bytes).metadata()).toMatchObject({ width: 96, height: 96 })
    expect(
      filesIn(join(server.directory, 'media', 'local_thumbnails'))
        .map((path) => path.split('/').at(-1))
        .toSorted(),
    ).toEqual(['320-240-image-png-scale', '96-96-image-png-crop'])
    const turned = await sharp(await picture(400, 200))
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer()
    const upright = await alice.exchange('GET', thumbnail(await upload(alice, turned)), {
      query: { width: 640, height: 480, method: 'scale' },
    })
    expect(await sharp(upright.bytes).metadata()).toMatchObject({ format: 'jpeg', width: 200, height: 400 })
  })

  it('move only when asked to', async () => {
    await using server = await TestServer.start({ config: { dynamic_thumbnails: true } })
    const alice = await server.register('alice')
    const frame = await sharp({ create: { width: 60, height: 180, channels: 3, background: 'red' } })
      .composite([
        { input: await picture(60, 60), left: 0, top: 0 },
        {
          input: await sharp({ create: { width: 60, height: 60, channels: 3, background: 'blue' } })
            .png()
            .toBuffer(),
          left: 0,
          top: 60,
        },
      ])
      .raw()
      .toBuffer()
    const gif = await sharp(frame, { raw: { width: 60, height: 180, channels: 3, pageHeight: 60 } })
      .gif({ loop: 0 })
      .toBuffer()
    const uri = await upload(alice, gif)
    const still = await alice.exchange('GET', thumbnail(uri), { query: { width: 30, height: 20 } })
    expect(await sharp(still.bytes).metadata()).toMatchObject({ format: 'png', width: 20, height: 20 })
    const moving = await alice.exchange('GET', thumbnail(uri), { query: { width: 30, height: 20, animated: true } })
    expect(await sharp(moving.bytes).metadata()).toMatchObject({ format: 'webp', pages: 3 })
  })

  it('are refused of what is no picture, too large, or of a format that can carry code', async () => {
    await using server = await TestServer.start({ config: { max_image_pixels: 10_000 } })
    const alice = await server.register('alice')
    const query = { width: 32, height: 32, method: 'scale' }
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/></svg>')
    await alice.fails(400, 'M_UNKNOWN', 'GET', thumbnail(await upload(alice, svg, { contentType: 'image/png' })), { query })
    await alice.fails(400, 'M_UNKNOWN', 'GET', thumbnail(await upload(alice, randomBytes(1000))), { query })
    await alice.fails(413, 'M_TOO_LARGE', 'GET', thumbnail(await upload(alice, await picture(101, 100))), { query })
    await alice.fails(400, 'M_INVALID_PARAM', 'GET', thumbnail(await upload(alice, await picture(10, 10))), {
      query: { ...query, width: -1 },
    })
    await alice.fails(400, 'M_MISSING_PARAM', 'GET', thumbnail(await upload(alice, await picture(10, 10))))
  })
})

it('avatars can be limited in size and type', async () => {
  await using server = await TestServer.start({ config: { max_avatar_size: '1K', allowed_avatar_mimetypes: ['image/png'] } })
  const alice = await server.register('alice')
  const set = `/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}/avatar_url`
  const [good, large, wrong] = await Promise.all([
    upload(alice, Buffer.alloc(100), { contentType: 'image/png' }),
    upload(alice, Buffer.alloc(2000), { contentType: 'image/png' }),
    upload(alice, Buffer.alloc(100), { contentType: 'image/gif' }),
  ])
  await alice.put(set, { avatar_url: `mxc://${good}` })
  await alice.fails(403, 'M_FORBIDDEN', 'PUT', set, { body: { avatar_url: `mxc://${large}` } })
  await alice.fails(403, 'M_FORBIDDEN', 'PUT', set, { body: { avatar_url: `mxc://${wrong}` } })
})
