import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { TestClient } from '../kit/client.ts'
import { foreignJoin, appendPastServices } from '../kit/foreign-members.ts'
import { PeerAnswer, TestPeer } from '../kit/test-peer.ts'
import type { PeerRequest } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

const SEND = /^\/_matrix\/federation\/v1\/send\/([^/]+)$/

/** Answers transactions like a server that takes everything. */
function takeAll(peer: TestPeer): void {
  peer.handle('PUT', SEND, () => ({ pdus: {} }))
}

function pdusOf(requests: readonly PeerRequest[]): JsonObject[] {
  return requests.flatMap((request) => (request.body?.['pdus'] ?? []) as JsonObject[])
}

function edusOf(requests: readonly PeerRequest[], type: string): JsonObject[] {
  const edus = requests.flatMap((request) => (request.body?.['edus'] ?? []) as JsonObject[])
  return edus.filter((edu) => edu['edu_type'] === type).map((edu) => edu['content'] as JsonObject)
}

function bodies(pdus: readonly JsonObject[]): unknown[] {
  return pdus.filter((pdu) => pdu['type'] === 'm.room.message').map((pdu) => (pdu['content'] as JsonObject)['body'])
}

/** Ids of transactions in the order of their first coming. */
function txnIds(peer: TestPeer): string[] {
  return peer.requestsTo(SEND).map((request) => decodeURIComponent(request.path.split('/').at(-1) ?? ''))
}

async function until(condition: () => boolean, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('It did not come to pass')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A public room of alice with a user of the peer in it. */
async function makeSharedRoom(server: TestServer, alice: TestClient, peer: TestPeer): Promise<string> {
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await appendPastServices(server, roomId, [foreignJoin(`@bob:${peer.serverName}`)])
  return roomId
}

describe('events for other servers', () => {
  it('come in order, once, fifty at a time at the most', async () => {
    await using server = await TestServer.start({ federation: true })
    await using peer = await TestPeer.start()
    takeAll(peer)
    const alice = await server.register('alice')
    const roomId = await makeSharedRoom(server, alice, peer)
    const sent: string[] = []
    for (let index = 0; index < 60; index++) {
      sent.push(`message ${index}`)
      await alice.sendText(roomId, `message ${index}`)
    }
    await until(() => bodies(pdusOf(peer.requestsTo(SEND))).length >= 60)
    expect(bodies(pdusOf(peer.requestsTo(SEND)))).toEqual(sent)
    for (const request of peer.requestsTo(SEND)) {
      expect((request.body?.['pdus'] as unknown[]).length).toBeLessThanOrEqual(50)
      expect(request.body).toMatchObject({ origin: server.serverName })
    }
    expect(new Set(txnIds(peer)).size).toBe(txnIds(peer).length)
  })
})
