import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { federationConfig } from '../kit/federation-config.ts'
import { appendPastServices, foreignJoin } from '../kit/foreign-members.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

interface Template {
  readonly errcode?: string
  readonly room_version: string
  readonly event: {
    readonly content: Record<string, unknown>
    readonly auth_events: readonly unknown[]
    readonly prev_events: readonly unknown[]
    readonly depth: number
    readonly room_id: string
  }
}

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

function bob(): string {
  return `@bob:${peer.serverName}`
}

async function make(kind: string, roomId: string, query = '?ver=10&ver=11&ver=12', userId = bob()) {
  const ids = [roomId, userId].map(encodeURIComponent).join('/')
  const { status, body } = await peer.request<Template>(server, 'GET', `/_matrix/federation/v1/make_${kind}/${ids}${query}`)
  return { status, errcode: body.errcode, template: body }
}

function restrictedTo(roomId: string): unknown[] {
  const allow = [{ type: 'm.room_membership', room_id: roomId }]
  return [{ type: 'm.room.join_rules', state_key: '', content: { join_rule: 'restricted', allow } }]
}

describe('the template of a join', () => {
  it.each(['1', '2', '10', '11', '12'])('fits a public room of version %s', async (version) => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version })
    const { status, template } = await make('join', roomId, `?ver=${version}`)
    expect(status).toBe(200)
    expect(template.room_version).toBe(version)
    expect(template.event).toMatchObject({ type: 'm.room.member', sender: bob(), state_key: bob(), room_id: roomId })
    expect(template.event.content).toEqual({ membership: 'join' })
    expect(template.event.prev_events).toHaveLength(1)
    expect(template.event.auth_events).toHaveLength(version === '12' ? 2 : 3)
  })

  it('is made for rooms whose version the server speaks, and version 1 without a list', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
    for (const query of ['?ver=10', '']) {
      const { status, errcode, template } = await make('join', roomId, query)
      expect([status, errcode, template.room_version]).toEqual([400, 'M_INCOMPATIBLE_ROOM_VERSION', '11'])
    }
  })

  it('is refused where the rules do, for others’ users, and for unknown rooms', async () => {
    const invited = await alice.createRoom({ preset: 'private_chat' })
    expect(await make('join', invited)).toMatchObject({ status: 403, errcode: 'M_FORBIDDEN' })
    const open = await alice.createRoom({ preset: 'public_chat' })
    expect(await make('join', open, undefined, '@eve:elsewhere.example')).toMatchObject({ status: 403 })
    expect(await make('join', '!unknown:test.example')).toMatchObject({ status: 404, errcode: 'M_NOT_FOUND' })
    const local = await alice.createRoom({ preset: 'public_chat', creation_content: { 'm.federate': false } })
    expect(await make('join', local)).toMatchObject({ status: 403 })
    await alice.leave(open)
    expect(await make('join', open)).toMatchObject({ status: 404 })
  })

  it('names who authorises it in a restricted room', async () => {
    const club = await alice.createRoom({ preset: 'public_chat' })
    const roomId = await alice.createRoom({ preset: 'public_chat', initial_state: restrictedTo(club) })
    expect(await make('join', roomId)).toMatchObject({ status: 403, errcode: 'M_FORBIDDEN' })
    await appendPastServices(server, club, [foreignJoin(bob())])
    const { status, template } = await make('join', roomId)
    expect(status).toBe(200)
    expect(template.event.content['join_authorised_via_users_server']).toBe(alice.userId)
  })

  it('is left to other servers where we know nothing of the allowed rooms, or nobody of ours may invite', async () => {
    const unknown = await alice.createRoom({ preset: 'public_chat', initial_state: restrictedTo('!far:elsewhere.example') })
    expect(await make('join', unknown)).toMatchObject({ status: 400, errcode: 'M_UNABLE_TO_AUTHORISE_JOIN' })
    const club = await alice.createRoom({ preset: 'public_chat' })
    await appendPastServices(server, club, [foreignJoin(bob())])
    const strict = await alice.createRoom({ preset: 'public_chat', room_version: '11', initial_state: restrictedTo(club) })
    const levels = await alice.getState<Record<string, unknown>>(strict, 'm.room.power_levels')
    await alice.sendState(strict, 'm.room.power_levels', '', { ...levels, invite: 100, users: { [alice.userId]: 100 } })
    const ann = await server.register('ann')
    await alice.invite(strict, ann.userId)
    await ann.join(strict)
    await alice.leave(strict)
    expect(await make('join', strict)).toMatchObject({ status: 400, errcode: 'M_UNABLE_TO_GRANT_JOIN' })
  })
})

describe('the template of a leave', () => {
  it('is for who is in the room or invited', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect(await make('leave', roomId, '')).toMatchObject({ status: 403 })
    await appendPastServices(server, roomId, [foreignJoin(bob())])
    const { status, template } = await make('leave', roomId, '')
    expect([status, template.event.content]).toEqual([200, { membership: 'leave' }])
  })
})

describe('the template of a knock', () => {
  it('is for rooms that are knocked on', async () => {
    const join_rule = 'knock'
    const roomId = await alice.createRoom({
      preset: 'private_chat',
      initial_state: [{ type: 'm.room.join_rules', state_key: '', content: { join_rule } }],
    })
    const { status, template } = await make('knock', roomId)
    expect([status, template.event.content]).toEqual([200, { membership: 'knock' }])
    expect(await make('knock', roomId, '?ver=9')).toMatchObject({ status: 400, errcode: 'M_INCOMPATIBLE_ROOM_VERSION' })
    expect(await make('knock', roomId, '')).toMatchObject({ status: 400 })
    const closed = await alice.createRoom({ preset: 'private_chat' })
    expect(await make('knock', closed)).toMatchObject({ status: 403 })
    const old = await alice.createRoom({ preset: 'public_chat', room_version: '6' })
    expect(await make('knock', old, '?ver=6')).toMatchObject({ status: 403 })
  })
})
