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
})
