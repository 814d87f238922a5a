import { describe, expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const VERSION = '/_matrix/client/v3/room_keys/version'
const KEYS = '/_matrix/client/v3/room_keys/keys'
const ROOM = '!foo:test.example'
const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2'

interface State {
  etag: string
  count: number
}

function session(isVerified: boolean, firstMessageIndex: number, forwardedCount: number): Record<string, unknown> {
  const sessionData = { ciphertext: `${isVerified} ${firstMessageIndex} ${forwardedCount} \u0000` }
  return {
    is_verified: isVerified,
    first_message_index: firstMessageIndex,
    forwarded_count: forwardedCount,
    session_data: sessionData,
  }
}

async function createBackup(client: TestClient): Promise<string> {
  return (await client.post<{ version: string }>(VERSION, { algorithm: ALGORITHM, auth_data: { public_key: 'abc' } })).version
}

function keyPath(sessionId: string): string {
  return `${KEYS}/${encodeURIComponent(ROOM)}/${encodeURIComponent(sessionId)}`
}

describe('key backup', () => {
  test('versions are made, described, changed and deleted; the newest is the current one', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    await alice.fails(404, 'M_NOT_FOUND', 'GET', VERSION)
    const first = await createBackup(alice)
    const second = await createBackup(alice)
    expect(second).not.toBe(first)
    const description = { algorithm: ALGORITHM, auth_data: { public_key: 'abc' }, count: 0, etag: '0', version: second }
    expect(await alice.get(VERSION)).toEqual(description)
    await alice.put(`${VERSION}/${second}`, { algorithm: ALGORITHM, auth_data: { public_key: 'def' }, version: second })
    expect(await alice.get(`${VERSION}/${second}`)).toEqual({ ...description, auth_data: { public_key: 'def' } })
    const update = { algorithm: ALGORITHM, auth_data: {} }
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', `${VERSION}/${second}`, { body: { ...update, version: first } })
    await alice.fails(400, 'M_INVALID_PARAM', 'PUT', `${VERSION}/${second}`, { body: { ...update, algorithm: 'other' } })
    await alice.fails(404, 'M_NOT_FOUND', 'PUT', `${VERSION}/99`, { body: update })
    await alice.delete(`${VERSION}/${second}`)
    await alice.delete(`${VERSION}/${second}`)
    expect(await alice.get(VERSION)).toMatchObject({ version: first })
    await alice.fails(404, 'M_NOT_FOUND', 'GET', `${VERSION}/${second}`)
    await alice.fails(404, 'M_NOT_FOUND', 'DELETE', `${VERSION}/99`)
    await alice.fails(404, 'M_NOT_FOUND', 'DELETE', `${VERSION}/abc`)
    expect([first, second]).not.toContain(await createBackup(alice))
  })

  test('keys are stored, counted, read and deleted one by one, by room and all at once', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const query = { version: await createBackup(alice) }
    const rooms = {
      [ROOM]: { sessions: { a: session(false, 1, 1), b: session(true, 2, 0) } },
      '!bar:test.example': { sessions: { c: session(true, 0, 0) } },
    }
    expect(await alice.get(KEYS, { query })).toEqual({ rooms: {} })
    const { etag, count } = await alice.put<State>(KEYS, { rooms }, { query })
    expect(count).toBe(3)
    expect(await alice.put<State>(KEYS, { rooms }, { query })).toEqual({ etag, count })
    expect(await alice.get(VERSION)).toMatchObject({ etag, count })
    expect(await alice.get(KEYS, { query })).toEqual({ rooms })
    expect(await alice.get(`${KEYS}/${encodeURIComponent(ROOM)}`, { query })).toEqual(rooms[ROOM])
    expect(await alice.get(keyPath('b'), { query })).toEqual(session(true, 2, 0))
    await alice.fails(404, 'M_NOT_FOUND', 'GET', keyPath('z'), { query })
    expect(await alice.get(`${KEYS}/!other:test.example`, { query })).toEqual({ sessions: {} })
    const deleted = await alice.delete<State>(keyPath('a'), { query })
    expect(deleted.count).toBe(2)
    expect(deleted.etag).not.toBe(etag)
    expect((await alice.delete<State>(`${KEYS}/${encodeURIComponent(ROOM)}`, { query })).count).toBe(1)
    expect((await alice.put<State>(`${KEYS}/${encodeURIComponent(ROOM)}`, rooms[ROOM], { query })).count).toBe(3)
    expect((await alice.delete<State>(KEYS, { query })).count).toBe(0)
  })

  test('keys go into the current version only', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const body = session(false, 1, 1)
    await alice.fails(404, 'M_NOT_FOUND', 'PUT', keyPath('a'), { body, query: { version: '1' } })
    const first = await createBackup(alice)
    await alice.put(keyPath('a'), body, { query: { version: first } })
    const second = await createBackup(alice)
    const error = await alice.fails(403, 'M_WRONG_ROOM_KEYS_VERSION', 'PUT', keyPath('a'), { body, query: { version: first } })
    expect(error['current_version']).toBe(second)
    expect(await alice.get(keyPath('a'), { query: { version: first } })).toEqual(body)
    await alice.fails(404, 'M_NOT_FOUND', 'GET', KEYS, { query: { version: '99' } })
    await alice.fails(400, 'M_MISSING_PARAM', 'GET', KEYS)
    for (const wrong of [
      { ...body, is_verified: 'yes' },
      { ...body, first_message_index: -1 },
      { ...body, forwarded_count: 1.5 },
    ]) {
      await alice.fails(400, 'M_INVALID_PARAM', 'PUT', keyPath('a'), { body: wrong, query: { version: second } })
    }
    const { session_data: _sessionData, ...incomplete } = body
    await alice.fails(400, 'M_MISSING_PARAM', 'PUT', keyPath('a'), { body: incomplete, query: { version: second } })
  })

  test('a key gives way to a verified one, then to a lower index, then to a lower forwarded count, and to no other', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const query = { version: await createBackup(alice) }
    const steps: [Record<string, unknown>, boolean][] = [
      [session(false, 10, 5), true],
      [session(false, 11, 4), false],
      [session(false, 10, 6), false],
      [session(false, 10, 4), true],
      [session(false, 9, 9), true],
      [session(true, 20, 20), true],
      [session(false, 1, 1), false],
      [session(true, 20, 21), false],
      [session(true, 21, 1), false],
      [session(true, 19, 30), true],
    ]
    let held: Record<string, unknown> = {}
    let etag = ''
    for (const [body, isTaken] of steps) {
      const state = await alice.put<State>(keyPath('a'), body, { query })
      expect(state.count).toBe(1)
      expect(state.etag === etag).toBe(!isTaken)
      etag = state.etag
      if (isTaken) held = body
      expect(await alice.get(keyPath('a'), { query })).toEqual(held)
    }
  })

  test('a large backup comes whole, and counts stay right when many put at once', async () => {
    await using server = await TestServer.start()
    const alice = await server.register('alice')
    const query = { version: await createBackup(alice) }
    const put = (room: number, from: number): Promise<State> => {
      const sessions = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`s${from + index}`, session(false, 1, 1)]))
      return alice.put<State>(`${KEYS}/!r${room}:test.example`, { sessions }, { query })
    }
    await Promise.all([put(1, 0), put(1, 200), put(2, 0), put(2, 400), put(3, 0)])
    const { rooms } = await alice.get<{ rooms: Record<string, { sessions: Record<string, unknown> }> }>(KEYS, { query })
    expect(Object.values(rooms).map((room) => Object.keys(room.sessions).length)).toEqual([600, 800, 400])
    expect(await alice.get(VERSION)).toMatchObject({ count: 1800 })
  })
})
