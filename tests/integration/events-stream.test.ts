import { expect, it } from 'vitest'
import { readEventsStream } from '../../src/services/events/event-stream-reader.ts'
import { Database } from '../../src/storage/database.ts'
import { getLaneHeads } from '../../src/storage/tables/streams.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import type { EventRow } from '../../src/streams/streams.ts'
import { TestServer } from '../kit/test-server.ts'

it('a reader that got no frames has the rows of the events stream from the database, in order and whole', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const roomId = await alice.createRoom({ name: 'First' })
  const eventId = await alice.sendText(roomId, 'hello')
  await alice.sendState(roomId, 'm.room.name', '', { name: 'Second' })
  await alice.send(roomId, 'm.room.message', {
    msgtype: 'm.text',
    body: 'more',
    'm.relates_to': { rel_type: 'm.thread', event_id: eventId },
  })
  await alice.redact(roomId, eventId)

  const database = new Database(server.databaseOptions, { onError: () => {} })
  const errors: unknown[] = []
  const hub = new StreamHub({ onError: (error) => errors.push(error) })
  try {
    readEventsStream(hub, database)
    const rows: EventRow[] = []
    const positions: number[] = []
    hub.onRow('events', (row, position) => {
      rows.push(row)
      positions.push(position)
    })
    const head = (await getLaneHeads(database)).find((lane) => lane.name === 'events')?.head ?? 0
    await hub.catchUp('events', 0, head)

    expect(errors).toEqual([])
    expect(hub.head('events')).toBe(head)
    expect(positions).toEqual(positions.toSorted((a, b) => a - b))
    expect(rows[0]?.type).toBe('m.room.create')
    const message = rows.find((row) => row.eventId === eventId)
    expect(message?.push.isNotifying).toBe(true)
    // It was redacted since: the reader gets what is left of it.
    expect(JSON.parse(`${message?.clientJson ?? ''}}`)).toMatchObject({ content: {}, event_id: eventId })
    const [first, second] = rows.filter((row) => row.type === 'm.room.name')
    expect(first?.replacesState).toBeUndefined()
    expect(second?.replacesState).toEqual({ eventId: first?.eventId, contentJson: '{"name":"First"}', sender: alice.userId })
    expect(second?.push.isNotifying).toBe(false)
    expect(rows.find((row) => row.relation?.type === 'm.thread')?.push.threadId).toBe(eventId)
    expect(rows.at(-1)?.redacts).toBe(eventId)
  } finally {
    hub.close()
    await database.close()
  }
})
