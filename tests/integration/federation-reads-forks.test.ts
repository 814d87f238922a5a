import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildEvent } from '../../src/protocol/events/event-builder.ts'
import type { EventId } from '../../src/protocol/ids.ts'
import { parseEventId, parseRoomId, parseUserId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { getRoomVersion } from '../../src/protocol/room-versions/room-versions.ts'
import type { ForeignEvent, ForeignResult } from '../../src/services/events/foreign-events.ts'
import type { TestClient } from '../kit/client.ts'
import { federationConfig } from '../kit/federation-config.ts'
import { appendPastServices, foreignJoin, withPersister } from '../kit/foreign-members.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

interface Pdus {
  readonly pdus: readonly { readonly content: JsonObject; readonly type: string }[]
}

const FEDERATION = '/_matrix/federation/v1'
const roomVersion = getRoomVersion('11')
let server: TestServer
let peer: TestPeer
let alice: TestClient

beforeAll(async () => {
  const { server_name: _name, public_baseurl: _url, ...options } = await federationConfig(0)
  server = await TestServer.start({ config: options })
  peer = await TestPeer.start()
  alice = await server.register('alice')
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function userOf(name: string): string {
  return `@${name}:${peer.serverName}`
}

/** A room of Alice with Bob and Carol of the peer, and what events of Bob name: the state that lets him write. */
async function createRoom(): Promise<{ roomId: string; authEvents: EventId[]; head: EventId }> {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  const [bobJoin = ''] = await appendPastServices(server, roomId, [foreignJoin(userOf('bob')), foreignJoin(userOf('carol'))])
  const state = await alice.get<{ type: string; event_id: string }[]>(
    `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state`,
  )
  const idOf = (type: string): string => state.find((event) => event.type === type)?.event_id ?? ''
  const authEvents = [idOf('m.room.create'), idOf('m.room.power_levels'), bobJoin].map(parseEventId)
  return { roomId, authEvents, head: parseEventId(await alice.sendText(roomId, 'head')) }
}

function bobsEvent(
  roomId: string,
  event: { type: string; stateKey?: string; content: JsonObject; prev: EventId; authEvents: EventId[] },
): ForeignEvent {
  if (!roomVersion) throw new Error('Room version 11 is known')
  return buildEvent(
    {
      type: event.type,
      sender: parseUserId(userOf('bob')),
      stateKey: event.stateKey,
      content: event.content,
      roomId: parseRoomId(roomId),
      depth: 100,
      originServerTs: Date.now(),
      prevEvents: [event.prev],
      authEvents: event.authEvents,
    },
    { roomVersion, serverName: peer.serverName, signingKey: peer.signingKey },
  )
}

function receive(roomId: string, events: readonly ForeignEvent[]): Promise<readonly ForeignResult[]> {
  return withPersister(server, (persister) => persister.appendForeign({ roomId: parseRoomId(roomId), events }))
}

async function getPdus(path: string): Promise<{ status: number; pdus: Pdus['pdus'] }> {
  const { status, body } = await peer.request<Pdus>(server, 'GET', FEDERATION + path)
  return { status, pdus: body.pdus }
}

describe('events of other servers', () => {
  it('that were rejected are given to nobody, but what follows them is', async () => {
    const { roomId, authEvents, head } = await createRoom()
    const content = { name: 'Mine now' }
    const rejected = bobsEvent(roomId, { type: 'm.room.name', stateKey: '', content, prev: head, authEvents })
    const after = bobsEvent(roomId, {
      type: 'm.room.message',
      content: { body: 'after' },
      prev: rejected.event.eventId,
      authEvents,
    })
    expect(await receive(roomId, [rejected, after])).toEqual(['rejected', 'accepted'])
    expect((await getPdus(`/event/${encodeURIComponent(rejected.event.eventId)}`)).status).toBe(404)
    const id = encodeURIComponent(after.event.eventId)
    expect((await getPdus(`/event/${id}`)).pdus[0]?.content).toEqual({ body: 'after' })
    const { pdus } = await getPdus(`/backfill/${encodeURIComponent(roomId)}?v=${id}&limit=2`)
    expect(pdus.map((pdu) => pdu.content['body'])).toEqual(['after', 'head'])
  })

  it('on a fork have the state of their fork', async () => {
    const { roomId, authEvents, head } = await createRoom()
    const topic = await alice.sendState(roomId, 'm.room.topic', '', { topic: 'Later' })
    const forked = bobsEvent(roomId, { type: 'm.room.message', content: { body: 'forked' }, prev: head, authEvents })
    expect(await receive(roomId, [forked])).toEqual(['accepted'])
    const merged = await alice.sendText(roomId, 'merged')
    const idsAt = async (eventId: string): Promise<readonly string[]> => {
      const path = `/state_ids/${encodeURIComponent(roomId)}?event_id=${encodeURIComponent(eventId)}`
      return (await peer.request<{ pdu_ids: string[] }>(server, 'GET', FEDERATION + path)).body.pdu_ids
    }
    expect(await idsAt(forked.event.eventId)).not.toContain(topic)
    expect(await idsAt(merged)).toContain(topic)
    const missing = await peer.request<{ events: { content: JsonObject }[] }>(
      server,
      'POST',
      `${FEDERATION}/get_missing_events/${encodeURIComponent(roomId)}`,
      { earliest_events: [head], latest_events: [merged], limit: 10 },
    )
    expect(missing.body.events.map((pdu) => pdu.content)).toEqual(
      expect.arrayContaining([{ body: 'forked' }, { topic: 'Later' }]),
    )
    expect(missing.body.events).toHaveLength(2)
  })

  it('that failed softly are part of the graph for those who name them', async () => {
    const { roomId, authEvents, head } = await createRoom()
    await alice.ban(roomId, userOf('bob'))
    const late = bobsEvent(roomId, { type: 'm.room.message', content: { body: 'late' }, prev: head, authEvents })
    expect(await receive(roomId, [late])).toEqual(['softFailed'])
    expect((await getPdus(`/event/${encodeURIComponent(late.event.eventId)}`)).pdus[0]?.content).toEqual({ body: 'late' })
    const last = await alice.sendText(roomId, 'last')
    const { pdus } = await getPdus(`/backfill/${encodeURIComponent(roomId)}?v=${encodeURIComponent(last)}&limit=20`)
    expect(pdus.map((pdu) => pdu.content['body'])).not.toContain('late')
    const near = await peer.request<{ event_id: string }>(
      server,
      'GET',
      `${FEDERATION}/timestamp_to_event/${encodeURIComponent(roomId)}?ts=${Date.now() + 10_000}&dir=b`,
    )
    expect(near.body.event_id).toBe(last)
  })

  it('on a fork from before the history was closed are seen as of then', async () => {
    const { roomId, authEvents, head } = await createRoom()
    await alice.sendState(roomId, 'm.room.history_visibility', '', { history_visibility: 'joined' })
    await appendPastServices(server, roomId, [
      { type: 'm.room.member', sender: userOf('carol') as never, stateKey: userOf('carol'), content: { membership: 'leave' } },
      { type: 'm.room.member', sender: userOf('bob') as never, stateKey: userOf('bob'), content: { membership: 'leave' } },
    ])
    const unseen = await alice.sendText(roomId, 'unseen')
    await appendPastServices(server, roomId, [foreignJoin(userOf('carol'))])
    const forked = bobsEvent(roomId, { type: 'm.room.message', content: { body: 'forked' }, prev: head, authEvents })
    expect(await receive(roomId, [forked])).toEqual(['softFailed'])
    expect((await getPdus(`/event/${encodeURIComponent(unseen)}`)).pdus[0]?.content).toEqual({})
    expect((await getPdus(`/event/${encodeURIComponent(forked.event.eventId)}`)).pdus[0]?.content).toEqual({ body: 'forked' })
  })
})
