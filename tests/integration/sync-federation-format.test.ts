import { expect, it } from 'vitest'
import { TestServer } from '../kit/test-server.ts'

it('a filter with event_format federation gets events as servers send them', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const room = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  const eventId = await alice.sendText(room, 'hello')
  const redacted = await alice.sendText(room, 'not for long')
  await alice.redact(room, redacted)
  const filter = { event_format: 'federation', room: { timeline: { limit: 3 } } }
  const { rooms } = await alice.sync({ filter: JSON.stringify(filter) })
  const joined = rooms?.join?.[room]
  const events = (joined?.timeline?.events ?? []) as unknown as Record<string, unknown>[]
  const message = events.find((event) => event['event_id'] === eventId)
  expect(message).toMatchObject({ room_id: room, type: 'm.room.message', content: { body: 'hello' } })
  for (const key of ['auth_events', 'prev_events', 'depth', 'hashes', 'signatures', 'unsigned'])
    expect(message).toHaveProperty(key)
  expect(events.find((event) => event['event_id'] === redacted)).toMatchObject({
    content: {},
    depth: expect.any(Number) as number,
  })
  const state = (joined?.state?.events ?? []) as unknown as Record<string, unknown>[]
  expect(state.find((event) => event['type'] === 'm.room.create')).toMatchObject({
    state_key: '',
    prev_events: [],
    auth_events: [],
  })
})
