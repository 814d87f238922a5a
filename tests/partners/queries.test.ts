import { randomBytes } from 'node:crypto'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import type { TestClient } from '../kit/client.ts'
import { roomPath } from '../kit/client.ts'
import { BOTH_WAYS, joinVia, Partners, seesEvent, seesMembership } from './partners.ts'
import type { Homeserver } from './partners.ts'

const WITHIN = { withinMs: 30_000 }

let partners: Partners

beforeAll(async () => {
  partners = await Partners.start()
})

afterAll(async () => {
  await partners[Symbol.asyncDispose]()
})

describe.each(BOTH_WAYS)('what $host tells users of $guest', ({ host, guest }) => {
  let home: Homeserver
  let owner: TestClient
  let visitor: TestClient

  beforeAll(async () => {
    home = partners[host]
    owner = await home.register(`asked-${host}`)
    visitor = await partners[guest].register(`asking-${guest}`)
  })

  async function sharedRoom(): Promise<string> {
    const roomId = await owner.createRoom({ preset: 'public_chat' })
    await joinVia(visitor, roomId, home)
    await seesMembership(owner, roomId, visitor.userId, 'join')
    return roomId
  }

  test('profiles', async () => {
    const profile = `/_matrix/client/v3/profile/${encodeURIComponent(owner.userId)}`
    await owner.put(`${profile}/displayname`, { displayname: 'The Owner' })
    expect(await visitor.get(profile)).toMatchObject({ displayname: 'The Owner' })
    expect(await visitor.get(`${profile}/displayname`)).toEqual({ displayname: 'The Owner' })
    const nobody = `/_matrix/client/v3/profile/${encodeURIComponent(`@nobody:${home.serverName}`)}`
    await visitor.fails(404, 'M_NOT_FOUND', 'GET', nobody)
  })

  test('a new name in the rooms that they share', async () => {
    const roomId = await sharedRoom()
    await owner.put(`/_matrix/client/v3/profile/${encodeURIComponent(owner.userId)}/displayname`, { displayname: 'Renamed' })
    await eventually('the guest sees the new name', async () => {
      const member = await visitor.getState<{ displayname?: string }>(roomId, 'm.room.member', owner.userId)
      return member.displayname === 'Renamed'
    })
  })

  test('public rooms, with a search', async () => {
    const name = `Garden of ${host}`
    const roomId = await owner.createRoom({ preset: 'public_chat', visibility: 'public', name, topic: 'flowers' })
    const path = '/_matrix/client/v3/publicRooms'
    const query = { server: home.serverName }
    const all = await visitor.get<{ chunk: { room_id: string; name?: string; topic?: string }[] }>(path, { query })
    expect(all.chunk.find(({ room_id: id }) => id === roomId)).toMatchObject({ name, topic: 'flowers' })
    const body = { filter: { generic_search_term: 'garden' } }
    const found = await visitor.request<typeof all>('POST', path, { query, body })
    expect(found.chunk.map(({ room_id: id }) => id)).toContain(roomId)
  })

  test('where an alias leads', async () => {
    const roomId = await owner.createRoom({ preset: 'public_chat', room_alias_name: `sign-${host}` })
    const path = (alias: string): string => `/_matrix/client/v3/directory/room/${encodeURIComponent(alias)}`
    const found = await visitor.get<{ room_id: string; servers: string[] }>(path(`#sign-${host}:${home.serverName}`))
    expect(found.room_id).toBe(roomId)
    expect(found.servers).toContain(home.serverName)
    await visitor.fails(404, 'M_NOT_FOUND', 'GET', path(`#nothing:${home.serverName}`))
  })

  test('the rooms of a space, to who has joined only the space', async () => {
    const space = await owner.createRoom({ preset: 'public_chat', creation_content: { type: 'm.space' }, name: 'Space' })
    const rooms = await Promise.all(['One', 'Two'].map((name) => owner.createRoom({ preset: 'public_chat', name })))
    const hidden = await owner.createRoom({ preset: 'private_chat', name: 'Hidden' })
    for (const child of [...rooms, hidden]) await owner.sendState(space, 'm.space.child', child, { via: [home.serverName] })
    await joinVia(visitor, space, home)
    const path = `/_matrix/client/v1/rooms/${encodeURIComponent(space)}/hierarchy`
    const { rooms: seen } = await visitor.get<{ rooms: { room_id: string; name?: string }[] }>(path)
    expect(seen.map(({ room_id: id }) => id).toSorted()).toEqual([space, ...rooms].toSorted())
    expect(seen.find(({ room_id: id }) => id === rooms[0])?.name).toBe('One')
  })

  test('media, byte by byte, and thumbnails', async () => {
    const bytes = randomBytes(700_000)
    const uri = await upload(owner, bytes, 'application/zip', 'Ärger.zip')
    const download = `/_matrix/client/v1/media/download/${uri}`
    const { bytes: got, headers } = await visitor.exchange('GET', download)
    expect(got.equals(bytes)).toBe(true)
    expect(headers['content-type']).toBe('application/zip')
    expect(String(headers['content-disposition']).toLowerCase()).toContain("filename*=utf-8''%c3%84rger.zip")
    const again = await visitor.exchange('GET', download)
    expect(again.bytes.equals(bytes)).toBe(true)
    const picture = await sharp({ create: { width: 640, height: 480, channels: 3, background: 'blue' } })
      .png()
      .toBuffer()
    const query = { width: 32, height: 32, method: 'crop' }
    const thumbnail = await visitor.exchange(
      'GET',
      `/_matrix/client/v1/media/thumbnail/${await upload(owner, picture, 'image/png', 'p.png')}`,
      { query },
    )
    expect(await sharp(thumbnail.bytes).metadata()).toMatchObject({ width: 32, height: 32 })
    await visitor.fails(404, 'M_NOT_FOUND', 'GET', `/_matrix/client/v1/media/download/${home.serverName}/doesNotExistAtAll`)
  })

  test('typing', async () => {
    const roomId = await sharedRoom()
    const { next_batch: since } = await visitor.sync()
    await owner.put(roomPath(roomId, 'typing', owner.userId), { typing: true, timeout: 30_000 })
    await visitor.syncUntil(({ rooms }) => typingIn(rooms?.join?.[roomId])?.includes(owner.userId) === true, { since, ...WITHIN })
    await owner.put(roomPath(roomId, 'typing', owner.userId), { typing: false })
    await visitor.syncUntil(({ rooms }) => typingIn(rooms?.join?.[roomId])?.includes(owner.userId) === false, {
      since,
      ...WITHIN,
    })
  })

  test('read receipts', async () => {
    const roomId = await sharedRoom()
    const eventId = await visitor.sendText(roomId, 'read me')
    await seesEvent(owner, roomId, eventId)
    const { next_batch: since } = await visitor.sync()
    await owner.post(roomPath(roomId, 'receipt', 'm.read', eventId))
    await visitor.syncUntil(
      ({ rooms }) => {
        const receipts = rooms?.join?.[roomId]?.ephemeral?.events.find(({ type }) => type === 'm.receipt')?.content
        const readers = (receipts?.[eventId] as { 'm.read'?: Record<string, unknown> } | undefined)?.['m.read']
        return readers?.[owner.userId] !== undefined
      },
      { since, ...WITHIN },
    )
  })

  test('presence', async () => {
    await sharedRoom()
    const { next_batch: since } = await visitor.sync()
    const status = `/_matrix/client/v3/presence/${encodeURIComponent(owner.userId)}/status`
    await owner.put(status, { presence: 'online', status_msg: 'here' })
    await visitor.syncUntil(
      ({ presence }) =>
        presence?.events.some(({ sender, content }) => sender === owner.userId && content['status_msg'] === 'here') === true,
      { since, ...WITHIN },
    )
  })
})

function typingIn(room: { ephemeral?: { events: readonly { type: string; content: Record<string, unknown> }[] } } | undefined) {
  const typing = room?.ephemeral?.events.find(({ type }) => type === 'm.typing')
  return typing?.content['user_ids'] as string[] | undefined
}

/** Uploads and returns `server/id`. */
async function upload(client: TestClient, bytes: Buffer, contentType: string, filename: string): Promise<string> {
  const options = { rawBody: bytes, contentType, query: { filename } }
  const { content_uri: uri } = await client.request<{ content_uri: string }>('POST', '/_matrix/media/v3/upload', options)
  return uri.slice('mxc://'.length)
}
