import { randomBytes } from 'node:crypto'
import { describe, expect, inject, test } from 'vitest'
import type { DeviceId, UserId } from '../../src/protocol/ids.ts'
import { ToDeviceInbox } from '../../src/services/to-device/to-device-inbox.ts'
import type { InboxPage } from '../../src/services/to-device/to-device-inbox.ts'
import { Database } from '../../src/storage/database.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import type { StreamPosition } from '../../src/streams/streams.ts'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const START = 0 as StreamPosition
const END = Number.MAX_SAFE_INTEGER as StreamPosition

/** Reads inboxes behind the server's back, as another process would that has just started. */
class Inboxes implements AsyncDisposable {
  readonly #database: Database
  readonly #inbox: ToDeviceInbox

  constructor(server: TestServer) {
    const onError = (error: unknown): never => {
      throw error
    }
    this.#database = new Database({ ...server.databaseOptions, max: 2 }, { onError })
    const hub = new StreamHub({ onError })
    hub.setHead('to_device', 0, END)
    this.#inbox = new ToDeviceInbox({ database: this.#database, hub })
    this.#inbox.start()
  }

  get(client: TestClient, range: { after?: StreamPosition; limit?: number } = {}): Promise<InboxPage> {
    return this.#inbox.getMessages({ ...deviceOf(client), after: START, upTo: (END - 1) as StreamPosition, ...range })
  }

  async texts(client: TestClient): Promise<unknown[]> {
    return (await this.get(client)).events.map((text) => (JSON.parse(text) as { content: unknown }).content)
  }

  delete(client: TestClient, upTo: StreamPosition): Promise<void> {
    return this.#inbox.deleteUpTo({ ...deviceOf(client), upTo })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database.close()
  }
}

function deviceOf(client: TestClient): { userId: UserId; deviceId: DeviceId } {
  return { userId: client.userId as UserId, deviceId: client.deviceId as DeviceId }
}

function send(client: TestClient, txnId: string, messages: object, type = 'm.test'): Promise<unknown> {
  return client.put(`/_matrix/client/v3/sendToDevice/${type}/${txnId}`, { messages })
}

describe('messages to devices', () => {
  test('reach the named devices, or all with *, and nobody else', async () => {
    await using server = await TestServer.start()
    await using inboxes = new Inboxes(server)
    const alice = await server.register('alice')
    const bob = await server.register('bob')
    const second = await bob.loginAgain({ deviceId: 'SECOND' })
    await send(alice, 't1', {
      [bob.userId]: { '*': { n: 1 }, SECOND: { n: 2 }, GONE: { n: 3 } },
      '@nobody:test.example': { '*': {} },
      x: { '*': {} },
    })
    expect(await inboxes.texts(bob)).toEqual([{ n: 1 }])
    expect(await inboxes.texts(second)).toEqual([{ n: 2 }])
    expect(await inboxes.texts(alice)).toEqual([])
    expect((await inboxes.get(bob)).events).toEqual(['{"type":"m.test","sender":"@alice:test.example","content":{"n":1}}'])
    await second.post('/_matrix/client/v3/logout')
    expect(await inboxes.texts(second)).toEqual([])
  })

  test('are stored once for a transaction id: again, at the same time, and after a restart (P5)', async () => {
    await using server = await TestServer.start()
    await using inboxes = new Inboxes(server)
    const alice = await server.register('alice')
    const bob = await server.register('bob')
    const other = await alice.loginAgain()
    const messages = (n: number): object => ({ [bob.userId]: { [bob.deviceId]: { n } } })
    await Promise.all(Array.from({ length: 20 }, () => send(alice, 't1', messages(1))))
    await send(alice, 't1', messages(2))
    await server.restart()
    await send(alice, 't1', messages(3))
    expect(await inboxes.texts(bob)).toEqual([{ n: 1 }])
    await send(alice, 't1', messages(4), 'm.other')
    await send(other, 't1', messages(5))
    expect(await inboxes.texts(bob)).toEqual([{ n: 1 }, { n: 4 }, { n: 5 }])
  })

  test('come in pages, and stay until the device has come back', async () => {
    await using server = await TestServer.start()
    await using inboxes = new Inboxes(server)
    const alice = await server.register('alice')
    for (let n = 0; n < 5; n++) await send(alice, `t${n}`, { [alice.userId]: { '*': { n } } })
    const first = await inboxes.get(alice, { limit: 2 })
    expect(first.events).toHaveLength(2)
    const second = await inboxes.get(alice, { limit: 2, after: first.upTo })
    const third = await inboxes.get(alice, { limit: 2, after: second.upTo })
    expect(
      [...first.events, ...second.events, ...third.events].map((text) => (JSON.parse(text) as { content: unknown }).content),
    ).toEqual([0, 1, 2, 3, 4].map((n) => ({ n })))
    expect(third.upTo).toBe(END - 1)
    expect(await inboxes.get(alice, { limit: 2 })).toEqual(first)
    await inboxes.delete(alice, first.upTo)
    expect(await inboxes.texts(alice)).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }])
  })

  test('may hold U+0000 but must not be too large or malformed', async () => {
    await using server = await TestServer.start()
    await using inboxes = new Inboxes(server)
    const alice = await server.register('alice')
    await send(alice, 't1', { [alice.userId]: { '*': { text: 'a\u0000b' } } })
    expect(await inboxes.texts(alice)).toEqual([{ text: 'a\u0000b' }])
    const path = '/_matrix/client/v3/sendToDevice/m.test/t2'
    await alice.fails(413, 'M_TOO_LARGE', 'PUT', path, {
      body: { messages: { [alice.userId]: { '*': { text: 'x'.repeat(70_000) } } } },
    })
    await alice.fails(400, 'M_MISSING_PARAM', 'PUT', path, { body: {} })
    await alice.fails(400, 'M_BAD_JSON', 'PUT', path, { body: { messages: { [alice.userId]: [] } } })
    await alice.fails(400, 'M_BAD_JSON', 'PUT', path, { body: { messages: { [alice.userId]: { '*': 'x' } } } })
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', `${path}%00`, { body: { messages: {} } })
    expect(await inboxes.texts(alice)).toHaveLength(1)
  })
})

test('a process that is asked for nothing new asks no database', async () => {
  const closed = new Database(
    { ...inject('postgres'), database: `none_${randomBytes(4).toString('hex')}` },
    { onError: () => undefined },
  )
  const hub = new StreamHub({ onError: () => undefined })
  hub.setHead('to_device', 0, 10)
  const inbox = new ToDeviceInbox({ database: closed, hub })
  inbox.start()
  const device = { userId: '@a:b' as UserId, deviceId: 'D' as DeviceId }
  const range = { ...device, after: 10 as StreamPosition, upTo: 12 as StreamPosition }
  expect(await inbox.getMessages(range)).toEqual({ events: [], upTo: 12 })
  hub.apply({ stream: 'to_device', lane: 0, prev: 10, rows: [{ position: 12 as StreamPosition, row: device }] })
  expect(inbox.hasMessages(range)).toBe(true)
  await expect(inbox.getMessages(range)).rejects.toThrow()
  await closed.close()
})
