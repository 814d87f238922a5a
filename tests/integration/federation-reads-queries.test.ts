import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { federationConfig } from '../kit/federation-config.ts'
import { appendPastServices, foreignJoin } from '../kit/foreign-members.ts'
import { TestPeer } from '../kit/test-peer.ts'
import { TestServer } from '../kit/test-server.ts'

type Json = Record<string, unknown>

const FEDERATION = '/_matrix/federation/v1'
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
let server: TestServer
let peer: TestPeer
let alice: TestClient

beforeAll(async () => {
  const { server_name: _name, public_baseurl: _url, ...options } = await federationConfig(0)
  server = await TestServer.start({ config: { ...options, allow_public_rooms_over_federation: true } })
  peer = await TestPeer.start()
  alice = await server.register('alice', { deviceId: 'PHONE' })
})

afterAll(async () => {
  await peer[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function get<T = Json>(path: string) {
  return peer.request<T>(server, 'GET', FEDERATION + path)
}

function bob(): string {
  return `@bob:${peer.serverName}`
}

function deviceKeys(): Json {
  return {
    user_id: alice.userId,
    device_id: 'PHONE',
    algorithms: ['m.megolm.v1.aes-sha2'],
    keys: { 'ed25519:PHONE': 'c2lnbmluZyBrZXk' },
    signatures: { [alice.userId]: { 'ed25519:PHONE': 'c2lnbmF0dXJl' } },
  }
}

describe('requests', () => {
  it('must be signed', async () => {
    const { status, body } = await peer.request(
      server,
      'GET',
      `${FEDERATION}/query/profile?user_id=@alice:test.example`,
      undefined,
      {
        headers: { authorization: 'X-Matrix origin="x.example",key="ed25519:1",sig="x"' },
      },
    )
    expect([status, body['errcode']]).toEqual([401, 'M_UNAUTHORIZED'])
  })

  it('of other kinds are not found', async () => {
    expect((await get('/query/weather?city=Bonn')).status).toBe(404)
  })
})

describe('a profile', () => {
  it('is shown whole, or by field', async () => {
    await alice.put(`/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}/displayname`, { displayname: 'Alice A' })
    await alice.put(`/_matrix/client/v3/profile/${encodeURIComponent(alice.userId)}/m.tz`, { 'm.tz': 'Europe/Rome' })
    const user = `user_id=${encodeURIComponent(alice.userId)}`
    expect((await get(`/query/profile?${user}`)).body).toEqual({ displayname: 'Alice A', 'm.tz': 'Europe/Rome' })
    expect((await get(`/query/profile?${user}&field=displayname`)).body).toEqual({ displayname: 'Alice A' })
    expect((await get(`/query/profile?${user}&field=avatar_url`)).body).toEqual({})
  })

  it('is not found for nobody and for users of other servers', async () => {
    expect((await get('/query/profile?user_id=%40nobody%3Atest.example')).status).toBe(404)
    expect((await get('/query/profile?user_id=%40a%3Aelsewhere.example')).status).toBe(404)
    expect((await get('/query/profile?user_id=alice')).status).toBe(400)
    expect((await get('/query/profile')).status).toBe(400)
  })
})

describe('the directory', () => {
  it('tells the room of an alias and the servers in it', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_alias_name: 'lounge' })
    await appendPastServices(server, roomId, [foreignJoin(bob())])
    const { body } = await get('/query/directory?room_alias=%23lounge%3Atest.example')
    expect(body).toEqual({ room_id: roomId, servers: ['test.example', peer.serverName] })
    expect((await get('/query/directory?room_alias=%23nothing%3Atest.example')).status).toBe(404)
  })

  it('lists published rooms, but not those that are for our users only', async () => {
    const open = await alice.createRoom({ preset: 'public_chat', visibility: 'public', name: 'Open house' })
    const closed = await alice.createRoom({
      preset: 'public_chat',
      visibility: 'public',
      creation_content: { 'm.federate': false },
    })
    const rooms = async (request: Promise<{ body: { chunk: { room_id: string }[] } }>) =>
      (await request).body.chunk.map((room) => room.room_id)
    expect(await rooms(get('/publicRooms?limit=10'))).toContain(open)
    expect(await rooms(get('/publicRooms?limit=10'))).not.toContain(closed)
    const search = { filter: { generic_search_term: 'open house' } }
    expect(await rooms(peer.request(server, 'POST', `${FEDERATION}/publicRooms`, search))).toEqual([open])
  })

  it('shows spaces with what is right below them', async () => {
    const child = await alice.createRoom({ preset: 'public_chat', name: 'Child' })
    const hidden = await alice.createRoom({ preset: 'private_chat' })
    const space = await alice.createRoom({ preset: 'public_chat', creation_content: { type: 'm.space' } })
    for (const roomId of [child, hidden, '!gone:test.example'])
      await alice.sendState(space, 'm.space.child', roomId, { via: ['test.example'] })
    const { body } = await get<{ room: Json; children: { room_id: string }[]; inaccessible_children: string[] }>(
      `/hierarchy/${encodeURIComponent(space)}`,
    )
    expect(body.room['children_state']).toHaveLength(3)
    expect(body.children.map((room) => room.room_id)).toEqual([child])
    expect(body.inaccessible_children).toEqual([hidden])
    expect((await get(`/hierarchy/${encodeURIComponent(hidden)}`)).status).toBe(404)
  })
})

describe('keys', () => {
  it('of our devices are given, with the position of their list, without names', async () => {
    await alice.post('/_matrix/client/v3/keys/upload', { device_keys: deviceKeys() })
    await alice.put('/_matrix/client/v3/devices/PHONE', { display_name: 'A phone' })
    const devices = await get<{ stream_id: number; devices: Json[] }>(`/user/devices/${encodeURIComponent(alice.userId)}`)
    expect(devices.body.stream_id).toBeGreaterThan(0)
    expect(devices.body.devices).toEqual([{ device_id: 'PHONE', keys: deviceKeys() }])
    expect((await get('/user/devices/%40nobody%3Atest.example')).status).toBe(404)
    const query = { device_keys: { [alice.userId]: [], '@x:elsewhere.example': [] } }
    const queried = await peer.request<{ device_keys: Json }>(server, 'POST', `${FEDERATION}/user/keys/query`, query)
    expect(queried.body.device_keys).toEqual({ [alice.userId]: { PHONE: { ...deviceKeys(), unsigned: {} } } })
  })

  it('for one time are handed out once', async () => {
    const key = { key: 'b25lIHRpbWU', signatures: { [alice.userId]: { 'ed25519:PHONE': 'c2lnbmF0dXJl' } } }
    await alice.post('/_matrix/client/v3/keys/upload', { one_time_keys: { 'signed_curve25519:AAAA': key } })
    const claim = { one_time_keys: { [alice.userId]: { PHONE: 'signed_curve25519' } } }
    const ask = () => peer.request(server, 'POST', `${FEDERATION}/user/keys/claim`, claim)
    expect((await ask()).body).toEqual({ one_time_keys: { [alice.userId]: { PHONE: { 'signed_curve25519:AAAA': key } } } })
    expect((await ask()).body).toEqual({ one_time_keys: {} })
  })
})

describe('an OpenID token', () => {
  it('tells whose it is, to anybody', async () => {
    const { access_token: token } = await alice.post<{ access_token: string }>(
      `/_matrix/client/v3/user/${encodeURIComponent(alice.userId)}/openid/request_token`,
    )
    expect((await get(`/openid/userinfo?access_token=${token}`)).body).toEqual({ sub: alice.userId })
    expect((await get('/openid/userinfo?access_token=wrong')).status).toBe(401)
    expect((await get('/openid/userinfo')).status).toBe(401)
  })
})

describe('media', () => {
  it('come in two parts, thumbnails too', async () => {
    const { content_uri: uri } = await alice.request<{ content_uri: string }>('POST', '/_matrix/media/v3/upload', {
      rawBody: PNG,
      contentType: 'image/png',
      query: { filename: 'dot.png' },
    })
    const mediaId = uri.split('/').at(-1) ?? ''
    for (const path of [`/media/download/${mediaId}`, `/media/thumbnail/${mediaId}?width=32&height=32`]) {
      const { status, bytes, headers } = await get(path)
      expect(status).toBe(200)
      expect(Number(headers['content-length'])).toBe(bytes.length)
      const boundary = /^multipart\/mixed; boundary=(\w+)$/.exec(String(headers['content-type']))?.[1] ?? 'none'
      const parts = bytes.toString('latin1').split(`--${boundary}`)
      expect(parts).toHaveLength(4)
      expect(parts[1]).toBe('\r\nContent-Type: application/json\r\n\r\n{}\r\n')
      expect(parts[2]).toMatch(/^\r\nContent-Type: image\/(?:png|jpeg|webp)\r\nContent-Disposition: inline/)
      expect(parts[3]).toBe('--\r\n')
    }
    const { bytes } = await get(`/media/download/${mediaId}`)
    expect(bytes.includes(PNG)).toBe(true)
    expect((await get('/media/download/unknownmedia')).status).toBe(404)
  })
})
