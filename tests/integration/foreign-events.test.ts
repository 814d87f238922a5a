import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { stateSlotKey } from '../../src/protocol/events/event.ts'
import { parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import type { RoomId } from '../../src/protocol/ids.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import type { EventRow } from '../../src/streams/streams.ts'
import { systemRandom } from '../../src/util/random.ts'
import { startEventProcess } from '../kit/event-process.ts'
import type { EventProcess } from '../kit/event-process.ts'
import { ForeignAuthor } from '../kit/foreign-author.ts'
import { readCurrentState, readExtremities, readStateBefore } from '../kit/stored-state.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const server = { serverName: parseServerName('hs'), signingKey: generateSigningKey(systemRandom) }
const alice = parseUserId('@alice:hs')

let options: DatabaseOptions
let reader: Database
let process: EventProcess
const rows: { position: number; row: EventRow }[] = []

beforeAll(async () => {
  options = await createTestDatabase(inject('postgres'), `foreign_${randomBytes(6).toString('hex')}`)
  reader = new Database({ ...options, max: 4 }, { onError: () => {} })
  process = startEventProcess(options, server)
  process.hub.onRow('events', (row, position) => rows.push({ position, row }))
})

afterAll(async () => {
  await process.stop()
  await reader.close()
  await dropTestDatabase(options, options.database)
})

async function createRoom(): Promise<RoomId> {
  const { roomId } = await process.persister.createRoom({
    roomVersion: '11',
    intents: [
      { type: 'm.room.create', stateKey: '', sender: alice, content: { room_version: '11' } },
      { type: 'm.room.member', stateKey: alice, sender: alice, content: { membership: 'join' } },
      {
        type: 'm.room.power_levels',
        stateKey: '',
        sender: alice,
        content: { users: { [alice]: 100 }, events: { 'org.example.free': 0, 'org.example.other': 0 } },
      },
      { type: 'm.room.join_rules', stateKey: '', sender: alice, content: { join_rule: 'public' } },
    ],
  })
  return roomId
}

function append(roomId: RoomId, ...events: Parameters<EventProcess['persister']['appendForeign']>[0]['events'][number][]) {
  return process.persister.appendForeign({ roomId, events })
}

function rowsOf(roomId: RoomId): EventRow[] {
  return rows.filter(({ row }) => row.roomId === roomId).map(({ row }) => row)
}

describe('Events of other servers', () => {
  it('are appended once, and a message that follows everything costs no overlay', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const join = await zoe.join()
    expect(await append(roomId, join)).toEqual(['accepted'])
    expect(await append(roomId, join, join)).toEqual(['known', 'known'])
    const message = await zoe.message('hello')
    expect(await append(roomId, message)).toEqual(['accepted'])
    expect(await readExtremities(reader, roomId)).toEqual([message.event.eventId])
    const [stored] = await reader.query<{ base: number; position: number; overlay: number | null }>(
      'test_base',
      'SELECT base_pos AS base, position, overlay_id AS overlay FROM events WHERE event_id = $1',
      [message.event.eventId],
    )
    expect(stored).toEqual({ base: (stored?.position ?? 0) - 1, position: stored?.position, overlay: null })
    expect(rowsOf(roomId).at(-1)).toMatchObject({ eventId: message.event.eventId, stateDelta: undefined, isHidden: false })
    const [membership] = await reader.query(
      'test_member',
      `SELECT membership FROM memberships WHERE user_id = '@zoe:b.org' AND event_id = $1`,
      [join.event.eventId],
    )
    expect(membership).toEqual({ membership: 'join' })
  })

  it('are not stored while what they name is missing; with the state of a peer they are, and the gap is noted and filled', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const join = await zoe.join()
    await append(roomId, join)
    const unseen = await zoe.message('unseen')
    const after = await zoe.message('after', { prev: [unseen] })
    expect(await append(roomId, after)).toEqual([{ missing: [unseen.event.eventId] }])
    const stateBefore = [...(await readCurrentState(reader, roomId)).values()] as never[]
    expect(await append(roomId, { ...after, stateBefore })).toEqual(['accepted'])
    expect(await readStateBefore(reader, after.event.eventId)).toEqual(await readCurrentState(reader, roomId))
    const missing = () =>
      reader.query('test_missing', 'SELECT prev_id FROM missing_prev_events WHERE prev_id = $1', [unseen.event.eventId])
    expect(await missing()).toEqual([{ prev_id: unseen.event.eventId }])
    const extremities = await readExtremities(reader, roomId)
    expect(await append(roomId, unseen)).toEqual(['accepted'])
    expect(await missing()).toEqual([])
    // Something came after it already: it is none of the room's ends.
    expect(await readExtremities(reader, roomId)).toEqual(extremities.filter((eventId) => eventId !== join.event.eventId))
  })

  it('are rejected where the state before them forbids them, and change nothing', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const before = await readCurrentState(reader, roomId)
    const extremities = await readExtremities(reader, roomId)
    const message = await zoe.message('I am not here')
    expect(await append(roomId, message)).toEqual(['rejected'])
    expect(await readExtremities(reader, roomId)).toEqual(extremities)
    expect(await readCurrentState(reader, roomId)).toEqual(before)
    expect(rowsOf(roomId).some((row) => row.eventId === message.event.eventId)).toBe(false)
    const [stored] = await reader.query('test_flags', 'SELECT flags, position FROM events WHERE event_id = $1', [
      message.event.eventId,
    ])
    expect(stored).toEqual({ flags: 2, position: null })
    const yan = new ForeignAuthor(reader, roomId, '@yan:c.org')
    // After a rejected event the room goes on as if it had not been.
    expect(await append(roomId, await yan.join({ prev: [message] }))).toEqual(['accepted'])
    expect(
      await append(roomId, await zoe.write({ type: 'org.example.free', stateKey: '', content: {}, auth: [message] })),
    ).toEqual(['rejected'])
  })

  it('soft-fail where the room has gone on without their sender', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const join = await zoe.join()
    await append(roomId, join)
    const late = await zoe.message('late')
    await process.persister.append({
      roomId,
      intents: [{ type: 'm.room.member', stateKey: zoe.userId, sender: alice, content: { membership: 'ban' } }],
    })
    const extremities = await readExtremities(reader, roomId)
    expect(await append(roomId, late)).toEqual(['softFailed'])
    expect(await readExtremities(reader, roomId)).toEqual(extremities)
    expect(rowsOf(roomId).some((row) => row.eventId === late.event.eventId)).toBe(false)
  })

  it('that make many branches are merged: at most 10 extremities stay, and clients see nothing of it', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const join = await zoe.join()
    await append(roomId, join)
    const branches = await Promise.all(
      Array.from({ length: 24 }, (_unused, index) => zoe.message(`branch ${index}`, { prev: [join] })),
    )
    for (const branch of branches.slice(0, 12)) expect(await append(roomId, branch)).toEqual(['accepted'])
    expect(await append(roomId, ...branches.slice(12))).toEqual(branches.slice(12).map(() => 'accepted'))
    expect((await readExtremities(reader, roomId)).length).toBeLessThanOrEqual(10)
    const merges = rowsOf(roomId).filter((row) => row.type === 'org.matrix.dummy_event')
    expect(merges.length).toBeGreaterThan(0)
    for (const row of merges) expect(row).toMatchObject({ isHidden: true, sender: alice })
    const [sent] = await process.persister.append({
      roomId,
      intents: [{ type: 'm.room.message', sender: alice, content: { body: 'all' } }],
    })
    expect(await readExtremities(reader, roomId)).toEqual([sent?.eventId])
  })

  it('stored for their own sake become part of the timeline when they come in it', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const join = await zoe.join()
    const outliers = { roomId, roomVersion: '11' as const, events: [join] }
    expect(await process.persister.storeOutliers(outliers)).toEqual(['stored'])
    expect(await process.persister.storeOutliers(outliers)).toEqual(['known'])
    expect((await readCurrentState(reader, roomId)).has(stateSlotKey('m.room.member', zoe.userId))).toBe(false)
    expect(await append(roomId, join)).toEqual(['accepted'])
    expect((await readCurrentState(reader, roomId)).get(stateSlotKey('m.room.member', zoe.userId))).toBe(join.event.eventId)
  })

  it('on two branches: the state is the resolved one, also for the next local event, and readers are told of every slot', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const join = await zoe.join()
    await append(roomId, join)
    const levels = { users: { [alice]: 100, [zoe.userId]: 100 }, state_default: 0 }
    await process.persister.append({
      roomId,
      intents: [{ type: 'm.room.power_levels', stateKey: '', sender: alice, content: levels }],
    })
    const topic = await zoe.write({ type: 'm.room.topic', stateKey: '', content: { topic: 'theirs' }, originServerTs: 1 })
    const [ours] = await process.persister.append({
      roomId,
      intents: [{ type: 'm.room.topic', stateKey: '', sender: alice, content: { topic: 'ours' } }],
    })
    expect(await append(roomId, topic)).toEqual(['accepted'])
    const slot = stateSlotKey('m.room.topic', '')
    // The later one wins: theirs did not come into effect, and says so.
    expect((await readCurrentState(reader, roomId)).get(slot)).toBe(ours?.eventId)
    expect(rowsOf(roomId).at(-1)).toMatchObject({ eventId: topic.event.eventId, stateDelta: [] })
    const [next] = await process.persister.append({
      roomId,
      intents: [{ type: 'm.room.message', sender: alice, content: { body: 'x' } }],
    })
    expect((await readStateBefore(reader, next?.eventId ?? '')).get(slot)).toBe(ours?.eventId)
  })

  it('I5: come through two processes at once, between local ones, and none is lost', async () => {
    const roomId = await createRoom()
    const zoe = new ForeignAuthor(reader, roomId, '@zoe:b.org')
    const join = await zoe.join()
    await append(roomId, join)
    const other = startEventProcess(options, server)
    try {
      const branches = await Promise.all(
        Array.from({ length: 16 }, (_unused, index) => zoe.message(`branch ${index}`, { prev: [join] })),
      )
      const both = [process, other]
      const [results, sent] = await Promise.all([
        Promise.all(branches.map((branch, index) => both[index % 2]?.persister.appendForeign({ roomId, events: [branch] }))),
        Promise.all(
          branches.map((_branch, index) =>
            both[(index + 1) % 2]?.persister.append({
              roomId,
              intents: [{ type: 'm.room.message', sender: alice, content: { body: String(index) } }],
            }),
          ),
        ),
      ])
      expect(results).toEqual(branches.map(() => ['accepted']))
      const ids = [...branches.map(({ event }) => event.eventId), ...sent.map((events) => events?.[0]?.eventId ?? '')]
      const stored = await reader.query(
        'test_stored',
        'SELECT DISTINCT event_id FROM events WHERE event_id = ANY($1) AND position IS NOT NULL AND flags = 0',
        [ids],
      )
      expect(stored.length).toBe(32)
      expect((await readExtremities(reader, roomId)).length).toBeLessThanOrEqual(10)
    } finally {
      await other.stop()
    }
  })

  it('are told alike from memory and from the database', async () => {
    const other = startEventProcess(options, server)
    const read: { position: number; row: EventRow }[] = []
    other.hub.onRow('events', (row, position) => read.push({ position, row }))
    const first = rows[0]?.position ?? 0
    other.hub.setHead('events', 0, first - 1)
    await other.hub.catchUp('events', 0, rows.at(-1)?.position ?? 0)
    await other.stop()
    const told = ({ position, row }: { position: number; row: EventRow }) => {
      const { eventId, stateKey, membership, redacts, isHidden, stateDelta, push } = row
      return { position, eventId, stateKey, membership, redacts, isHidden, stateDelta, isNotifying: push.isNotifying }
    }
    expect(read.map(told)).toEqual(rows.map(told))
  })
})
