import { expect, it } from 'vitest'
import type { BuiltEvent } from '../../src/protocol/events/event-builder.ts'
import { readPdu } from '../../src/protocol/events/parse-event.ts'
import { computeContentHash } from '../../src/protocol/hashes.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { signEvent } from '../../src/protocol/signatures.ts'
import { PeerRoom, toPdu } from '../kit/peer-room.ts'
import { allRooms, SlidingClient } from '../kit/sliding-sync.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

it('an invite to a room elsewhere comes with what came along, and is told to be taken back', async () => {
  await using server = await TestServer.start({ federation: true })
  await using peer = await TestPeer.start()
  peer.handle('PUT', /^\/_matrix\/federation\/v1\/send\//, () => ({ pdus: {} }))
  const alice = await server.register('alice')
  const creator = `@creator:${peer.serverName}`
  const room = PeerRoom.create(peer)
  room.send({ type: 'm.room.name', stateKey: '', sender: creator, content: { name: 'Far away' } })
  const connection = new SlidingClient(alice, { lists: { all: allRooms(5, [['m.room.member', '$ME']]) } })
  await connection.next()
  const member = { type: 'm.room.member', sender: creator, stateKey: alice.userId }
  const invite = withOrigin(room.build({ ...member, content: { membership: 'invite' } }), room, peer)
  const path = `${encodeURIComponent(room.roomId)}/${encodeURIComponent(invite.event.eventId)}`
  const { status } = await peer.request(server, 'PUT', `/_matrix/federation/v2/invite/${path}`, {
    room_version: room.version.id,
    event: toPdu(invite),
    invite_room_state: room.state().map(toPdu),
  })
  expect(status).toBe(200)
  room.add(invite)
  const invited = (await connection.until((answer) => room.roomId in answer.rooms)).rooms[room.roomId]
  const events = invited?.invite_state ?? []
  expect(events).toContainEqual({ type: 'm.room.name', state_key: '', sender: creator, content: { name: 'Far away' } })
  expect(events.filter((event) => event.state_key === alice.userId)).toHaveLength(1)
  expect(events.at(-1)).toMatchObject({ type: 'm.room.member', content: { membership: 'invite' } })
  const leave = room.send({ ...member, content: { membership: 'leave' } })
  expect((await room.transmit(server, [leave])).status).toBe(200)
  const left = (await connection.until((answer) => room.roomId in answer.rooms)).rooms[room.roomId]
  expect(left?.required_state).toMatchObject([{ state_key: alice.userId, content: { membership: 'leave' } }])
})

/** The specification's form of the answer to an invite has the origin. */
function withOrigin({ event }: BuiltEvent, { version }: PeerRoom, peer: TestPeer): BuiltEvent {
  const { hashes: _hashes, signatures: _signatures, ...rest } = event.pdu
  const content = { ...rest, origin: peer.serverName }
  const hashes = { sha256: computeContentHash(version, content as unknown as JsonObject) }
  const pdu = signEvent(version, { ...content, hashes, signatures: {} }, peer.serverName, peer.signingKey)
  return readPdu(pdu as unknown as JsonObject, version)
}
