import type { JsonObject } from '../../src/protocol/json.ts'
import type { TestClient } from './client.ts'
import { appendPastServices, foreignJoin } from './foreign-members.ts'
import { TestPeer } from './test-peer.ts'
import type { PeerRequest } from './test-peer.ts'
import type { TestServer } from './test-server.ts'

/** Paths of transactions. */
export const SEND = /^\/_matrix\/federation\/v1\/send\/([^/]+)$/

/** Options with which a server that failed is tried again quickly. */
export const QUICK_RETRIES = {
  federation: {
    client_timeout: '10s',
    max_short_retries: 1,
    max_short_retry_delay: 50,
    max_long_retries: 1,
    max_long_retry_delay: 50,
    destination_min_retry_interval: '1s',
    destination_max_retry_interval: '2s',
  },
}

/** Starts a peer that takes every transaction. */
export async function startReceivingPeer(): Promise<TestPeer> {
  const peer = await TestPeer.start()
  peer.handle('PUT', SEND, () => ({ pdus: {} }))
  return peer
}

/** A public room of the user with bob of the peer in it. The server is restarted for it. */
export async function makeSharedRoom(server: TestServer, user: TestClient, peer: TestPeer): Promise<string> {
  const roomId = await user.createRoom({ preset: 'public_chat' })
  await appendPastServices(server, roomId, [foreignJoin(`@bob:${peer.serverName}`)])
  return roomId
}

/** The transactions that came, or those of them given. */
export function transactionsOf(peer: TestPeer): readonly PeerRequest[] {
  return peer.requestsTo(SEND)
}

/** The id of a transaction. */
export function txnIdOf(request: PeerRequest): string {
  return decodeURIComponent(request.path.split('/').at(-1) ?? '')
}

/** The events in transactions. */
export function pdusIn(requests: readonly PeerRequest[]): JsonObject[] {
  return requests.flatMap((request) => (request.body?.['pdus'] ?? []) as JsonObject[])
}

/** The contents of the EDUs of one type in transactions. */
export function edusIn(requests: readonly PeerRequest[], type: string): JsonObject[] {
  const edus = requests.flatMap((request) => (request.body?.['edus'] ?? []) as JsonObject[])
  return edus.filter((edu) => edu['edu_type'] === type).map((edu) => edu['content'] as JsonObject)
}

/** The texts of the messages among events. */
export function textsOf(pdus: readonly JsonObject[]): unknown[] {
  return pdus.filter((pdu) => pdu['type'] === 'm.room.message').map((pdu) => (pdu['content'] as JsonObject)['body'])
}

/** Waits until something is so. */
export async function until(condition: () => boolean, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('It did not come to pass')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
