import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestClient } from '../../kit/client.ts'
import { roomPath } from '../../kit/client.ts'
import { TestServer } from '../../kit/test-server.ts'
import { timelineOf } from '../../kit/sync-response.ts'

describe('odd JSON in events', () => {
  let server: TestServer
  let alice: TestClient
  let roomId: string
  let txn = 0

  beforeAll(async () => {
    server = await TestServer.start()
    alice = await server.register('alice')
    roomId = await alice.createRoom()
  })

  afterAll(() => server[Symbol.asyncDispose]())

  function sendPath(): string {
    txn += 1
    return roomPath(roomId, 'send', 'org.example.odd', `odd${txn}`)
  }

  test.each([
    ['U+0000', '{"body":"a\\u0000b"}'],
    ['U+0000 in a key', '{"a\\u0000b":1}'],
    ['__proto__', '{"__proto__":{"isAdmin":true},"constructor":{"prototype":1}}'],
    ['keys that look like numbers', '{"2":"b","10":"a","1":"c"}'],
    ['characters beyond the basic plane', '{"\\ud83d\\ude00":"\\ud83d\\udc4d","\\uffff":1}'],
    ['the largest integers', '{"max":9007199254740991,"min":-9007199254740991}'],
    ['text that looks like markup or SQL', '{"body":"</script>\'; DROP TABLE events; --"}'],
  ])('%s is kept as it was sent', async (_name, rawBody) => {
    const { event_id: eventId } = await alice.request<{ event_id: string }>('PUT', sendPath(), { rawBody })
    const content: unknown = JSON.parse(rawBody)
    const single = await alice.exchange<{ content: unknown }>('GET', roomPath(roomId, 'event', eventId))
    expect(JSON.stringify(sorted(single.body.content))).toBe(JSON.stringify(sorted(content)))
    const synced = timelineOf(await alice.sync(), roomId).find((event) => event.event_id === eventId)
    expect(JSON.stringify(sorted(synced?.content))).toBe(JSON.stringify(sorted(content)))
  })

  test.each([
    ['a fraction', '{"n":1.5}'],
    ['an integer that is written as a fraction', '{"n":1.0}'],
    ['an exponent', '{"n":1e2}'],
    ['an integer that is too large', '{"n":9007199254740992}'],
    ['an integer that is much too large', '{"n":123456789012345678901234567890}'],
    ['a lone surrogate', '{"body":"\\ud800"}'],
    ['a lone surrogate in a key', '{"\\udc00":1}'],
  ])('%s is refused with M_BAD_JSON', async (_name, rawBody) => {
    await alice.fails(400, 'M_BAD_JSON', 'PUT', sendPath(), { rawBody })
  })

  test.each([
    ['no JSON', '{"a":'],
    ['nothing', ''],
    ['text that is no UTF-8', Uint8Array.of(0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d)],
  ])('%s is refused with M_NOT_JSON', async (_name, rawBody) => {
    await alice.fails(400, 'M_NOT_JSON', 'PUT', sendPath(), { rawBody })
  })

  test.each([
    ['an array', '[]'],
    ['a text', '"text"'],
    ['null', 'null'],
  ])('%s instead of an object is refused', async (_name, rawBody) => {
    await alice.fails(400, 'M_BAD_JSON', 'PUT', sendPath(), { rawBody })
  })

  test('an event above 65,536 bytes is refused with M_TOO_LARGE, a body far above at once', async () => {
    await alice.fails(413, 'M_TOO_LARGE', 'PUT', sendPath(), { body: { body: 'x'.repeat(66_000) } })
    await alice.fails(413, 'M_TOO_LARGE', 'PUT', sendPath(), { body: { body: 'x'.repeat(2_000_000) } })
  })

  test('JSON of absurd depth is refused', async () => {
    const rawBody = `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
    await alice.request('PUT', sendPath(), { rawBody, expect: 400 })
  })

  test.each([
    ['an event type', () => roomPath(roomId, 'send', 'a\u0000b', 'nul1')],
    ['a transaction id', () => roomPath(roomId, 'send', 'm.room.message', 'a\u0000b')],
    ['a state key', () => roomPath(roomId, 'state', 'org.example.odd', 'a\u0000b')],
    ['a room id', () => roomPath('!a\u0000b:test.example', 'send', 'm.room.message', 'nul2')],
  ])('U+0000 in %s is answered with 400', async (_name, path) => {
    await alice.request('PUT', path(), { body: {}, expect: 400 })
  })

  test('identifiers of more than 255 bytes are refused', async () => {
    await alice.request('PUT', roomPath(roomId, 'send', 'é'.repeat(128), 'long'), { body: {}, expect: [400, 413] })
    await alice.request('PUT', roomPath(roomId, 'state', 'org.example.odd', 'é'.repeat(128)), { body: {}, expect: [400, 413] })
  })
})

/** The same value with its keys in order, whatever the prototype says. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => [key, sorted(member)])
}
