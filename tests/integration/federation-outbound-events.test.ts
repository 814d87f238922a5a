import { describe, expect, it } from 'vitest'
import { PeerRoom } from '../kit/peer-room.ts'
import {
  edusIn,
  makeSharedRoom,
  pdusIn,
  QUICK_RETRIES,
  SEND,
  startReceivingPeer,
  textsOf,
  transactionsOf,
  txnIdOf,
  until,
} from '../kit/receiving-peer.ts'
import { PeerAnswer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

describe('events for other servers', { timeout: 90_000 }, () => {
  it('come in order, once, fifty at a time at the most', async () => {
    await using server = await TestServer.start({ federation: true })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    const sent: string[] = []
    for (let index = 0; index < 60; index++) {
      sent.push(`message ${index}`)
      await alice.sendText(roomId, `message ${index}`)
    }
    await until(() => textsOf(pdusIn(transactionsOf(peer))).length >= 60)
    expect(textsOf(pdusIn(transactionsOf(peer)))).toEqual(sent)
    for (const request of transactionsOf(peer)) {
      expect(pdusIn([request]).length).toBeLessThanOrEqual(50)
      expect(request.body).toMatchObject({ origin: server.serverName })
    }
    const ids = transactionsOf(peer).map(txnIdOf)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('go only to who was in the room then; who is sent away is told', async () => {
    await using server = await TestServer.start({ federation: true })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    const otherRoomId = await alice.createRoom({ preset: 'public_chat' })
    await alice.sendText(otherRoomId, 'not for you')
    await alice.sendText(roomId, 'for you')
    await alice.kick(roomId, `@bob:${peer.serverName}`)
    await alice.sendText(roomId, 'not for you any more')
    await alice.invite(otherRoomId, `@bob:${peer.serverName}`).catch(() => undefined)
    await until(() => pdusIn(transactionsOf(peer)).some((pdu) => pdu['type'] === 'm.room.member'))
    const pdus = pdusIn(transactionsOf(peer))
    expect(textsOf(pdus)).toEqual(['for you'])
    expect(pdus.find((pdu) => pdu['type'] === 'm.room.member')).toMatchObject({
      state_key: `@bob:${peer.serverName}`,
      content: { membership: 'leave' },
    })
  })

  it('in a transaction that was not taken come again with the same id after a restart, and the rest after them', async () => {
    await using server = await TestServer.start({ federation: true, config: QUICK_RETRIES })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    peer.handle('PUT', SEND, () => new PeerAnswer(502, '<html>'))
    await alice.sendText(roomId, 'first')
    await until(() => transactionsOf(peer).length > 0)
    await alice.sendText(roomId, 'second')
    await server.stop()
    const before = transactionsOf(peer).length
    peer.handle('PUT', SEND, () => ({ pdus: {} }))
    await server.startAgain()
    await until(() => textsOf(pdusIn(transactionsOf(peer).slice(before))).includes('second'))
    const [again, ...rest] = transactionsOf(peer).slice(before)
    const [first] = transactionsOf(peer)
    if (!first || !again) throw new Error('There were no transactions')
    expect(txnIdOf(again)).toBe(txnIdOf(first))
    expect(again.body?.['pdus']).toEqual(first.body?.['pdus'])
    expect(again.body?.['origin_server_ts']).toBe(first.body?.['origin_server_ts'])
    expect(textsOf(pdusIn(rest))).toEqual(['second'])
  })

  it('of an outage come as the newest of each room; messages to devices come all, once, in order', async () => {
    await using server = await TestServer.start({ federation: true, config: QUICK_RETRIES })
    await using peer = await startReceivingPeer()
    const bob = `@bob:${peer.serverName}`
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    await alice.sendText(roomId, 'before')
    await until(() => textsOf(pdusIn(transactionsOf(peer))).length === 1)
    await peer.stop()
    for (let index = 0; index < 120; index++) await alice.sendText(roomId, `${index}`)
    for (let index = 0; index < 30; index++) {
      const body = { messages: { [bob]: { DEVICE: { number: index } } } }
      await alice.put(`/_matrix/client/v3/sendToDevice/m.test/${index}`, body)
      // Tried again, it is still the same message.
      if (index % 10 === 0) await alice.put(`/_matrix/client/v3/sendToDevice/m.test/${index}`, body)
    }
    const seen = transactionsOf(peer).length
    await peer.startAgain()
    const later = () => transactionsOf(peer).slice(seen)
    await until(() => textsOf(pdusIn(later())).includes('119'))
    await until(() => edusIn(later(), 'm.direct_to_device').length >= 30)
    // What was on its way when it went down, and then the newest.
    expect(textsOf(pdusIn(later())).length).toBeLessThan(100)
    const messages = edusIn(later(), 'm.direct_to_device')
    expect(messages.map((content) => content['messages'])).toEqual(
      Array.from({ length: 30 }, (_, number) => ({ [bob]: { DEVICE: { number } } })),
    )
    expect(new Set(messages.map((content) => content['message_id'])).size).toBe(30)
    expect(messages[0]).toMatchObject({ sender: alice.userId, type: 'm.test' })
  })

  it('come as soon as a peer in back-off is heard from', async () => {
    const federation = { ...QUICK_RETRIES.federation, destination_min_retry_interval: '1h', destination_max_retry_interval: '1h' }
    await using server = await TestServer.start({ federation: true, config: { federation } })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    peer.handle('PUT', SEND, () => new PeerAnswer(503, {}))
    await alice.sendText(roomId, 'one')
    await until(() => transactionsOf(peer).length >= 2)
    await new Promise((resolve) => setTimeout(resolve, 500))
    const refused = transactionsOf(peer).length
    await alice.sendText(roomId, 'two')
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(transactionsOf(peer).length).toBe(refused)
    peer.handle('PUT', SEND, () => ({ pdus: {} }))
    await peer.request(server, 'GET', `/_matrix/federation/v1/query/profile?user_id=${encodeURIComponent(alice.userId)}`)
    await until(() => textsOf(pdusIn(transactionsOf(peer).slice(refused))).includes('two'))
    expect(textsOf(pdusIn(transactionsOf(peer).slice(refused)))).toEqual(['one', 'two'])
  })

  it('do not wait for ever behind one that the peer does not take', async () => {
    await using server = await TestServer.start({ federation: true, config: QUICK_RETRIES })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    peer.handle('PUT', SEND, (request) =>
      textsOf(pdusIn([request])).includes('poison') ? new PeerAnswer(400, { errcode: 'M_BAD_JSON', error: 'No' }) : { pdus: {} },
    )
    for (const text of ['one', 'poison', 'two', 'three']) await alice.sendText(roomId, text)
    const taken = (): unknown[] =>
      textsOf(pdusIn(transactionsOf(peer).filter((request) => !textsOf(pdusIn([request])).includes('poison'))))
    await until(() => taken().includes('three'), 40_000)
    expect(taken()).toEqual(['one', 'two', 'three'])
  })

  it('that joined through this server are told to the others, but not to the one who joined', async () => {
    await using server = await TestServer.start({ federation: true })
    await using peer = await startReceivingPeer()
    await using joining = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    const carol = `@carol:${joining.serverName}`
    await PeerRoom.join(joining, server, roomId, carol)
    await until(() => pdusIn(transactionsOf(peer)).some((pdu) => pdu['state_key'] === carol))
    await alice.sendText(roomId, 'welcome')
    await until(() => textsOf(pdusIn(transactionsOf(joining))).length === 1)
    expect(pdusIn(transactionsOf(joining)).map((pdu) => pdu['type'])).toEqual(['m.room.message'])
  })

  it('are not told by us when another server does: the join that it took in for us', async () => {
    await using server = await TestServer.start({ federation: true })
    await using peer = await startReceivingPeer()
    const room = PeerRoom.create(peer).serve()
    const alice = await server.register('alice')
    await alice.post(`/_matrix/client/v3/join/${encodeURIComponent(room.roomId)}?via=${encodeURIComponent(peer.serverName)}`)
    await alice.sendText(room.roomId, 'here I am')
    await until(() => textsOf(pdusIn(transactionsOf(peer))).length === 1)
    expect(pdusIn(transactionsOf(peer)).map((pdu) => pdu['type'])).toEqual(['m.room.message'])
  })
})
