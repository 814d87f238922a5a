import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import { edusIn, makeSharedRoom, QUICK_RETRIES, SEND, startReceivingPeer, transactionsOf, until } from '../kit/receiving-peer.ts'
import { PeerAnswer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

function deviceKeys(userId: string, deviceId: string, key: string): JsonObject {
  return {
    user_id: userId,
    device_id: deviceId,
    algorithms: ['m.olm.v1.curve25519-aes-sha2'],
    keys: { [`ed25519:${deviceId}`]: key, [`curve25519:${deviceId}`]: key },
    signatures: { [userId]: { [`ed25519:${deviceId}`]: 'signature' } },
  }
}

describe('devices of our users', { timeout: 90_000 }, () => {
  it('are told to servers that share a room, as one chain over an outage', async () => {
    await using server = await TestServer.start({ federation: true, config: QUICK_RETRIES })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    await makeSharedRoom(server, alice, peer)
    const updates = () => edusIn(transactionsOf(peer), 'm.device_list_update')
    const keys = deviceKeys(alice.userId, alice.deviceId, 'one')
    await alice.post('/_matrix/client/v3/keys/upload', { device_keys: keys })
    await until(() => updates().length === 1)
    expect(updates()[0]).toMatchObject({ user_id: alice.userId, device_id: alice.deviceId, keys })
    peer.handle('PUT', SEND, () => new PeerAnswer(502, ''))
    const phone = await alice.loginAgain()
    await phone.post('/_matrix/client/v3/keys/upload', { device_keys: deviceKeys(alice.userId, phone.deviceId, 'two') })
    await until(() => updates().length > 1)
    await server.stop()
    const seen = transactionsOf(peer).length
    peer.handle('PUT', SEND, () => ({ pdus: {} }))
    await server.startAgain()
    await phone.post('/_matrix/client/v3/logout')
    const later = () => edusIn(transactionsOf(peer).slice(seen), 'm.device_list_update')
    await until(() => later().length === 2)
    const [first] = updates()
    const [added, deleted] = later()
    expect(added).toMatchObject({ device_id: phone.deviceId, prev_id: [first?.['stream_id']] })
    expect(deleted).toMatchObject({ device_id: phone.deviceId, deleted: true, prev_id: [added?.['stream_id']] })
    const answer = await peer.request<{ stream_id: number; devices: unknown[] }>(
      server,
      'GET',
      `/_matrix/federation/v1/user/devices/${encodeURIComponent(alice.userId)}`,
    )
    expect(answer.body).toMatchObject({ stream_id: deleted?.['stream_id'], devices: [{ device_id: alice.deviceId }] })
  })

  it('and who types and reads are told, changes that follow each other in few transactions', async () => {
    await using server = await TestServer.start({ federation: true })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    const typing = (isTyping: boolean) =>
      alice.put(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/typing/${encodeURIComponent(alice.userId)}`, {
        typing: isTyping,
      })
    await typing(true)
    await until(() => edusIn(transactionsOf(peer), 'm.typing').length === 1)
    await typing(false)
    await until(() => edusIn(transactionsOf(peer), 'm.typing').length === 2)
    expect(edusIn(transactionsOf(peer), 'm.typing')).toEqual([
      { room_id: roomId, user_id: alice.userId, typing: true },
      { room_id: roomId, user_id: alice.userId, typing: false },
    ])
    const eventId = await alice.sendText(roomId, 'hello')
    await alice.post(
      `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/receipt/m.read.private/${encodeURIComponent(eventId)}`,
    )
    await alice.post(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/receipt/m.read/${encodeURIComponent(eventId)}`)
    await until(() => edusIn(transactionsOf(peer), 'm.receipt').length > 0)
    expect(edusIn(transactionsOf(peer), 'm.receipt')).toMatchObject([
      { [roomId]: { 'm.read': { [alice.userId]: { event_ids: [eventId], data: { ts: expect.any(Number) as number } } } } },
    ])
    await alice.put(`/_matrix/client/v3/presence/${encodeURIComponent(alice.userId)}/status`, {
      presence: 'online',
      status_msg: 'here',
    })
    await until(() =>
      edusIn(transactionsOf(peer), 'm.presence').some((content) => JSON.stringify(content['push']).includes('"here"')),
    )
  })
})

describe('keys of other servers’ users', { timeout: 90_000 }, () => {
  it('are asked of their servers; who does not answer is named', async () => {
    await using server = await TestServer.start({ federation: true, config: QUICK_RETRIES })
    await using peer = await startReceivingPeer()
    const bob = `@bob:${peer.serverName}`
    const keys = deviceKeys(bob, 'PHONE', 'key')
    const key = { key: 'base64', signatures: { [bob]: { 'ed25519:PHONE': 'signature' } } }
    const stray = deviceKeys('@mallory:elsewhere.org', 'PHONE', 'key')
    peer.handle('POST', /^\/_matrix\/federation\/v1\/user\/keys\/query$/, () => ({
      device_keys: { [bob]: { PHONE: keys, OTHER: stray }, '@mallory:elsewhere.org': { PHONE: stray } },
      master_keys: { [bob]: { user_id: bob, usage: ['master'], keys: { 'ed25519:abc': 'abc' } } },
    }))
    peer.handle('POST', /^\/_matrix\/federation\/v1\/user\/keys\/claim$/, () => ({
      one_time_keys: { [bob]: { PHONE: { 'signed_curve25519:AAAA': key } } },
    }))
    const alice = await server.register('alice')
    const dead = '@nobody:localhost:1'
    const answer = await alice.post<{ device_keys: JsonObject; master_keys: JsonObject; failures: JsonObject }>(
      '/_matrix/client/v3/keys/query',
      { device_keys: { [bob]: [], [dead]: [] }, timeout: 5000 },
    )
    expect(answer.device_keys).toEqual({ [bob]: { PHONE: keys } })
    expect(Object.keys(answer.master_keys)).toEqual([bob])
    expect(Object.keys(answer.failures)).toEqual(['localhost:1'])
    const claimed = await alice.post('/_matrix/client/v3/keys/claim', {
      one_time_keys: { [bob]: { PHONE: 'signed_curve25519', GONE: 'signed_curve25519' } },
    })
    expect(claimed).toEqual({ one_time_keys: { [bob]: { PHONE: { 'signed_curve25519:AAAA': key } } }, failures: {} })
  })
})
