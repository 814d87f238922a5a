import { PeerRoom } from '../kit/peer-room.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { inBatches, timed } from './steps.ts'
import type { Bench } from './steps.ts'

const ROOMS = 10
const PDUS_PER_TRANSACTION = 50
const LARGE_ROOM_MEMBERS = 2000
const LARGE_ROOMS = 3
const TARGET_NAME = 'test.example'

/** Events that one and eight servers send us, one by one and fifty at once; the late ones count. */
export async function inboundEvents(bench: Bench): Promise<void> {
  for (const { servers, pdus } of [
    { servers: 1, pdus: 1 },
    { servers: 1, pdus: PDUS_PER_TRANSACTION },
    { servers: 8, pdus: PDUS_PER_TRANSACTION },
  ]) {
    const target = { baseUrl: bench.server.baseUrl, serverName: TARGET_NAME }
    const peers = await startPeers(servers)
    const user = await bench.client.register()
    const rooms = await inBatches(Math.max(ROOMS, servers), async (index) => {
      const peer = peers[index % servers]
      if (!peer) throw new Error('there are no peers')
      const room = await PeerRoom.join(peer, target, await bench.client.createRoom(user), `@bob:${peer.serverName}`)
      return { room, sender: `@bob:${peer.serverName}` }
    })
    await timed(bench, {
      scenario: `federation in, ${servers} servers, ${pdus} at once; each`,
      concurrency: servers,
      weight: pdus,
      isDoneLater: true,
      async operation(index) {
        const one = rooms[index % rooms.length]
        if (!one) return
        const events = Array.from({ length: pdus }, () =>
          one.room.sendText(one.sender, 'a message of usual length, as people write them'),
        )
        const { status } = await one.room.transmit(target, events)
        if (status !== 200) throw new Error(`the transaction was answered ${status}`)
      },
    })
    await stopPeers(peers)
  }
}

/** Messages of ours that go to one and to fifty servers, until the last one has arrived; each delivery counts. */
export async function outboundEvents(bench: Bench): Promise<void> {
  for (const servers of [1, 50]) {
    const target = { baseUrl: bench.server.baseUrl, serverName: TARGET_NAME }
    const peers = await startPeers(servers)
    const user = await bench.client.register()
    const rooms = await inBatches(ROOMS, () => bench.client.createRoom(user))
    for (const roomId of rooms)
      await inBatches(servers, async (index) => {
        const peer = peers[index]
        if (peer) await PeerRoom.join(peer, target, roomId, `@bob:${peer.serverName}`)
      })
    await timed(bench, {
      scenario: `federation out, to ${servers} servers; each delivery`,
      concurrency: 8,
      weight: servers,
      isDoneLater: true,
      operation: async (index) => void (await bench.client.send(user, rooms[index % rooms.length] ?? '')),
    })
    await stopPeers(peers)
  }
}

/** Our first join of rooms of another server with 2,000 members. */
export async function remoteJoins(bench: Bench): Promise<void> {
  const [peer] = await startPeers(1)
  if (!peer) throw new Error('there are no peers')
  const user = await bench.client.register()
  const rooms = Array.from({ length: LARGE_ROOMS }, () => {
    const room = PeerRoom.create(peer)
    for (let index = 0; index < LARGE_ROOM_MEMBERS; index += 1) {
      const member = `@member${index}:${peer.serverName}`
      room.send({
        type: 'm.room.member',
        sender: member,
        stateKey: member,
        content: { membership: 'join', displayname: `Member ${index}` },
      })
    }
    return room.serve()
  })
  await timed(bench, {
    scenario: `federation, join of a room of ${LARGE_ROOM_MEMBERS}`,
    concurrency: 1,
    operationsMax: rooms.length,
    async operation(index) {
      const roomId = rooms[index]?.roomId ?? ''
      const path = `/_matrix/client/v3/join/${encodeURIComponent(roomId)}?server_name=${encodeURIComponent(peer.serverName)}`
      await bench.client.call(user, 'POST', path, {})
    },
  })
  await stopPeers([peer])
}

async function startPeers(count: number): Promise<TestPeer[]> {
  const peers = await inBatches(count, () => TestPeer.start())
  for (const peer of peers) peer.handle('PUT', /^\/_matrix\/federation\/v1\/send\//, () => ({ pdus: {} }))
  return peers
}

async function stopPeers(peers: readonly TestPeer[]): Promise<void> {
  await Promise.all(peers.map((peer) => peer[Symbol.asyncDispose]()))
}
