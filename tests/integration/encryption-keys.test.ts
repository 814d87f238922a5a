import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { TestClient } from '../kit/client.ts'
import { ClientSigningKey, makeDeviceKeys, makeOneTimeKeys } from '../kit/device-crypto.ts'
import { TestServer } from '../kit/test-server.ts'

const UPLOAD = '/_matrix/client/v3/keys/upload'
const QUERY = '/_matrix/client/v3/keys/query'
const CLAIM = '/_matrix/client/v3/keys/claim'

type Claimed = { one_time_keys: Record<string, Record<string, Record<string, JsonObject>>>; failures: Record<string, unknown> }

async function claimOne(client: TestClient, target: TestClient): Promise<string | undefined> {
  const body = { one_time_keys: { [target.userId]: { [target.deviceId]: 'signed_curve25519' } } }
  const { one_time_keys: keys } = await client.post<Claimed>(CLAIM, body)
  return Object.keys(keys[target.userId]?.[target.deviceId] ?? {})[0]
}

async function upload(client: TestClient, body: Record<string, unknown>): Promise<Record<string, number>> {
  return (await client.post<{ one_time_key_counts: Record<string, number> }>(UPLOAD, body)).one_time_key_counts
}

test('device keys are stored and handed out with the name of the device', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { deviceId: 'PHONE', body: { initial_device_display_name: 'Phone' } })
  const bob = await server.register('bob')
  const deviceKeys = makeDeviceKeys(alice, new ClientSigningKey())
  expect(await upload(alice, { device_keys: deviceKeys })).toEqual({ signed_curve25519: 0 })
  const wanted = {
    [alice.userId]: [],
    [bob.userId]: [],
    '@nobody:test.example': [],
    '@carol:elsewhere.example': [],
    'not a user': [],
  }
  const answer = await bob.post<Record<string, JsonObject>>(QUERY, { device_keys: wanted })
  expect(answer['device_keys']).toEqual({
    [alice.userId]: { PHONE: { ...deviceKeys, unsigned: { device_display_name: 'Phone' } } },
    [bob.userId]: {},
  })
  expect(Object.keys(answer['failures'] ?? {})).toEqual(['elsewhere.example'])
  const other = await bob.post<Record<string, JsonObject>>(QUERY, { device_keys: { [alice.userId]: ['OTHER'] } })
  expect(other['device_keys']).toEqual({ [alice.userId]: {} })
})

test('device keys of another user or device, and malformed ones, are refused', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const key = new ClientSigningKey()
  for (const body of [
    { device_keys: makeDeviceKeys(bob, key) },
    { device_keys: makeDeviceKeys({ ...alice, userId: alice.userId, deviceId: 'OTHER' }, key) },
    { device_keys: { user_id: alice.userId, device_id: alice.deviceId } },
    { device_keys: null },
    { one_time_keys: { no_colon: 'x' } },
    { one_time_keys: { 'a:b:c': 'x' } },
    { one_time_keys: { 'a:b': 5 } },
    { one_time_keys: { 'a:b': { key: 'x' } } },
    { one_time_keys: [] },
  ]) {
    await alice.fails(400, 'M_BAD_JSON', 'POST', UPLOAD, { body })
  }
  await alice.fails(400, 'M_INVALID_PARAM', 'POST', UPLOAD, { body: { one_time_keys: { 'a\u0000:b': 'x' } } })
  await alice.fails(400, 'M_BAD_JSON', 'POST', QUERY, { body: { device_keys: { [bob.userId]: { device: true } } } })
  await alice.fails(400, 'M_MISSING_PARAM', 'POST', QUERY, { body: {} })
})

test('the same one-time keys may be uploaded again, another value under the same id may not', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const keys = (numbers: number[], value?: string): object => ({
    one_time_keys: makeOneTimeKeys(alice.userId, alice.deviceId, numbers, value),
  })
  expect(await upload(alice, { ...keys([1, 2, 3]) })).toEqual({ signed_curve25519: 3 })
  expect(await upload(alice, { ...keys([2, 3, 4]) })).toEqual({ signed_curve25519: 4 })
  await alice.fails(400, 'M_INVALID_PARAM', 'POST', UPLOAD, { body: { ...keys([4, 5], 'other') } })
  expect(await upload(alice, {})).toEqual({ signed_curve25519: 4 })
})

test('one-time keys are claimed once, oldest upload first, then the fallback key', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  await upload(alice, { one_time_keys: makeOneTimeKeys(alice.userId, alice.deviceId, [2]) })
  const fallback = { key: 'f', fallback: true, signatures: {} }
  await upload(alice, {
    one_time_keys: makeOneTimeKeys(alice.userId, alice.deviceId, [1]),
    fallback_keys: { 'signed_curve25519:f': fallback },
  })
  const claims: (string | undefined)[] = []
  for (let count = 0; count < 4; count++) claims.push(await claimOne(bob, alice))
  expect(claims).toEqual(['signed_curve25519:2', 'signed_curve25519:1', 'signed_curve25519:f', 'signed_curve25519:f'])
  expect(await upload(alice, {})).toEqual({ signed_curve25519: 0 })
  const nothing = {
    [alice.userId]: { OTHER: 'signed_curve25519' },
    '@nobody:test.example': { A: 'x' },
    '@c:elsewhere.example': { A: 'x' },
  }
  const answer = await bob.post<Claimed>(CLAIM, { one_time_keys: nothing })
  expect(answer.one_time_keys).toEqual({})
  expect(Object.keys(answer.failures)).toEqual(['elsewhere.example'])
})

test('a key that was claimed does not come back when its upload is repeated (P6)', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const body = { one_time_keys: makeOneTimeKeys(alice.userId, alice.deviceId, [1, 2]) }
  await upload(alice, body)
  expect(await claimOne(bob, alice)).toBe('signed_curve25519:1')
  expect(await upload(alice, body)).toEqual({ signed_curve25519: 1 })
  expect(await claimOne(bob, alice)).toBe('signed_curve25519:2')
  expect(await claimOne(bob, alice)).toBeUndefined()
})

test('parallel claims never get the same key (P6)', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  await upload(alice, {
    one_time_keys: makeOneTimeKeys(
      alice.userId,
      alice.deviceId,
      Array.from({ length: 60 }, (_, index) => index),
    ),
  })
  const claims = await Promise.all(Array.from({ length: 80 }, () => claimOne(bob, alice)))
  const keys = claims.filter((key) => key !== undefined)
  expect(keys).toHaveLength(60)
  expect(new Set(keys).size).toBe(60)
})

test('keys and counts go with the device', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  const second = await alice.loginAgain({ deviceId: 'SECOND' })
  const body = {
    device_keys: makeDeviceKeys(second, new ClientSigningKey()),
    one_time_keys: makeOneTimeKeys(second.userId, 'SECOND', [1, 2]),
  }
  await upload(second, body)
  await second.post('/_matrix/client/v3/logout')
  const answer = await bob.post<Record<string, JsonObject>>(QUERY, { device_keys: { [alice.userId]: [] } })
  expect(answer['device_keys']).toEqual({ [alice.userId]: {} })
  expect(await claimOne(bob, second)).toBeUndefined()
  expect(await upload(await alice.loginAgain({ deviceId: 'SECOND' }), {})).toEqual({ signed_curve25519: 0 })
})

test('changes of keys are told from a token on; a malformed token is refused', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const query = { from: 's0_0_0_0_0_0_0_0_0_0_0_0_0_0', to: 's0_0' }
  await upload(alice, { device_keys: makeDeviceKeys(alice, new ClientSigningKey()) })
  expect(await alice.get('/_matrix/client/v3/keys/changes', { query })).toEqual({ changed: [alice.userId], left: [] })
  await alice.fails(400, 'M_INVALID_PARAM', 'GET', '/_matrix/client/v3/keys/changes', { query: { ...query, from: 'x' } })
  await alice.fails(400, 'M_MISSING_PARAM', 'GET', '/_matrix/client/v3/keys/changes', { query: { from: 's0' } })
})
