import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { HttpServer } from '../../src/http/http-server.ts'
import type { ListenAddress } from '../../src/http/http-server.ts'
import { MatrixError } from '../../src/protocol/errors.ts'
import { RpcClient } from '../../src/replication/rpc-client.ts'
import type { RpcMembers } from '../../src/replication/rpc-client.ts'
import { RpcServer } from '../../src/replication/rpc-server.ts'
import { defineRpc, RpcError, RpcRefusal } from '../../src/replication/rpc.ts'
import { systemClock } from '../../src/util/clock.ts'
import { TestLogger } from '../kit/test-logger.ts'

const SECRET = 'a secret between processes'
const SOON = { timeout: 10_000, interval: 5 }
interface Text {
  readonly text: string
}
const echo = defineRpc<Text, Text>({ name: 'test.echo', deadlineMs: 5000, retry: 'same', isIdempotent: true })
const other = defineRpc<Text, Text>({ name: 'test.other', deadlineMs: 5000, retry: 'other', isIdempotent: true })
const once = defineRpc<Text, Text>({ name: 'test.once', deadlineMs: 5000, retry: 'same' })
const never = defineRpc<Text, Text>({ name: 'test.never', deadlineMs: 5000, retry: 'none' })
const small = defineRpc<Text, Text>({
  name: 'test.small',
  deadlineMs: 5000,
  retry: 'same',
  requestBytesMax: 1000,
  responseBytesMax: 1000,
})
// @ts-expect-error A Date does not survive JSON: calls to oneself and to others would differ.
defineRpc<{ readonly at: Date }, null>({ name: 'test.date', deadlineMs: 1, retry: 'none' })

/** Members of which only the addresses matter. */
class FakeMembers implements RpcMembers {
  readonly self
  readonly known: Map<string, { url: string; boot: string; isLive: boolean }>
  readonly suspected: string[] = []
  readonly listeners: (() => void)[] = []

  constructor(instance: string, known: FakeMembers['known']) {
    this.self = { instance, boot: randomUUID(), url: undefined, roles: [], version: '1', schema: 1, configHash: '' }
    this.known = known
  }

  get(instance: string): ReturnType<RpcMembers['get']> {
    const member = this.known.get(instance)
    return member && { ...this.self, instance, url: member.url, boot: member.boot, isDraining: false }
  }

  isLive(instance: string): boolean {
    return this.known.get(instance)?.isLive === true
  }

  async suspect(instance: string): Promise<boolean> {
    this.suspected.push(instance)
    return false
  }

  async refresh(): Promise<void> {}

  onChange(listener: () => void): void {
    this.listeners.push(listener)
  }
}

describe('Calls between processes', () => {
  const closing: (() => Promise<unknown>)[] = []
  const known: FakeMembers['known'] = new Map()
  afterEach(async () => {
    known.clear()
    for (const close of closing.splice(0).reverse()) await close()
  })

  function makeProcess(instance: string): { server: RpcServer; client: RpcClient; members: FakeMembers; logger: TestLogger } {
    const logger = new TestLogger()
    const members = new FakeMembers(instance, known)
    const server = new RpcServer({ secret: SECRET, logger })
    const client = new RpcClient({ members, server, clock: systemClock, secret: SECRET })
    closing.push(() => client.close())
    return { server, client, members, logger }
  }

  async function listen(instance: string, server: RpcServer, address?: ListenAddress): Promise<() => Promise<void>> {
    const http = new HttpServer({ isForwarded: false, onInternalError: () => {} }, server.endpoints, undefined)
    const url = await http.listen(address ?? { host: '127.0.0.1', port: 0 })
    known.set(instance, { url, boot: randomUUID(), isLive: true })
    closing.push(() => http.close())
    return () => http.close()
  }

  /** A listener that does with connections what it is told. */
  async function listenRaw(instance: string, onConnection: (socket: Socket) => void): Promise<void> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      onConnection(socket)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closing.push(async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    known.set(instance, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, boot: randomUUID(), isLive: true })
  }

  async function pair(): Promise<{ a: ReturnType<typeof makeProcess>; b: ReturnType<typeof makeProcess> }> {
    const [a, b] = [makeProcess('main'), makeProcess('worker1')]
    await listen('worker1', b.server)
    return { a, b }
  }

  const failure = async (call: Promise<unknown>): Promise<RpcError> => {
    const error = await call.then(
      () => undefined,
      (caught: unknown) => caught,
    )
    expect(error).toBeInstanceOf(RpcError)
    return error as RpcError
  }

  it('reach the other process, which learns who calls', async () => {
    const { a, b } = await pair()
    let from: unknown
    b.server.handle(echo, async ({ text }, context) => {
      from = context.from
      return { text: `${text} from worker1` }
    })
    expect(await a.client.call(echo, 'worker1', { text: 'hé\u0000llo' })).toEqual({ text: 'hé\u0000llo from worker1' })
    expect(from).toEqual({ instance: 'main', boot: a.members.self.boot })
  })

  it('go over a Unix socket as well', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'ganglion-rpc-'))
    closing.push(() => rm(directory, { recursive: true }))
    const [a, b] = [makeProcess('main'), makeProcess('worker ü/1')]
    await listen('worker ü/1', b.server, { path: join(directory, 'replication.sock') })
    b.server.handle(echo, (request) => Promise.resolve(request))
    expect(await a.client.call(echo, 'worker ü/1', { text: 'x' })).toEqual({ text: 'x' })
    await listen('main', a.server)
    a.server.handle(echo, async (_request, { from }) => ({ text: from?.instance ?? '' }))
    expect(await b.client.call(echo, 'main', { text: 'x' })).toEqual({ text: 'worker ü/1' })
  })

  it('to oneself call the handler directly, with the same errors', async () => {
    const { a } = await pair()
    const answer = { text: 'the same object' }
    a.server.handle(echo, () => Promise.resolve(answer))
    expect(await a.client.call(echo, 'main', { text: '' })).toBe(answer)
    a.server.handle(once, () => Promise.reject(new RpcRefusal('not_owner')))
    expect((await failure(a.client.call(once, 'main', { text: '' }, { deadlineMs: 60 }))).code).toBe('not_owner')
    a.server.handle(other, () => new Promise(() => {}))
    expect((await failure(a.client.call(other, 'main', { text: '' }, { deadlineMs: 30 }))).code).toBe('timeout')
    a.server.handle(never, ({ text }) => a.client.call(other, 'nobody', { text }, { deadlineMs: 10 }))
    await expect(a.client.call(never, 'main', { text: '' })).rejects.toMatchObject({ name: 'MatrixError', status: 503 })
  })

  it('throw the MatrixError that the handler threw', async () => {
    const { a, b } = await pair()
    b.server.handle(echo, () =>
      Promise.reject(new MatrixError('M_LIMIT_EXCEEDED', 'Too fast', { status: 429, extra: { retry_after_ms: 7 } })),
    )
    const error = await a.client.call(echo, 'worker1', { text: '' }).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(MatrixError)
    expect(error).not.toBeInstanceOf(RpcError)
    expect(error).toMatchObject({ errcode: 'M_LIMIT_EXCEEDED', message: 'Too fast', status: 429, extra: { retry_after_ms: 7 } })
  })

  it('tell nothing of an error that is a bug, and log it where it happened', async () => {
    const { a, b } = await pair()
    b.server.handle(echo, () => Promise.reject(new Error('secret details')))
    const error = await failure(a.client.call(echo, 'worker1', { text: '' }))
    expect(error).toMatchObject({ code: 'internal', status: 500, target: 'worker1' })
    expect(JSON.stringify(error.toJson())).not.toContain('secret details')
    expect(b.logger.lines.some(({ level }) => level === 'error')).toBe(true)
  })

  it('end by their deadline, and the handler is told', async () => {
    const { a, b } = await pair()
    let aborted = 0
    b.server.handle(echo, (_request, { signal }) => new Promise(() => signal.addEventListener('abort', () => (aborted += 1))))
    expect(await failure(a.client.call(echo, 'worker1', { text: '' }, { deadlineMs: 100 }))).toMatchObject({
      code: 'timeout',
      status: 504,
    })
    await expect.poll(() => aborted, SOON).toBe(1)
    const leaving = new AbortController()
    const call = failure(a.client.call(echo, 'worker1', { text: '' }, { signal: leaving.signal }))
    leaving.abort()
    expect((await call).code).toBe('aborted')
  })

  it('are made again while nobody listens, and the members are told of the suspicion', async () => {
    const { a, b } = await pair()
    const url = known.get('worker1')?.url ?? ''
    for (const close of closing.splice(1)) await close()
    b.server.handle(echo, (request) => Promise.resolve(request))
    const call = a.client.call(echo, 'worker1', { text: 'late' })
    await expect.poll(() => a.members.suspected.length, SOON).toBeGreaterThan(2)
    await listen('worker1', b.server, { host: '127.0.0.1', port: Number(new URL(url).port) })
    expect(await call).toEqual({ text: 'late' })
  })

  it('are not made again where the method says so', async () => {
    const { a } = await pair()
    for (const close of closing.splice(1)) await close()
    expect(await failure(a.client.call(never, 'worker1', { text: '' }))).toMatchObject({ code: 'unreachable', status: 503 })
    expect(a.members.suspected).toEqual(['worker1'])
  })

  it('go to another process when the first one is dead, and to the owner that a refusal names', async () => {
    const [a, b, c] = [makeProcess('main'), makeProcess('worker1'), makeProcess('worker2')]
    const close = await listen('worker0', makeProcess('worker0').server)
    await close()
    await listen('worker1', b.server)
    await listen('worker2', c.server)
    b.server.handle(other, () => Promise.reject(new RpcRefusal('not_owner', { owner: 'worker2' })))
    c.server.handle(other, () => Promise.resolve({ text: 'worker2' }))
    const picked: string[] = []
    const pickTarget = (): string => {
      picked.push('worker1')
      return 'worker1'
    }
    expect(await a.client.call(other, 'worker0', { text: '' }, { pickTarget })).toEqual({ text: 'worker2' })
    expect(picked).toEqual(['worker1'])
  })

  it('that were sent without an answer are made again only if they are idempotent (RP-08)', async () => {
    const a = makeProcess('main')
    let connections = 0
    await listenRaw('worker1', (socket) => {
      connections += 1
      socket.on('error', () => {})
      socket.once('data', () => socket.destroy())
    })
    expect((await failure(a.client.call(once, 'worker1', { text: '' }))).code).toBe('no_answer')
    expect(connections).toBe(1)
    expect((await failure(a.client.call(echo, 'worker1', { text: '' }, { deadlineMs: 300 }))).code).toMatch(/no_answer|timeout/)
    expect(connections).toBeGreaterThan(2)
    expect(a.members.suspected).toContain('worker1')
  })

  it('to a process that hangs are given up when the members declare it dead', async () => {
    const [a, c] = [makeProcess('main'), makeProcess('worker2')]
    await listenRaw('worker1', () => {})
    await listen('worker2', c.server)
    c.server.handle(other, () => Promise.resolve({ text: 'worker2' }))
    const call = a.client.call(other, 'worker1', { text: '' }, { pickTarget: () => 'worker2', deadlineMs: 60_000 })
    await sleep(50)
    const hanging = known.get('worker1')
    if (hanging) hanging.isLive = false
    for (const listener of a.members.listeners) listener()
    expect(await call).toEqual({ text: 'worker2' })
  })

  it('are refused by a process with too much to do, and wait', async () => {
    const { a, b } = await pair()
    const waiting: (() => void)[] = []
    b.server.handle(echo, (request) => new Promise((resolve) => waiting.push(() => resolve(request))), { inFlightMax: 2 })
    const calls = ['1', '2', '3'].map((text) => a.client.call(echo, 'worker1', { text }))
    await expect.poll(() => waiting.length, SOON).toBe(2)
    const refused = await failure(a.client.call(echo, 'worker1', { text: '4' }, { deadlineMs: 50 }))
    expect(refused).toMatchObject({ code: 'busy', errcode: 'M_LIMIT_EXCEEDED', status: 503, extra: { retry_after_ms: 100 } })
    for (const resolve of waiting.splice(0)) resolve()
    await expect.poll(() => waiting.length, SOON).toBe(1)
    waiting[0]?.()
    expect(await Promise.all(calls)).toEqual([{ text: '1' }, { text: '2' }, { text: '3' }])
  })

  it('have limits for requests and answers, on both sides', async () => {
    const { a, b } = await pair()
    b.server.handle(small, async ({ text }) => ({ text: text.repeat(2) }))
    expect(await a.client.call(small, 'worker1', { text: 'x'.repeat(400) })).toEqual({ text: 'x'.repeat(800) })
    expect((await failure(a.client.call(small, 'worker1', { text: 'ü'.repeat(600) }))).code).toBe('too_large')
    expect((await failure(a.client.call(small, 'worker1', { text: 'x'.repeat(600) }))).code).toBe('internal')
    const lax = defineRpc<Text, Text>({ ...small, schema: undefined as never, responseBytesMax: 100 })
    expect((await failure(a.client.call(lax, 'worker1', { text: 'x'.repeat(400) }))).code).toBe('too_large')
  })

  it('fail cleanly on answers that are not of our making', async () => {
    const a = makeProcess('main')
    let answer = ''
    await listenRaw('worker1', (socket) => {
      socket.on('error', () => {})
      socket.on('data', () => socket.end(answer))
    })
    const html = '<html>Bad Gateway</html>'
    answer = `HTTP/1.1 502 Bad Gateway\r\nContent-Length: ${html.length}\r\nConnection: close\r\n\r\n${html}`
    expect((await failure(a.client.call(once, 'worker1', { text: '' }))).code).toBe('no_answer')
    answer = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n{"a"'
    expect((await failure(a.client.call(once, 'worker1', { text: '' }))).code).toBe('internal')
    answer = 'not HTTP at all\r\n\r\n'
    expect((await failure(a.client.call(once, 'worker1', { text: '' }))).code).toBe('no_answer')
  })

  it('with the wrong secret are unauthorized, and with an unknown method say so', async () => {
    const { a, b } = await pair()
    b.server.handle(echo, (request) => Promise.resolve(request))
    const stranger = new RpcClient({ members: a.members, server: a.server, clock: systemClock, secret: 'wrong' })
    closing.push(() => stranger.close())
    expect((await failure(stranger.call(echo, 'worker1', { text: '' }))).code).toBe('unauthorized')
    expect((await failure(a.client.call(once, 'worker1', { text: '' }))).code).toBe('unknown_method')
  })

  it('are many at once over no more than 32 connections', async () => {
    const { a, b } = await pair()
    let open = 0
    let mostOpen = 0
    b.server.handle(echo, async (request) => {
      mostOpen = Math.max(mostOpen, (open += 1))
      await sleep(1)
      open -= 1
      return request
    })
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, index) => a.client.call(echo, 'worker1', { text: String(index) })),
    )
    expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 300 }, (_, index) => String(index)))
    expect(mostOpen).toBeLessThanOrEqual(32)
  })
})
