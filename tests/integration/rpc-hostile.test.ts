import { createConnection } from 'node:net'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HttpServer } from '../../src/http/http-server.ts'
import { RpcServer } from '../../src/replication/rpc-server.ts'
import { defineRpc } from '../../src/replication/rpc.ts'
import { Type } from '../../src/util/schema.ts'
import { TestLogger } from '../kit/test-logger.ts'

const SECRET = 'a secret between processes'
const echo = defineRpc<{ text: string }, { text: string }>({
  name: 'test.echo',
  deadlineMs: 5000,
  retry: 'none',
  requestBytesMax: 10_000,
  schema: Type.Object({ text: Type.String() }),
})

describe('The replication listener', () => {
  const bugs: unknown[] = []
  let http: HttpServer<unknown>
  let url: string
  let calls = 0

  beforeAll(async () => {
    const server = new RpcServer({ secret: SECRET, logger: new TestLogger() })
    server.handle(echo, async (value) => {
      calls += 1
      return value
    })
    http = new HttpServer({ isForwarded: false, onInternalError: (error) => bugs.push(error) }, server.endpoints, undefined)
    url = await http.listen({ host: '127.0.0.1', port: 0 })
  })
  afterAll(() => http.close())

  const post = async (
    body: string | Buffer,
    headers: Record<string, string> = {},
    method = 'test.echo',
  ): Promise<{ status: number; body: unknown }> => {
    const response = await request(`${url}/_synapse/replication/r1/${method}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, ...headers },
      body,
    })
    return { status: response.statusCode, body: await response.body.json() }
  }
  const good = '{"text":"x"}'

  it('serves who knows the secret', async () => {
    expect(await post(good)).toEqual({ status: 200, body: { text: 'x' } })
  })

  it.each([
    ['no secret', { authorization: '' }],
    ['a wrong one', { authorization: 'Bearer wrong' }],
    ['the beginning of it', { authorization: `Bearer ${SECRET.slice(0, -1)}` }],
    ['more than it', { authorization: `Bearer ${SECRET}x` }],
    ['another scheme', { authorization: `Basic ${SECRET}` }],
    ['a very long one', { authorization: `Bearer ${'x'.repeat(20_000)}` }],
  ])('refuses who sends %s', async (_what, headers) => {
    const before = calls
    expect(await post(good, headers)).toEqual({ status: 401, body: { code: 'unauthorized', retry: 'no' } })
    expect(calls).toBe(before)
  })

  it.each([
    ['no JSON', 'garbage', 400],
    ['nothing', '', 400],
    ['bytes that are no UTF-8', Buffer.from([0xff, 0xfe, 0x00]), 400],
    ['another type', '[]', 400],
    ['another type of property', '{"text":1}', 400],
    ['deep nesting', `${'['.repeat(5000)}${']'.repeat(5000)}`, 400],
    ['a prototype', '{"__proto__":{"text":"x"}}', 400],
    ['too much', `{"text":"${'x'.repeat(20_000)}"}`, 413],
  ])('refuses %s', async (_what, body, status) => {
    expect((await post(body)).status).toBe(status)
    expect(await post(good)).toEqual({ status: 200, body: { text: 'x' } })
  })

  it.each(['unknown', '__proto__', 'constructor', 'test.echo%00', '..%2f..%2fetc'])(
    'does not know the method %s',
    async (method) => {
      expect(await post(good, {}, method)).toEqual({ status: 404, body: { code: 'unknown_method', retry: 'no' } })
    },
  )

  it.each(['x', '-1', '1e9', '1'.repeat(50)])('refuses the deadline %s', async (deadline) => {
    expect((await post(good, { 'x-deadline-ms': deadline })).status).toBe(400)
  })

  it.each(['%', '%zz/b', '/', 'a/b/c', 'x'.repeat(5000)])('does not mind the caller %s', async (from) => {
    expect((await post(good, { 'x-from': from })).status).toBe(200)
  })

  it('does not read the gigabytes of a stranger', async () => {
    const socket = createConnection({ host: '127.0.0.1', port: Number(new URL(url).port) })
    let answer = ''
    let sent = 0
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
    socket.on('error', () => {})
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.write(`POST /_synapse/replication/r1/test.echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n`)
    const chunk = Buffer.alloc(64 * 1024)
    const more = (): void => {
      while (!socket.destroyed && sent < 1e9) {
        sent += chunk.length
        if (!socket.write(chunk)) {
          socket.once('drain', more)
          return
        }
      }
    }
    more()
    await closed
    expect(answer).toContain('401')
    expect(sent).toBeLessThan(5e8)
  })

  it('took none of this for a bug of its own', () => {
    expect(bugs).toEqual([])
  })
})
