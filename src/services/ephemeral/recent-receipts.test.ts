import { expect, it } from 'vitest'
import type { StreamPosition } from '../../streams/streams.ts'
import { RecentReceipts } from './recent-receipts.ts'

function at(position: number): StreamPosition {
  return position as StreamPosition
}

function receipt(eventId: string): Parameters<RecentReceipts['add']>[0] {
  return {
    roomId: '!r',
    receiptType: 'm.read',
    userId: '@u:x',
    eventId,
    threadId: undefined,
    receivedTsMs: 1,
    eventPosition: 1,
  }
}

it('gives the rows between two positions and knows how far back it reaches', () => {
  const recent = new RecentReceipts({ rowsMax: 4 })
  recent.start(at(10))
  expect(recent.isComplete(at(9))).toBe(false)
  expect(recent.isComplete(at(10))).toBe(true)
  expect(recent.slice(at(10), at(99))).toEqual([])
  for (const position of [12, 13, 15, 16]) recent.add(receipt(`$${position}`), at(position))
  expect(recent.slice(at(12), at(15)).map((row) => row.position)).toEqual([13, 15])
  recent.add(receipt('$17'), at(17))
  expect(recent.isComplete(at(12))).toBe(false)
  expect(recent.isComplete(at(13))).toBe(true)
  expect(recent.slice(at(13), at(17)).map((row) => row.position)).toEqual([15, 16, 17])
})
