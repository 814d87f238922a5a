import { describe, expect, it } from 'vitest'
import type { EventRow, Frame, StreamPosition } from '../streams/streams.ts'
import { FrameCodec } from './frame-codec.ts'

const self = { instance: 'ep1', boot: 'b1' }
const codec = new FrameCodec({ self, secret: undefined })
const signed = new FrameCodec({ self, secret: 'secret' })

const event: EventRow = {
  roomId: '!r:hs',
  eventId: '$e',
  type: 'm.room.member',
  stateKey: '@a:hs',
  sender: '@a:hs',
  depth: 3,
  originServerTs: 1_790_000_000_000,
  membership: 'join',
  redacts: undefined,
  relation: undefined,
  replacesState: { eventId: '$before', contentJson: '{}', sender: '@a:hs' },
  transaction: { deviceId: 'D', transactionId: 't' },
  push: {
    isNotifying: true,
    threadId: undefined,
    actions: [{ userId: '', kind: 'action', isNotify: true, isHighlight: false, isClassNotify: true, isClassHighlight: false }],
  },
  clientJson: '{"type":"m.room.member"',
}
const frame: Frame<'events'> = { stream: 'events', lane: 0, prev: 7, rows: [{ position: 9 as StreamPosition, row: event }] }

describe('FrameCodec', () => {
  it.each([
    ['plain', codec],
    ['signed', signed],
  ])('reads what it wrote: %s', (_name, one) => {
    const { text, isStripped } = one.writeFrame(frame, 5)
    expect(isStripped).toBe(false)
    const incoming = one.read(text)
    expect(incoming).toEqual({ instance: 'ep1', boot: 'b1', sentTsMs: 5, frame: { ...frame, head: 9 } })
    expect(incoming && one.isOwn(incoming)).toBe(true)
    expect(one.read(one.writeControl({ kind: 'drain', deep: [1, { a: null }] }, 5))).toMatchObject({
      control: { kind: 'drain', deep: [1, { a: null }] },
    })
    expect(one.read(one.writeEcho(12, 5))).toMatchObject({ echo: 12 })
    expect(one.read(one.writeMoved({ stream: 'receipts', lane: 0, head: 4 }, 5))).toMatchObject({
      moved: { stream: 'receipts', lane: 0, head: 4 },
    })
  })

  it('knows its own life from an earlier one of the same name', () => {
    const before = new FrameCodec({ self: { instance: 'ep1', boot: 'b0' }, secret: undefined })
    const incoming = codec.read(before.writeFrame(frame, 5).text)
    expect(incoming && codec.isOwn(incoming)).toBe(false)
  })

  it('leaves the rows out where they are too large', () => {
    const large = { ...event, clientJson: 'ü'.repeat(200_000) }
    const { text, isStripped } = codec.writeFrame({ ...frame, rows: [{ position: 9 as StreamPosition, row: large }] }, 5)
    expect(isStripped).toBe(true)
    expect(codec.read(text)).toMatchObject({ moved: { stream: 'events', lane: 0, head: 9 } })
  })

  it('takes no message that is signed with another secret, not at all, or changed', () => {
    const { text } = signed.writeFrame(frame, 5)
    expect(signed.read(codec.writeFrame(frame, 5).text)).toBeUndefined()
    expect(new FrameCodec({ self, secret: 'other' }).read(text)).toBeUndefined()
    expect(signed.read(text.replace('"prev":7', '"prev":6'))).toBeUndefined()
    expect(signed.read(text.slice(0, 10))).toBeUndefined()
    expect(signed.read('')).toBeUndefined()
  })

  it('takes no frame that lacks a field, has one of another type, or positions out of order', () => {
    const good = JSON.parse(codec.writeFrame(frame, 5).text) as Record<string, unknown>
    expect(codec.read(JSON.stringify(good))).toBeDefined()
    for (const key of Object.keys(good)) {
      const { [key]: _left, ...rest } = good
      expect(codec.read(JSON.stringify(rest)), `without ${key}`).toBeUndefined()
      for (const wrong of ['x', -1, 1.5, {}, [], true]) {
        // Some of these are right for one field or another.
        if (typeof wrong === typeof good[key] && typeof wrong === 'string') continue
        if (key === 'rows' && Array.isArray(wrong)) continue
        expect(codec.read(JSON.stringify({ ...good, [key]: wrong })), `${key} = ${JSON.stringify(wrong)}`).toBeUndefined()
      }
    }
    const { rows } = good as { rows: [[number, Record<string, unknown>]] }
    for (const key of Object.keys(rows[0][1])) {
      const wrong = JSON.stringify({ ...good, rows: [[9, { ...rows[0][1], [key]: [[]] }]] })
      expect(codec.read(wrong), `a row with another ${key}`).toBeUndefined()
    }
    for (const positions of [[7], [10], [9, 9], [9, 8]]) {
      const text = JSON.stringify({ ...good, rows: positions.map((position) => [position, rows[0][1]]) })
      expect(codec.read(text), positions.join()).toBeUndefined()
    }
  })

  it('lets further fields of a newer process through, and no prototype', () => {
    const good = JSON.parse(codec.writeFrame(frame, 5).text) as { rows: [[number, Record<string, unknown>]] }
    good.rows[0][1]['news'] = 1
    expect(codec.read(JSON.stringify({ ...good, lsn: '0/1' }))).toBeDefined()
    const poisoned = JSON.stringify(good).replace('"news":1', '"__proto__":{"polluted":true}')
    expect(codec.read(poisoned)).toBeUndefined()
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})
