import { describe, expect, test } from 'vitest'
import type { RoomId } from '../../protocol/ids.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, StreamPosition } from '../../streams/streams.ts'
import { RoomTimelines } from './room-timelines.ts'

interface Made {
  readonly timelines: RoomTimelines
  readonly append: (roomId: string, textBytes: number) => void
}

/** Timelines that somebody has read. */
function makeTimelines(cacheFactor: number): Made {
  const made = makeUnread(cacheFactor)
  eventsOf(made.timelines, '!none')
  return made
}

function makeUnread(cacheFactor: number): Made {
  let head = 0
  let onEvent: (row: EventRow, position: StreamPosition) => void = () => {}
  const hub = {
    head: () => head,
    onRow: (_stream: string, handler: typeof onEvent) => (onEvent = handler),
    onReset: () => undefined,
    onPurge: () => undefined,
  } as unknown as StreamHub
  const timelines = new RoomTimelines({ hub, cacheFactor })
  return {
    timelines,
    append(roomId, textBytes) {
      onEvent({ roomId, eventId: `$${head + 1}`, clientJson: 'x'.repeat(textBytes) } as EventRow, (head + 1) as StreamPosition)
      head++
    },
  }
}

const eventsOf = (timelines: RoomTimelines, roomId: string, after = 0): number | undefined =>
  timelines.getSince(roomId as RoomId, after as StreamPosition, 1e9 as StreamPosition)?.length

describe('timelines in memory', () => {
  test('hold the newest events of a room', () => {
    const { timelines, append } = makeTimelines(1)
    for (let index = 0; index < 61; index++) append('!a', 100)
    expect(eventsOf(timelines, '!a', 21)).toBe(40)
    expect(eventsOf(timelines, '!a', 20)).toBeUndefined()
  })

  test('begin with the first read', () => {
    const { timelines, append } = makeUnread(1)
    append('!a', 100)
    expect(eventsOf(timelines, '!a')).toBeUndefined()
    append('!a', 100)
    expect(eventsOf(timelines, '!a', 0)).toBeUndefined()
    expect(eventsOf(timelines, '!a', 1)).toBe(1)
  })

  test('of rooms where nothing happened lately go when memory is short', () => {
    const { timelines, append } = makeTimelines(0.01)
    append('!old', 100)
    for (let index = 0; index < 20; index++) append('!busy', 30_000)
    expect(eventsOf(timelines, '!old')).toBeUndefined()
    expect(eventsOf(timelines, '!busy', 1)).toBe(20)
  })

  test('of a single room stay, however large', () => {
    const { timelines, append } = makeTimelines(0.000_1)
    append('!a', 50_000)
    expect(eventsOf(timelines, '!a')).toBe(1)
  })
})
