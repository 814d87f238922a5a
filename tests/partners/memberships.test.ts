import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import type { TestClient } from '../kit/client.ts'
import { roomPath } from '../kit/client.ts'
import { agreeOnState, BOTH_WAYS, joinVia, Partners, seesEvent, seesMembership, seesRoomAs } from './partners.ts'
import type { Homeserver } from './partners.ts'

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
    owner = await home.register(`owner-${host}`)
    visitor = await partners[guest].register(`visitor-${guest}`)
  })

  test('a public room is joined by its alias', async () => {
    const roomId = await owner.createRoom({ preset: 'public_chat', room_alias_name: 'door', name: 'Open house' })
    expect(await visitor.join(`#door:${home.serverName}`)).toBe(roomId)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    expect(await visitor.getState(roomId, 'm.room.name')).toEqual({ name: 'Open house' })
    await agreeOnState(roomId, owner, visitor)
  })

  test('a public room is joined by its id, by way of its server, and both talk', async () => {
    const roomId = await owner.createRoom({ preset: 'public_chat' })
    await joinVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    const fromVisitor = await visitor.sendText(roomId, 'hello')
    expect((await seesEvent(owner, roomId, fromVisitor)).content['body']).toBe('hello')
    const fromOwner = await owner.sendText(roomId, 'welcome')
    expect((await seesEvent(visitor, roomId, fromOwner)).content['body']).toBe('welcome')
  })

  test('an invitation shows what the room is, and is accepted', async () => {
    const roomId = await owner.createRoom({ preset: 'private_chat', name: 'By invitation' })
    await owner.invite(roomId, visitor.userId)
    const invitation = await seesRoomAs(visitor, roomId, 'invite')
    const stripped = invitation.invite_state?.events ?? []
    expect(stripped.find(({ type }) => type === 'm.room.name')?.content).toEqual({ name: 'By invitation' })
    expect(stripped.find(({ state_key: key }) => key === visitor.userId)?.sender).toBe(owner.userId)
    await visitor.join(roomId)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    await agreeOnState(roomId, owner, visitor)
  })

  test('an invitation is rejected', async () => {
    const roomId = await owner.createRoom({ preset: 'private_chat' })
    await owner.invite(roomId, visitor.userId)
    await seesRoomAs(visitor, roomId, 'invite')
    await visitor.post(roomPath(roomId, 'leave'))
    await seesMembership(owner, roomId, visitor.userId, 'leave')
    await eventually('the invitation is gone', async () => (await visitor.sync()).rooms?.invite?.[roomId] === undefined)
  })

  test('an invitation is taken back', async () => {
    const roomId = await owner.createRoom({ preset: 'private_chat' })
    await owner.invite(roomId, visitor.userId)
    await seesRoomAs(visitor, roomId, 'invite')
    await owner.post(roomPath(roomId, 'kick'), { user_id: visitor.userId })
    await eventually('the invitation is gone', async () => (await visitor.sync()).rooms?.invite?.[roomId] === undefined)
  })

  test('a direct chat is made with an invitation from the start', async () => {
    const roomId = await owner.createRoom({ preset: 'trusted_private_chat', is_direct: true, invite: [visitor.userId] })
    const invitation = await seesRoomAs(visitor, roomId, 'invite')
    const own = invitation.invite_state?.events.find(({ state_key: key }) => key === visitor.userId)
    expect(own?.content['is_direct']).toBe(true)
    await visitor.join(roomId)
    const eventId = await visitor.sendText(roomId, 'hi')
    await seesEvent(owner, roomId, eventId)
    await agreeOnState(roomId, owner, visitor)
  })

  test('a guest knocks, is let in, and joins', async () => {
    const roomId = await owner.createRoom({ preset: 'private_chat', initial_state: [joinRule({ join_rule: 'knock' })] })
    await knockVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'knock')
    await seesRoomAs(visitor, roomId, 'knock')
    await owner.invite(roomId, visitor.userId)
    await seesRoomAs(visitor, roomId, 'invite')
    await visitor.join(roomId)
    await agreeOnState(roomId, owner, visitor)
  })

  test('a guest joins a restricted room as a member of a space of the host', async () => {
    const space = await owner.createRoom({ preset: 'public_chat', creation_content: { type: 'm.space' } })
    const roomId = await owner.createRoom({ preset: 'private_chat', initial_state: [restrictedTo(space)] })
    await joinVia(visitor, roomId, home, 403)
    await joinVia(visitor, space, home)
    await joinVia(visitor, roomId, home)
    await agreeOnState(roomId, owner, visitor)
    const { join_authorised_via_users_server: by } = await visitor.getState<Record<string, string>>(
      roomId,
      'm.room.member',
      visitor.userId,
    )
    expect(by).toBe(owner.userId)
  })

  test('a guest joins a restricted room as a member of a space of its own server', async () => {
    const space = await visitor.createRoom({ preset: 'public_chat', creation_content: { type: 'm.space' } })
    await joinVia(owner, space, partners[guest])
    const roomId = await owner.createRoom({ preset: 'private_chat', initial_state: [restrictedTo(space)] })
    await joinVia(visitor, roomId, home)
    await agreeOnState(roomId, owner, visitor)
  })

  test('a guest leaves and joins again', async () => {
    const roomId = await owner.createRoom({ preset: 'public_chat' })
    await joinVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    await visitor.post(roomPath(roomId, 'leave'))
    await seesMembership(owner, roomId, visitor.userId, 'leave')
    const missed = await owner.sendText(roomId, 'while you were away')
    await owner.sendState(roomId, 'm.room.topic', '', { topic: 'news' })
    await joinVia(visitor, roomId, home)
    await agreeOnState(roomId, owner, visitor)
    // What was missed is history now: asked for when somebody pages back.
    await eventually('the missed message is read', async () => {
      const { chunk } = await visitor.messages(roomId, { limit: 50 })
      return chunk.some(({ event_id: id }) => id === missed)
    })
  })

  test('a guest is kicked, banned, kept out, and forgiven', async () => {
    const roomId = await owner.createRoom({ preset: 'public_chat' })
    await joinVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    await owner.post(roomPath(roomId, 'kick'), { user_id: visitor.userId, reason: 'noise' })
    await seesRoomAs(visitor, roomId, 'leave')
    await joinVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    await owner.post(roomPath(roomId, 'ban'), { user_id: visitor.userId })
    await seesRoomAs(visitor, roomId, 'leave')
    await joinVia(visitor, roomId, home, 403)
    await owner.post(roomPath(roomId, 'unban'), { user_id: visitor.userId })
    await joinVia(visitor, roomId, home)
    await agreeOnState(roomId, owner, visitor)
  })

  test('a guest with the power to do so bans a member of the host', async () => {
    const other = await home.register(`other-${host}`)
    const roomId = await owner.createRoom({ preset: 'public_chat' })
    await other.join(roomId)
    await joinVia(visitor, roomId, home)
    const levels = await owner.getState<{ users: Record<string, number> }>(roomId, 'm.room.power_levels')
    const changed = { ...levels, users: { ...levels.users, [visitor.userId]: 50 } }
    const eventId = await owner.sendState(roomId, 'm.room.power_levels', '', changed)
    await seesEvent(visitor, roomId, eventId)
    await visitor.post(roomPath(roomId, 'ban'), { user_id: other.userId })
    await seesMembership(owner, roomId, other.userId, 'ban')
    await agreeOnState(roomId, owner, visitor)
  })
})

test('a guest of ours knocks and thinks better of it', async () => {
  // The other way round there is nothing to see: Synapse does not tell the room's server.
  const owner = await partners.synapse.register('owner-of-door')
  const visitor = await partners.ganglion.register('undecided')
  const roomId = await owner.createRoom({ preset: 'private_chat', initial_state: [joinRule({ join_rule: 'knock' })] })
  await knockVia(visitor, roomId, partners.synapse)
  await seesMembership(owner, roomId, visitor.userId, 'knock')
  await visitor.post(roomPath(roomId, 'leave'))
  await seesMembership(owner, roomId, visitor.userId, 'leave')
})

function joinRule(content: unknown): Record<string, unknown> {
  return { type: 'm.room.join_rules', state_key: '', content }
}

function restrictedTo(space: string): Record<string, unknown> {
  return joinRule({ join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: space }] })
}

async function knockVia(client: TestClient, roomId: string, via: Homeserver): Promise<void> {
  const query = { server_name: via.serverName, via: via.serverName }
  await client.post(`/_matrix/client/v3/knock/${encodeURIComponent(roomId)}`, {}, { query })
}
