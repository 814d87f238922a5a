import { describe, expect, it, vi } from 'vitest'
import { StreamHub } from './stream-hub.ts'
import type { Frame, StreamPosition } from './streams.ts'

function frame(prev: number, ...positions: number[]): Frame<'push_rules'> {
  return {
    stream: 'push_rules',
    lane: 0,
    prev,
    rows: positions.map((position) => ({ position: position as StreamPosition, row: { userId: `@u${position}:hs` } })),
  }
}

function newHub(): { hub: StreamHub; applied: number[] } {
  const applied: number[] = []
  const hub = new StreamHub({
    onError: (error) => {
      throw error
    },
  })
  hub.onRow('push_rules', (_row, position) => applied.push(position))
  return { hub, applied }
}

describe('StreamHub', () => {
  it('moves the head after the handlers have seen the row', () => {
    const { hub } = newHub()
    const headsSeen: number[] = []
    hub.onRow('push_rules', () => headsSeen.push(hub.head('push_rules')))
    hub.apply(frame(0, 1, 2))
    expect(headsSeen).toEqual([0, 1])
    expect(hub.head('push_rules')).toBe(2)
  })

  it('holds a frame back until the one before it has come', () => {
    const { hub, applied } = newHub()
    hub.apply(frame(2, 3))
    expect(applied).toEqual([])
    hub.apply(frame(0, 1, 2))
    expect(applied).toEqual([1, 2, 3])
    hub.close()
  })

  it('drops rows that it has applied already', () => {
    const { hub, applied } = newHub()
    hub.apply(frame(0, 1, 2))
    hub.apply(frame(0, 1, 2))
    hub.apply(frame(1, 2, 3))
    expect(applied).toEqual([1, 2, 3])
  })

  it('reads what is missing from the database when the frame before does not come', async () => {
    vi.useFakeTimers()
    try {
      const { hub, applied } = newHub()
      hub.setReadSince('push_rules', (_lane, after, upTo) => {
        expect([after, upTo]).toEqual([0, 2])
        return Promise.resolve(frame(0, 1, 2).rows)
      })
      hub.apply(frame(2, 3))
      await vi.advanceTimersByTimeAsync(100)
      expect(applied).toEqual([1, 2, 3])
    } finally {
      vi.useRealTimers()
    }
  })

  it('passes over positions that were drawn and rolled back', async () => {
    vi.useFakeTimers()
    try {
      const { hub, applied } = newHub()
      hub.setReadSince('push_rules', () => Promise.resolve([]))
      hub.apply(frame(7, 8))
      await vi.advanceTimersByTimeAsync(100)
      expect(applied).toEqual([8])
      expect(hub.head('push_rules')).toBe(8)
    } finally {
      vi.useRealTimers()
    }
  })

  it('goes on with the next row when a handler fails, and reports it', () => {
    const errors: unknown[] = []
    const hub = new StreamHub({ onError: (error) => errors.push(error) })
    hub.onRow('push_rules', () => {
      throw new Error('broken handler')
    })
    hub.apply(frame(0, 1, 2))
    expect(errors).toHaveLength(2)
    expect(hub.head('push_rules')).toBe(2)
  })

  it('tells listeners of what is committed here, not of what came from elsewhere', () => {
    const { hub } = newHub()
    const told: number[] = []
    hub.onCommit(({ head, rows }) => told.push(head ?? rows.at(-1)?.position ?? 0))
    hub.commit(frame(0, 1))
    hub.apply(frame(1, 2))
    hub.commit({ ...frame(2), head: 5 })
    expect(told).toEqual([1, 5])
  })

  it('reads what is missing in pages, and applies a frame that comes meanwhile only once', async () => {
    const { hub, applied } = newHub()
    const ranges: [number, number][] = []
    hub.setReadSince('push_rules', (_lane, after, upTo) => {
      ranges.push([after, upTo])
      if (after === 0) hub.apply(frame(0, ...range(1, 1500)))
      return Promise.resolve(frame(0, ...range(after + 1, upTo)).rows)
    })
    await hub.catchUp('push_rules', 0, 2600)
    expect(ranges).toEqual([
      [0, 1000],
      [1500, 2500],
      [2500, 2600],
    ])
    expect(applied).toEqual(range(1, 2600))
  })

  it('joins those who want to catch up at once: one read for all', async () => {
    const { hub, applied } = newHub()
    let reads = 0
    hub.setReadSince('push_rules', async (_lane, after, upTo) => {
      reads++
      await Promise.resolve()
      return frame(0, ...range(after + 1, upTo)).rows
    })
    await Promise.all([hub.catchUp('push_rules', 0, 10), hub.catchUp('push_rules', 0, 7), hub.catchUp('push_rules', 0, 10)])
    expect(reads).toBe(1)
    expect(applied).toEqual(range(1, 10))
  })

  it('rejects when the database fails, and can try again', async () => {
    const { hub, applied } = newHub()
    let fails = true
    hub.setReadSince('push_rules', (_lane, after, upTo) =>
      fails ? Promise.reject(new Error('gone')) : Promise.resolve(frame(0, ...range(after + 1, upTo)).rows),
    )
    await expect(hub.catchUp('push_rules', 0, 3)).rejects.toThrow('gone')
    fails = false
    await hub.catchUp('push_rules', 0, 3)
    expect(applied).toEqual([1, 2, 3])
  })

  it('too far behind: drops caches before the head moves, wakes everybody, and tells no row', async () => {
    const { hub, applied } = newHub()
    const order: string[] = []
    hub.setReadSince('push_rules', () => Promise.reject(new Error('not to be read')))
    hub.onReset('push_rules', (head) => void order.push(`reset to ${head} at ${hub.head('push_rules')}`))
    hub.onAdvance('push_rules', () => order.push(`awake at ${hub.head('push_rules')}`))
    await hub.catchUp('push_rules', 0, 30_000)
    expect(order).toEqual(['reset to 30000 at 0', 'awake at 30000'])
    hub.apply(frame(30_000, 30_001))
    expect(applied).toEqual([30_001])
  })

  it('reaches the position of a token, but never beyond what the database knows', async () => {
    const { hub, applied } = newHub()
    hub.setReadSince('push_rules', (_lane, after, upTo) => Promise.resolve(frame(0, ...range(after + 1, upTo)).rows))
    await hub.catchUpTo('push_rules', 0, 3)
    expect(hub.head('push_rules')).toBe(0)
    hub.setReadHead(() => Promise.resolve(5))
    await hub.catchUpTo('push_rules', 0, 3)
    expect(applied).toEqual([1, 2, 3])
    await hub.catchUpTo('push_rules', 0, 1000)
    expect(hub.head('push_rules')).toBe(5)
    expect(hub.stats.fromFuture).toBe(1)
    await hub.catchUpTo('typing', 0, 1000)
    expect(hub.head('typing')).toBe(0)
  })

  it('does not believe a frame whose predecessor is beyond what the database knows', async () => {
    vi.useFakeTimers()
    try {
      const { hub, applied } = newHub()
      hub.setReadSince('push_rules', (_lane, after, upTo) => Promise.resolve(frame(0, ...range(after + 1, upTo)).rows))
      hub.setReadHead(() => Promise.resolve(2))
      hub.apply(frame(50_000, 50_001))
      await vi.advanceTimersByTimeAsync(100)
      expect(applied).toEqual([1, 2])
      expect(hub.head('push_rules')).toBe(2)
    } finally {
      vi.useRealTimers()
    }
  })

  it('counts those who wait', async () => {
    const { hub } = newHub()
    const waiting = hub.park(Promise.resolve('done'))
    expect(hub.parked).toBe(1)
    expect(await waiting).toBe('done')
    expect(hub.parked).toBe(0)
  })
})

function range(from: number, upTo: number): number[] {
  return Array.from({ length: Math.max(0, upTo - from + 1) }, (_unused, index) => from + index)
}
