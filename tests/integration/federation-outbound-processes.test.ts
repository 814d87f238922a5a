import { describe, expect, it } from 'vitest'
import { edusIn, pdusIn, QUICK_RETRIES, SEND, startReceivingPeer, textsOf, transactionsOf, until } from '../kit/receiving-peer.ts'
import { PeerRoom } from '../kit/peer-room.ts'
import { PeerAnswer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

describe('sending by many processes', { timeout: 180_000 }, () => {
  it('goes on after all of them were replaced, with the same transaction; nothing is lost or sent twice', async () => {
    await using server = await TestServer.startCluster({ federation: true, config: QUICK_RETRIES })
    await using peer = await startReceivingPeer()
    const alice = await server.register('alice')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const bob = `@bob:${peer.serverName}`
    await PeerRoom.join(peer, server, roomId, bob)
    for (let index = 0; index < 20; index++) await alice.sendText(roomId, `early ${index}`)
    await alice.put('/_matrix/client/v3/sendToDevice/m.test/1', { messages: { [bob]: { D: { number: 1 } } } })
    await until(
      () => textsOf(pdusIn(transactionsOf(peer))).length >= 20 && edusIn(transactionsOf(peer), 'm.direct_to_device').length === 1,
    )
    peer.handle('PUT', SEND, () => new PeerAnswer(502, ''))
    const taken = transactionsOf(peer).length
    await alice.sendText(roomId, 'late')
    await until(() => transactionsOf(peer).length > taken)
    await server.stop()
    const seen = transactionsOf(peer).length
    peer.handle('PUT', SEND, () => ({ pdus: {} }))
    await server.startAgain()
    await alice.sendText(roomId, 'last')
    await until(() => textsOf(pdusIn(transactionsOf(peer).slice(seen))).includes('last'), 60_000)
    const all = textsOf(pdusIn([...transactionsOf(peer).slice(0, taken), ...transactionsOf(peer).slice(seen)]))
    expect(all).toEqual([...Array.from({ length: 20 }, (_, index) => `early ${index}`), 'late', 'last'])
  })
})
