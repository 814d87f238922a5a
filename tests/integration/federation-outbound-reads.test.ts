import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import { registerAdministrator } from '../kit/administrator.ts'
import { makeSharedRoom, pdusIn, SEND, startReceivingPeer, textsOf, transactionsOf, until } from '../kit/receiving-peer.ts'
import { PeerAnswer, TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

describe('what only other servers know', { timeout: 90_000 }, () => {
  it('they are asked for: profiles and room directories', async () => {
    await using server = await TestServer.start({ federation: true })
    await using peer = await TestPeer.start()
    const bob = `@bob:${peer.serverName}`
    const profile = { displayname: 'Bob', avatar_url: `mxc://${peer.serverName}/a` }
    peer.handle('GET', /^\/_matrix\/federation\/v1\/query\/profile$/, (request) => {
      if (request.query.get('user_id') !== bob) return new PeerAnswer(404, { errcode: 'M_NOT_FOUND', error: 'Nobody' })
      return request.query.get('field') === 'displayname' ? { displayname: 'Bob' } : profile
    })
    const room = { room_id: `!a:${peer.serverName}`, num_joined_members: 3, world_readable: true, guest_can_join: false }
    const answer = { chunk: [room], next_batch: 'more', total_room_count_estimate: 1 }
    peer.handle('GET', /^\/_matrix\/federation\/v1\/publicRooms$/, () => answer)
    peer.handle('POST', /^\/_matrix\/federation\/v1\/publicRooms$/, ({ body }) => ({
      ...answer,
      chunk: body?.['filter'] ? [] : [room],
    }))
    const alice = await server.register('alice')
    const path = (userId: string) => `/_matrix/client/v3/profile/${encodeURIComponent(userId)}`
    expect(await alice.get(path(bob))).toEqual(profile)
    expect(await alice.get(`${path(bob)}/displayname`)).toEqual({ displayname: 'Bob' })
    await alice.fails(404, 'M_NOT_FOUND', 'GET', path(`@nobody:${peer.serverName}`))
    await alice.fails(502, 'M_UNKNOWN', 'GET', path('@nobody:localhost:1'))
    const rooms = `/_matrix/client/v3/publicRooms?server=${encodeURIComponent(peer.serverName)}`
    expect(await alice.get(`${rooms}&limit=5`)).toEqual(answer)
    expect(peer.requestsTo(/publicRooms/)[0]?.query.get('limit')).toBe('5')
    const filter = { generic_search_term: 'x' }
    expect(await alice.post<JsonObject>(rooms, { filter })).toMatchObject({ chunk: [] })
    expect(peer.requestsTo(/publicRooms/)[1]?.body).toMatchObject({ filter })
  })

  it('administrators see how they are reached, and have them tried again', async () => {
    const federation = { client_timeout: '10s', max_long_retries: 0, destination_min_retry_interval: '1h' }
    await using server = await TestServer.start({ federation: true, config: { federation } })
    await using peer = await startReceivingPeer()
    const admin = await registerAdministrator(server)
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    const list = '/_synapse/admin/v1/federation/destinations'
    const path = `${list}/${encodeURIComponent(peer.serverName)}`
    await admin.fails(404, 'M_NOT_FOUND', 'GET', path)
    await alice.fails(403, 'M_FORBIDDEN', 'GET', list)
    await alice.sendText(roomId, 'one')
    await until(() => textsOf(pdusIn(transactionsOf(peer))).includes('one'))
    await expect
      .poll(() => admin.get<JsonObject>(path), { timeout: 5000 })
      .toMatchObject({ failure_ts: null, retry_interval: 0, last_successful_stream_ordering: expect.any(Number) as number })
    await admin.fails(400, 'M_UNKNOWN', 'POST', `${path}/reset_connection`)
    peer.handle('PUT', SEND, () => new PeerAnswer(500, {}))
    await alice.sendText(roomId, 'two')
    await expect
      .poll(() => admin.get<JsonObject>(path), { timeout: 10_000 })
      .toMatchObject({ failure_ts: expect.any(Number) as number })
    const { destinations, total } = await admin.get<{ destinations: JsonObject[]; total: number }>(`${list}?order_by=failure_ts`)
    expect({ total, names: destinations.map((one) => one['destination']) }).toEqual({ total: 1, names: [peer.serverName] })
    const rooms = await admin.get<{ rooms: JsonObject[]; total: number }>(`${path}/rooms`)
    expect(rooms).toEqual({ rooms: [{ room_id: roomId, stream_ordering: expect.any(Number) as number }], total: 1 })
    peer.handle('PUT', SEND, () => ({ pdus: {} }))
    const seen = transactionsOf(peer).length
    await admin.post(`${path}/reset_connection`)
    await until(() => textsOf(pdusIn(transactionsOf(peer).slice(seen))).includes('two'))
  })
})
