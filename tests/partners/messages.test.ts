import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import type { TestClient } from '../kit/client.ts'
import { roomPath } from '../kit/client.ts'
import { agreeOnState, BOTH_WAYS, joinVia, Partners, seesEvent, seesMembership } from './partners.ts'
import type { Homeserver } from './partners.ts'

const HISTORY_EVENTS = 500

let partners: Partners

beforeAll(async () => {
  partners = await Partners.start()
})

afterAll(async () => {
  await partners[Symbol.asyncDispose]()
})

describe.each(BOTH_WAYS)('rooms of $host, with guests of $guest', ({ host, guest }) => {
  let home: Homeserver
  let owner: TestClient
  let visitor: TestClient

  beforeAll(async () => {
    home = partners[host]
    owner = await home.register(`talker-${host}`)
    visitor = await partners[guest].register(`listener-${guest}`)
  })

  async function sharedRoom(body: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const roomId = await owner.createRoom({ preset: 'public_chat', ...body })
    await joinVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    return roomId
  }

  test.each(['6', '7', '8', '9', '10', '11', '12'])('a room of version %s works for both', async (version) => {
    const roomId = await sharedRoom({ room_version: version })
    const asked = await visitor.sendText(roomId, 'which version is this?')
    await seesEvent(owner, roomId, asked)
    await seesEvent(visitor, roomId, await owner.sendText(roomId, version))
    const topic = await owner.sendState(roomId, 'm.room.topic', '', { topic: version })
    await seesEvent(visitor, roomId, topic)
    const gone = await visitor.redact(roomId, asked)
    await seesEvent(owner, roomId, gone)
    await eventually('the text is gone', async () => Object.keys((await seesEvent(owner, roomId, asked)).content).length === 0)
    await agreeOnState(roomId, owner, visitor)
  })

  test('messages of both are seen by both in /sync, each once', async () => {
    const roomId = await sharedRoom()
    const { next_batch: ownerSince } = await owner.sync()
    const { next_batch: visitorSince } = await visitor.sync()
    const sent = new Set<string>()
    for (let count = 0; count < 5; count += 1) {
      sent.add(await owner.sendText(roomId, `from home ${count}`))
      sent.add(await visitor.sendText(roomId, `from afar ${count}`))
    }
    expect(await messagesSince(owner, roomId, ownerSince, sent.size)).toEqual([...sent].toSorted())
    expect(await messagesSince(visitor, roomId, visitorSince, sent.size)).toEqual([...sent].toSorted())
  })

  test('an edit, a reaction and a thread reach the other server, and are counted there', async () => {
    const roomId = await sharedRoom()
    const root = await owner.sendText(roomId, 'first')
    await seesEvent(visitor, roomId, root)
    const thread = { rel_type: 'm.thread', event_id: root }
    const reply = await visitor.send(roomId, 'm.room.message', { msgtype: 'm.text', body: 'reply', 'm.relates_to': thread })
    const edit = await owner.send(roomId, 'm.room.message', {
      msgtype: 'm.text',
      body: '* better',
      'm.new_content': { msgtype: 'm.text', body: 'better' },
      'm.relates_to': { rel_type: 'm.replace', event_id: root },
    })
    const reaction = { 'm.relates_to': { rel_type: 'm.annotation', event_id: root, key: '👍' } }
    await seesEvent(owner, roomId, await visitor.send(roomId, 'm.reaction', reaction))
    await seesEvent(visitor, roomId, edit)
    await seesEvent(owner, roomId, reply)
    for (const client of [owner, visitor]) {
      await eventually(`${client.userId} sees what belongs to the message`, async () => {
        const { unsigned } = await seesEvent(client, roomId, root)
        const relations = (unsigned?.['m.relations'] ?? {}) as Record<string, { count?: number; event_id?: string }>
        return relations['m.thread']?.count === 1 && relations['m.replace']?.event_id === edit
      })
    }
  })

  test('a moderator of the room removes a message of the other server', async () => {
    const roomId = await sharedRoom()
    const rude = await visitor.sendText(roomId, 'rude')
    await seesEvent(owner, roomId, rude)
    await owner.redact(roomId, rude)
    await eventually('the guest sees it removed', async () => {
      return Object.keys((await seesEvent(visitor, roomId, rude)).content).length === 0
    })
  })

  test('a guest may not do what its power does not allow, at home neither', async () => {
    const roomId = await sharedRoom()
    const path = roomPath(roomId, 'state', 'm.room.topic', '')
    await visitor.fails(403, 'M_FORBIDDEN', 'PUT', path, { body: { topic: 'mine' } })
    const levels = await owner.getState<{ users: Record<string, number> }>(roomId, 'm.room.power_levels')
    const changed = { ...levels, users: { ...levels.users, [visitor.userId]: 60 } }
    await seesEvent(visitor, roomId, await owner.sendState(roomId, 'm.room.power_levels', '', changed))
    await seesEvent(owner, roomId, await visitor.sendState(roomId, 'm.room.topic', '', { topic: 'mine' }))
    await agreeOnState(roomId, owner, visitor)
  })

  test('a guest who comes late pages back to the first of 500 messages', { timeout: 240_000 }, async () => {
    const roomId = await owner.createRoom({ preset: 'public_chat' })
    const sent: string[] = []
    for (let count = 0; count < HISTORY_EVENTS; count += 1) sent.push(await owner.sendText(roomId, `message ${count}`))
    await joinVia(visitor, roomId, home)
    const found = new Set<string>()
    let from: string | undefined
    for (let page = 0; page < 200; page += 1) {
      const { chunk, end } = await visitor.messages(roomId, { limit: 100, ...(from === undefined ? {} : { from }) })
      for (const { event_id: id } of chunk) found.add(id)
      if (end === undefined) break
      from = end
    }
    expect(sent.filter((id) => !found.has(id))).toEqual([])
  })

  test('history from before the join is hidden where the room says so', async () => {
    const visibility = { type: 'm.room.history_visibility', state_key: '', content: { history_visibility: 'joined' } }
    const roomId = await owner.createRoom({ preset: 'public_chat', initial_state: [visibility] })
    const secret = await owner.sendText(roomId, 'among ourselves')
    await joinVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    await seesEvent(visitor, roomId, await owner.sendText(roomId, 'welcome'))
    const { chunk } = await visitor.messages(roomId, { limit: 100 })
    expect(chunk.map(({ event_id: id }) => id)).not.toContain(secret)
    expect(chunk.some(({ content }) => content['body'] === 'welcome')).toBe(true)
  })

  test('a room is upgraded, and the guest follows', async () => {
    const roomId = await sharedRoom({ room_version: '10' })
    const { replacement_room: next } = await owner.post<{ replacement_room: string }>(roomPath(roomId, 'upgrade'), {
      new_version: '12',
    })
    const tombstone = await eventually('the guest sees the tombstone', async () => {
      const path = roomPath(roomId, 'state', 'm.room.tombstone', '')
      const { status, body } = await visitor.exchange<Record<string, string>>('GET', path, { expect: [200, 404] })
      return status === 200 && body
    })
    expect(tombstone['replacement_room']).toBe(next)
    await joinVia(visitor, next, home)
    await agreeOnState(next, owner, visitor)
  })
})

/** Ids of the messages in a room that /sync tells of since a token, sorted; waits until there are as many as wanted. */
async function messagesSince(client: TestClient, roomId: string, since: string, count: number): Promise<string[]> {
  const ids: string[] = []
  await client.syncUntil(
    ({ rooms }) => {
      const events = rooms?.join?.[roomId]?.timeline?.events ?? []
      ids.push(...events.filter(({ type }) => type === 'm.room.message').map(({ event_id: id }) => id))
      return ids.length >= count
    },
    { since, withinMs: 30_000 },
  )
  return ids.toSorted()
}
