import { expect, test } from 'vitest'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

test('sends that cannot become events are refused, and leave nothing behind', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
  const roomId = await alice.createRoom({ room_version: '12' })
  const other = await alice.createRoom({ room_alias_name: 'other' })
  const state = (type: string, body: unknown, stateKey = '') =>
    ['PUT', roomPath(roomId, 'state', type, stateKey), { body }] as const
  const send = (type: string, body: unknown, txn = 't') => ['PUT', roomPath(roomId, 'send', type, txn), { body }] as const
  const cases: readonly [number, string, readonly [string, string, { body: unknown }]][] = [
    [413, 'M_TOO_LARGE', send('m.x', { text: 'x'.repeat(66_000) })],
    [413, 'M_TOO_LARGE', send('m'.repeat(300), {})],
    [400, 'M_BAD_JSON', send('m.x', { n: 1.5 })],
    [400, 'M_INVALID_PARAM', send('m.\u0000', {})],
    [400, 'M_INVALID_PARAM', send('m.x', {}, 'a\u0000')],
    [400, 'M_INVALID_PARAM', send('m.room.create', {})],
    [400, 'M_INVALID_PARAM', state('m.room.create', { room_version: '12' })],
    [400, 'M_INVALID_PARAM', state('m.x', {}, 'a\u0000')],
    [400, 'M_BAD_JSON', state('m.room.power_levels', { users: { [bob.userId]: '100' } })],
    [400, 'M_BAD_JSON', state('m.room.power_levels', { users: { [alice.userId]: 100 } })],
    [400, 'M_INVALID_PARAM', state('m.room.server_acl', { allow: [] })],
    [400, 'M_BAD_ALIAS', state('m.room.canonical_alias', { alias: '#none:test.example' })],
    [400, 'M_BAD_ALIAS', state('m.room.canonical_alias', { alt_aliases: ['#other:test.example'] })],
    [400, 'M_INVALID_PARAM', state('m.room.canonical_alias', { alias: 'no alias' })],
  ]
  const eventIds = async () => (await alice.messages(roomId, { limit: 100 })).chunk.map((event) => event.event_id)
  const before = await eventIds()
  for (const [status, errcode, [method, path, options]] of cases) await alice.fails(status, errcode, method, path, options)
  await bob.fails(403, 'M_FORBIDDEN', ...send('m.room.message', { body: 'not in the room', msgtype: 'm.text' }))
  expect(await eventIds()).toEqual(before)
  await alice.sendState(other, 'm.room.canonical_alias', '', { alias: '#other:test.example' })
  await alice.sendState(roomId, 'm.room.name', '', { name: 'a name with \u0000 in it' })
})

test('state that is set again as it is makes no event', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const first = await alice.sendState(roomId, 'm.room.name', '', { name: 'Same' })
  expect(await alice.sendState(roomId, 'm.room.name', '', { name: 'Same' })).toBe(first)
  expect(await alice.sendState(roomId, 'm.room.name', '', { name: 'Other' })).not.toBe(first)
})

test('the same reaction is sent once, also when its request is repeated', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const target = await alice.sendText(roomId, 'hi')
  const content = { 'm.relates_to': { rel_type: 'm.annotation', event_id: target, key: '👍' } }
  const reaction = await alice.send(roomId, 'm.reaction', content, 'one')
  expect(await alice.send(roomId, 'm.reaction', content, 'one')).toBe(reaction)
  await alice.fails(400, 'M_DUPLICATE_ANNOTATION', 'PUT', roomPath(roomId, 'send', 'm.reaction', 'two'), { body: content })
  await alice.redact(roomId, reaction)
  await alice.send(roomId, 'm.reaction', content, 'three')
})

test('threads start at events without a relation only', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  const root = await alice.sendText(roomId, 'root')
  const threaded = (eventId: string) => ({
    msgtype: 'm.text',
    body: 'x',
    'm.relates_to': { rel_type: 'm.thread', event_id: eventId },
  })
  const reply = await alice.send(roomId, 'm.room.message', threaded(root))
  await alice.fails(400, 'M_UNKNOWN', 'PUT', roomPath(roomId, 'send', 'm.room.message', 't'), { body: threaded(reply) })
})

test.each(['1', '10', '11'])(
  'redactions in rooms of version %s come by either endpoint, and only with the right to',
  async (version) => {
    await using server = await TestServer.start()
    const [alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
    const roomId = await alice.createRoom({ room_version: version, preset: 'public_chat' })
    await bob.join(roomId)
    const [one, two, three] = [
      await alice.sendText(roomId, '1'),
      await bob.sendText(roomId, '2'),
      await bob.sendText(roomId, '3'),
    ]
    await bob.fails(403, 'M_FORBIDDEN', 'PUT', roomPath(roomId, 'redact', one, 't'), { body: { reason: 'mine' } })
    // What is not here yet may be redacted by who may redact anything.
    await bob.fails(404, 'M_NOT_FOUND', 'PUT', roomPath(roomId, 'redact', '$nothing', 't'), { body: {} })
    await alice.redact(roomId, '$nothing')
    await bob.redact(roomId, two)
    const redaction = await alice.send(roomId, 'm.room.redaction', { redacts: three, reason: 'spam' })
    for (const eventId of [two, three]) expect(await alice.get(roomPath(roomId, 'event', eventId))).toMatchObject({ content: {} })
    expect(await alice.get(roomPath(roomId, 'event', redaction))).toMatchObject({
      redacts: three,
      content: { reason: 'spam', redacts: three },
    })
    await alice.fails(400, 'M_BAD_JSON', 'PUT', roomPath(roomId, 'send', 'm.room.redaction', 't'), { body: {} })
  },
)

test('messages are limited by rc_message', async () => {
  await using server = await TestServer.start({ config: { rc_message: { per_second: 0.01, burst_count: 2 } } })
  const alice = await server.register('alice')
  const roomId = await alice.createRoom()
  await alice.sendText(roomId, '1')
  await alice.sendText(roomId, '2')
  await alice.fails(429, 'M_LIMIT_EXCEEDED', 'PUT', roomPath(roomId, 'send', 'm.room.message', 't'), {
    body: { msgtype: 'm.text', body: '3' },
  })
})
