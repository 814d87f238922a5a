import { describe, expect, it } from 'vitest'
import { ClientTransport, TestClient } from '../kit/client.ts'
import { federationConfig, findFreePort } from '../kit/federation-config.ts'
import {
  edusIn,
  pdusIn,
  QUICK_RETRIES,
  SEND,
  startReceivingPeer,
  textsOf,
  transactionsOf,
  txnIdOf,
  until,
} from '../kit/receiving-peer.ts'
import { PeerRoom } from '../kit/peer-room.ts'
import { PeerAnswer } from '../kit/test-peer.ts'
import { SpawnedCluster } from '../kit/spawned-cluster.ts'
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

  it('goes on in another process when the one that sends is killed (W-08, WO-19)', async () => {
    const port = await findFreePort()
    const layout = {
      workers: ['sender1', 'sender2'].map((name) => ({ name, app: 'synapse.app.generic_worker', resources: [] })),
      shared: { federation_sender_instances: ['sender1', 'sender2'] },
    }
    const config = { ...(await federationConfig(port)), ...QUICK_RETRIES }
    await using cluster = await SpawnedCluster.start({ layout, config })
    await using peer = await startReceivingPeer()
    const transport = new ClientTransport(cluster.baseUrl)
    const alice = await new TestClient(transport).register('alice')
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const target = { baseUrl: cluster.baseUrl, serverName: `localhost:${port}` }
    await PeerRoom.join(peer, target, roomId, `@bob:${peer.serverName}`)
    const sent: string[] = []
    const taken = () => {
      const byId = new Map(transactionsOf(peer).map((request) => [txnIdOf(request), request]))
      return textsOf(pdusIn([...byId.values()]))
    }
    for (const victim of ['sender1', 'sender2']) {
      const pid = cluster.pidOf(victim)
      for (let index = 0; index < 10; index++) {
        const text = `${victim} ${index}`
        sent.push(text)
        await alice.sendText(roomId, text)
        if (index === 4) cluster.kill(victim)
      }
      await until(() => taken().includes(sent.at(-1)), 60_000)
      await cluster.untilRunning(victim, pid)
    }
    // One that was under way may have come twice, under the same id.
    expect(taken()).toEqual(sent)
    await transport.close()
  })
})
