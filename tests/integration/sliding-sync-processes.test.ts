import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SMALL_LAYOUT } from '../kit/cluster-layout.ts'
import { allRooms, SLIDING_SYNC_PATH, timelineIds } from '../kit/sliding-sync.ts'
import type { SlidingResponse } from '../kit/sliding-sync.ts'
import { SocketCluster } from '../kit/socket-cluster.ts'

const PROCESSES = ['generic1', 'persister1', 'persister2', 'main'] as const
const ROUNDS = 40

describe('a connection of sliding sync whose requests go to any process', () => {
  let cluster: SocketCluster
  let alice: string
  let bob: string

  beforeAll(async () => {
    cluster = await SocketCluster.start(SMALL_LAYOUT)
    alice = await cluster.register('main', 'alice')
    bob = await cluster.register('main', 'bob')
  })

  afterAll(async () => {
    await cluster[Symbol.asyncDispose]()
  })

  async function call<T>(process: string, method: string, path: string, token: string, body: unknown): Promise<T> {
    const answer = await cluster.send(process, method, path, { token, body: JSON.stringify(body) })
    expect(answer.status, `${method} ${path} at ${process}: ${answer.text}`).toBe(200)
    return JSON.parse(answer.text) as T
  }

  it('shows every event exactly once, while rooms go in and out of sight (WE-02)', async () => {
    const rooms: string[] = []
    for (let index = 0; index < 4; index++) {
      const { room_id: roomId } = await call<{ room_id: string }>('main', 'POST', '/_matrix/client/v3/createRoom', bob, {
        preset: 'public_chat',
      })
      await call('generic1', 'POST', `/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, alice, {})
      rooms.push(roomId)
    }
    const seen = new Map<string, string[]>(rooms.map((roomId) => [roomId, []]))
    const sent = new Map<string, string[]>(rooms.map((roomId) => [roomId, []]))
    let pos: string | undefined
    const follow = async (round: number, last: number): Promise<void> => {
      const process = PROCESSES[round % PROCESSES.length] ?? 'main'
      const body = { lists: { top: allRooms(100, [['m.room.member', '$LAZY']], { ranges: [[0, last]] }) } }
      const query = pos === undefined ? '' : `?pos=${encodeURIComponent(pos)}`
      const answer = await call<SlidingResponse>(process, 'POST', SLIDING_SYNC_PATH + query, alice, body)
      const isFirst = pos === undefined
      pos = answer.pos
      for (const [roomId, room] of Object.entries(answer.rooms)) {
        expect(room.initial === true, `${roomId} at ${process}`).toBe(isFirst)
        if (!isFirst) seen.get(roomId)?.push(...timelineIds(room))
      }
    }
    await follow(0, 99)
    for (let round = 0; round < ROUNDS; round++) {
      const roomId = rooms[(round * 3) % rooms.length] ?? ''
      const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${round}`
      const sender = PROCESSES[(round * 5 + 1) % PROCESSES.length] ?? 'main'
      const { event_id: eventId } = await call<{ event_id: string }>(sender, 'PUT', path, bob, { msgtype: 'm.text', body: 'x' })
      sent.get(roomId)?.push(eventId)
      await follow(round + 1, round % 3)
    }
    // What a process has not heard of yet comes with one of the next answers.
    const isComplete = (): boolean => rooms.every((roomId) => (seen.get(roomId)?.length ?? 0) >= (sent.get(roomId)?.length ?? 0))
    for (let round = 0; round < 100 && !isComplete(); round++) await follow(round, 99)
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(sent))
  })
})
