import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LISTENING_LAYOUT } from '../kit/cluster-layout.ts'
import { SocketCluster } from '../kit/socket-cluster.ts'

/** What a process does not serve is answered by one that does, as if it had been asked itself. In this layout only media1 has the media store. */

const UPLOAD = '/_matrix/media/v3/upload'
let cluster: SocketCluster
let token: string
beforeAll(async () => {
  cluster = await SocketCluster.start(LISTENING_LAYOUT, { max_upload_size: '4M', enable_metrics: true })
  token = await cluster.register('generic1', 'alice')
})
afterAll(() => cluster[Symbol.asyncDispose]())

function filesOfMedia(): string[] {
  const media = join(cluster.directory, 'media')
  if (!existsSync(media)) return []
  return readdirSync(media, { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []))
}

async function upload(process: string, bytes: Buffer): Promise<string> {
  const { status, text } = await cluster.send(process, 'POST', UPLOAD, {
    token,
    body: bytes,
    headers: { 'content-type': 'application/x-test' },
  })
  expect(status, text).toBe(200)
  return (JSON.parse(text) as { content_uri: string }).content_uri.slice('mxc://'.length)
}

test.each(['main', 'generic2', 'persister1', 'streams1', 'media1'])(
  'an upload to %s reaches the media store, and a download through another process gives the same bytes',
  async (process) => {
    const bytes = Buffer.alloc(300_000, process)
    const uri = await upload(process, bytes)
    for (const reader of ['generic1', 'background1', 'media1']) {
      const { statusCode, headers, body } = await cluster.open(reader, 'GET', `/_matrix/client/v1/media/download/${uri}`, {
        token,
      })
      expect(statusCode).toBe(200)
      expect(headers['content-type']).toBe('application/x-test')
      expect(Buffer.from(await body.arrayBuffer()).equals(bytes)).toBe(true)
    }
  },
)

test('an upload is passed on while it arrives, and gone when the client is', async () => {
  const before = filesOfMedia().length
  const body = new PassThrough()
  const gone = new AbortController()
  const cut = cluster.open('generic1', 'POST', UPLOAD, { token, body, signal: gone.signal })
  const failed = expect(cut).rejects.toThrow()
  body.write(Buffer.alloc(200_000))
  // The file grows at the other process though the body has not ended.
  await expect.poll(() => filesOfMedia().length).toBe(before + 1)
  gone.abort()
  await failed
  await expect.poll(() => filesOfMedia().length).toBe(before)
})

test('a body that is too large is refused without being read, and the connection serves the next request', async () => {
  for (const size of [5_000_000, 30_000_000]) {
    const body = Readable.from([Buffer.alloc(size)])
    const { status, text } = await cluster.send('generic1', 'POST', UPLOAD, { token, body })
    expect(status).toBe(413)
    expect(text).toContain('M_TOO_LARGE')
    expect(await cluster.send('generic1', 'GET', '/_matrix/client/versions')).toMatchObject({ status: 200 })
  }
})

test('ranges and questions for what is unchanged are answered as by the right process', async () => {
  const uri = await upload('media1', Buffer.from('0123456789'))
  const path = `/_matrix/client/v1/media/download/${uri}`
  const whole = await cluster.send('media1', 'GET', path, { token })
  const part = await cluster.send('persister2', 'GET', path, { token, headers: { range: 'bytes=2-4' } })
  expect(part).toMatchObject({ status: 206, text: '234', headers: { 'content-range': 'bytes 2-4/10' } })
  const etag = String(whole.headers['etag'])
  expect(await cluster.send('generic2', 'GET', path, { token, headers: { 'if-none-match': etag } })).toMatchObject({
    status: 304,
    text: '',
  })
})

test('a client that leaves during a long poll ends it at the process that answers, too', async () => {
  const { text } = await cluster.send('generic1', 'GET', '/_matrix/client/v3/sync', { token })
  const { next_batch: since } = JSON.parse(text) as { next_batch: string }
  const gone = new AbortController()
  // media1 serves no client endpoints: it hands the poll on.
  const poll = cluster.open('media1', 'GET', `/_matrix/client/v3/sync?timeout=30000&since=${encodeURIComponent(since)}`, {
    token,
    signal: gone.signal,
  })
  const failed = expect(poll).rejects.toThrow()
  await expect.poll(countWaiting).toBe(1)
  gone.abort()
  await failed
  await expect.poll(countWaiting).toBe(0)
})

async function countWaiting(): Promise<number> {
  const admin = await administrator()
  const { text } = await cluster.send('main', 'GET', '/_synapse/admin/v1/topology', { token: admin })
  const { members } = JSON.parse(text) as { members: { status: { waiting_clients: number } | null }[] }
  return members.reduce((sum, { status }) => sum + (status?.waiting_clients ?? 0), 0)
}

let adminToken: Promise<string> | undefined
function administrator(): Promise<string> {
  return (adminToken ??= cluster.registerAdmin('main', 'root'))
}

test('nobody outside can make a process believe that a request was handed on, or do it twice', async () => {
  for (const path of ['/_matrix/client/v3/account/whoami', '/_matrix/client/versions']) {
    const answer = await cluster.send('generic1', 'GET', `/_synapse/replication/r1/http.forward${path}`, {
      token,
      headers: { 'x-ganglion-secret': 'a guess' },
    })
    expect(answer.status).toBe(404)
  }
  // The headers of a hop, sent from outside, change nothing.
  const headers = { 'x-ganglion-client': '192.0.2.1', 'x-ganglion-secret': 'a guess', 'x-forwarded-worker': 'media1' }
  expect(await cluster.send('media1', 'GET', '/_matrix/client/v3/account/whoami', { token, headers })).toMatchObject({
    status: 200,
  })
})

test("an answer that ends early ends the client's, too", async () => {
  const uri = await upload('media1', Buffer.alloc(3_000_000, 1))
  const gone = new AbortController()
  const { body } = await cluster.open('generic1', 'GET', `/_matrix/client/v1/media/download/${uri}`, {
    token,
    signal: gone.signal,
  })
  await once(body, 'readable')
  gone.abort()
  await expect(body.arrayBuffer()).rejects.toThrow()
  expect(await cluster.send('generic1', 'GET', `/_matrix/client/v1/media/download/${uri}`, { token })).toMatchObject({
    status: 200,
  })
})
