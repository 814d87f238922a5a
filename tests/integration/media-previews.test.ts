import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const PREVIEW = '/_matrix/client/v1/media/preview_url'
const OPEN_GRAPH = `<html><head><title>The Rock (1996)</title>
  <meta property="og:title" content="The Rock" /><meta property="og:type" content="video.movie" />
  <meta name="twitter:description" content="A film &amp; more" /><meta property="og:image" content="deep/test.png" />
  </head><body><script>hidden()</script></body></html>`

let server: TestServer
let alice: TestClient
let site: Server
let base: string
const visits: string[] = []

const html = (response: ServerResponse, body: string | Buffer, type = 'text/html'): void =>
  void response.setHeader('content-type', type).end(body)

beforeAll(async () => {
  const png = await sharp({ create: { width: 30, height: 20, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  site = createServer((request, response) => {
    const { port } = site.address() as AddressInfo
    const path = request.url ?? ''
    visits.push(path)
    const redirect = (location: string): void => void response.writeHead(302, { location }).end()
    if (path.endsWith('.png')) html(response, png, 'image/png')
    else if (path === '/page/film') html(response, OPEN_GRAPH)
    else if (path === '/moved') redirect('/page/film')
    else if (path === '/sideways') redirect(`http://127.0.0.2:${port}/page/film`)
    else if (path === '/to-secret') redirect('/secret/page')
    else if (path === '/loop') redirect('/loop')
    else if (path === '/latin') html(response, Buffer.from('<title>caf\xe9</title><p>Gr\xfc\xdfe</p>', 'latin1'))
    else if (path === '/russian')
      html(
        response,
        Buffer.from([0x3c, 0x68, 0x31, 0x3e, 0xcf, 0xf0, 0xe8, 0x3c, 0x2f, 0x68, 0x31, 0x3e]),
        'text/html; charset=windows-1251',
      )
    else if (path === '/huge') html(response, Buffer.alloc(200_000, ' '))
    else if (path === '/deep') html(response, '<div>'.repeat(20_000) + '<title>never</title>')
    else if (path === '/talk') {
      html(response, `<title>x</title><link rel="alternate" type="application/json+oembed" href="/oembed">`)
    } else if (path === '/oembed') {
      const embed = { version: '1.0', type: 'photo', title: 'Of oEmbed', provider_name: 'Site', url: `${base}/photo.png` }
      html(response, JSON.stringify(embed), 'application/json')
    } else if (path === '/text') html(response, 'words', 'text/plain')
    else response.writeHead(404).end()
  })
  site.listen(0, '0.0.0.0')
  await once(site, 'listening')
  base = `http://127.0.0.1:${(site.address() as AddressInfo).port}`
  server = await TestServer.start({
    config: {
      url_preview_enabled: true,
      url_preview_ip_range_blacklist: ['127.0.0.2', '10.0.0.0/8'],
      url_preview_url_blacklist: [{ path: '/secret/*' }, { netloc: '^10[.]' }],
      max_spider_size: '100K',
    },
  })
  alice = await server.register('alice')
})

afterAll(async () => {
  site.closeAllConnections()
  site.close()
  await server[Symbol.asyncDispose]()
})

const preview = (path: string): Promise<Record<string, string | number>> => alice.get(PREVIEW, { query: { url: base + path } })

describe('previews of web pages', () => {
  it('tell what the page says of itself, with its picture, and are fetched once', async () => {
    const paths = [PREVIEW, '/_matrix/media/v3/preview_url', '/_matrix/media/r0/preview_url']
    const answers = await Promise.all(
      paths.map((path) => alice.get<Record<string, string>>(path, { query: { url: `${base}/page/film` } })),
    )
    const { 'og:image': image = '', ...rest } = answers[0] ?? {}
    expect(rest).toEqual({
      'og:title': 'The Rock',
      'og:type': 'video.movie',
      'og:description': 'A film & more',
      'og:image:type': 'image/png',
      'og:image:width': 30,
      'og:image:height': 20,
      'matrix:image:size': expect.any(Number) as number,
    })
    const { bytes } = await alice.exchange('GET', `/_matrix/client/v1/media/download/${image.slice('mxc://'.length)}`)
    expect(await sharp(bytes).metadata()).toMatchObject({ width: 30, height: 20 })
    const thumbnail = `/_matrix/client/v1/media/thumbnail/${image.slice('mxc://'.length)}`
    await alice.exchange('GET', thumbnail, { query: { width: 32, height: 32, method: 'scale' } })
    const seen = visits.length
    expect(await preview('/page/film')).toMatchObject({ 'og:title': 'The Rock' })
    expect(visits).toHaveLength(seen)
    expect(await preview('/moved')).toMatchObject({ 'og:title': 'The Rock' })
    expect(visits).toContain('/page/deep/test.png')
  })

  it('read what pages without OpenGraph have: titles, texts in their encodings, oEmbed, pictures', async () => {
    expect(await preview('/latin')).toEqual({ 'og:title': 'café', 'og:description': 'Grüße' })
    expect(await preview('/russian')).toMatchObject({ 'og:title': 'При' })
    expect(await preview('/talk')).toMatchObject({ 'og:title': 'x', 'og:site_name': 'Site', 'og:image:width': 30 })
    expect(await preview('/alone.png')).toMatchObject({ 'og:image:type': 'image/png', 'og:image:height': 20 })
    expect(await preview('/text')).toEqual({})
    expect(await preview('/deep')).toEqual({})
  })

  it('are refused of what must not be reached, and fail cleanly', async () => {
    const fails = (status: number, errcode: string, url: string): Promise<unknown> =>
      alice.fails(status, errcode, 'GET', PREVIEW, { query: { url } })
    const seen = visits.length
    await fails(403, 'M_UNKNOWN', base.replace('127.0.0.1', '127.0.0.2'))
    await fails(403, 'M_UNKNOWN', `${base}/secret/page`)
    await fails(403, 'M_UNKNOWN', 'http://10.1.2.3/')
    await fails(400, 'M_UNKNOWN', 'file:///etc/passwd')
    expect(visits).toHaveLength(seen)
    await fails(403, 'M_UNKNOWN', `${base}/sideways`)
    await fails(403, 'M_UNKNOWN', `${base}/to-secret`)
    expect(visits).not.toContain('/secret/page')
    await fails(502, 'M_UNKNOWN', `${base}/loop`)
    await fails(502, 'M_UNKNOWN', `${base}/missing`)
    await fails(502, 'M_TOO_LARGE', `${base}/huge`)
    await alice.fails(400, 'M_MISSING_PARAM', 'GET', PREVIEW)
    await alice.fails(401, 'M_MISSING_TOKEN', 'GET', PREVIEW, { token: null, query: { url: base } })
  })
})
