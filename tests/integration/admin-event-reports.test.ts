import { expect, test } from 'vitest'
import { registerAdministrator } from '../kit/administrator.ts'
import { roomPath } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const PATH = '/_synapse/admin/v1/event_reports'
interface Report {
  readonly id: number
  readonly event_id: string
  readonly user_id: string
}
interface Page {
  readonly event_reports: readonly Report[]
  readonly total: number
  readonly next_token?: number
}

test('administrators list, open and delete reports of events', async () => {
  await using server = await TestServer.start({ config: { rc_reports: { per_second: 9999, burst_count: 9999 } } })
  const [root, alice, bob] = [await registerAdministrator(server), await server.register('alice'), await server.register('bob')]
  const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Talk', room_alias_name: 'talk' })
  const other = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  const events = [await alice.sendText(roomId, 'one'), await bob.sendText(roomId, 'two'), await alice.sendText(other, 'three')]
  await bob.post(roomPath(roomId, 'report', events[0]!), { reason: 'rude', score: -100 })
  await alice.post(roomPath(roomId, 'report', events[1]!), {})
  await alice.post(roomPath(other, 'report', events[2]!), { reason: '' })

  const list = (query: Record<string, string | number> = {}): Promise<Page> => root.get<Page>(PATH, { query })
  const all = await list()
  expect(all.total).toBe(3)
  expect(all.next_token).toBeUndefined()
  expect(all.event_reports.map((report) => report.event_id)).toEqual(events.toReversed())
  expect(all.event_reports[2]).toEqual({
    id: expect.any(Number) as number,
    received_ts: expect.any(Number) as number,
    room_id: roomId,
    name: 'Talk',
    canonical_alias: '#talk:test.example',
    event_id: events[0],
    user_id: bob.userId,
    sender: alice.userId,
    reason: 'rude',
    score: -100,
  })
  expect(all.event_reports[1]).toMatchObject({ reason: null, score: null })

  const first = await list({ dir: 'f', limit: 2 })
  expect(first.event_reports.map((report) => report.event_id)).toEqual(events.slice(0, 2))
  expect(first).toMatchObject({ next_token: 2, total: 3 })
  const second = await list({ dir: 'f', limit: 2, from: 2 })
  expect(second.event_reports.map((report) => report.event_id)).toEqual(events.slice(2))
  expect(second.next_token).toBeUndefined()
  expect((await list({ user_id: bob.userId })).total).toBe(1)
  expect((await list({ room_id: other })).event_reports).toMatchObject([{ event_id: events[2] }])
  expect((await list({ event_sender_user_id: bob.userId })).event_reports).toMatchObject([{ event_id: events[1] }])
  await root.fails(400, 'M_INVALID_PARAM', 'GET', PATH, { query: { dir: 'x' } })
  await root.fails(400, 'M_INVALID_PARAM', 'GET', PATH, { query: { from: -1 } })

  const one = `${PATH}/${all.event_reports[2]!.id}`
  expect(await root.get(one)).toMatchObject({
    event_id: events[0],
    event_json: { type: 'm.room.message', content: { body: 'one' }, sender: alice.userId, room_id: roomId },
  })
  await root.request('DELETE', one)
  await root.fails(404, 'M_NOT_FOUND', 'DELETE', one)
  await root.fails(404, 'M_NOT_FOUND', 'GET', one)
  await root.fails(400, 'M_INVALID_PARAM', 'GET', `${PATH}/abc`)
  expect((await list()).total).toBe(2)
  await alice.fails(403, 'M_FORBIDDEN', 'GET', PATH)
  await alice.fails(403, 'M_FORBIDDEN', 'DELETE', one)
})
