import { expect, test } from 'vitest'
import type { TestClient } from '../../kit/client.ts'
import { TestServer } from '../../kit/test-server.ts'

interface Claimed {
  readonly one_time_keys: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>
}

function signedKey(owner: TestClient, name: string, isFallback = false): Record<string, unknown> {
  const signatures = { [owner.userId]: { [`ed25519:${owner.deviceId}`]: 'c2lnbmF0dXJl' } }
  return {
    key: Buffer.from(name.padEnd(32, '.')).toString('base64').replaceAll('=', ''),
    signatures,
    ...(isFallback ? { fallback: true } : {}),
  }
}

async function upload(owner: TestClient, names: readonly string[]): Promise<void> {
  const keys = Object.fromEntries(names.map((name) => [`signed_curve25519:${name}`, signedKey(owner, name)]))
  await owner.post('/_matrix/client/v3/keys/upload', { one_time_keys: keys })
}

/** Claims one key and returns its name. */
async function claim(by: TestClient, owner: TestClient): Promise<string | undefined> {
  const body = { one_time_keys: { [owner.userId]: { [owner.deviceId]: 'signed_curve25519' } } }
  const answer = await by.post<Claimed>('/_matrix/client/v3/keys/claim', body)
  const [keyId] = Object.keys(answer.one_time_keys[owner.userId]?.[owner.deviceId] ?? {})
  return keyId?.slice('signed_curve25519:'.length)
}

test('P6: many claims at once never hand out a key twice, and nothing is left over', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const claimers = await Promise.all(['bob', 'carol', 'dave', 'erin'].map((name) => server.register(name)))
  const names = Array.from({ length: 60 }, (_, index) => `K${index}`)
  await upload(alice, names)
  const claimed = await Promise.all(
    Array.from({ length: 80 }, (_, index) => claim(claimers[index % claimers.length] ?? alice, alice)),
  )
  const given = claimed.filter((name) => name !== undefined)
  expect(given.toSorted()).toEqual(names.toSorted())
  expect((await alice.sync()).device_one_time_keys_count?.['signed_curve25519']).toBe(0)
})

test('P6: keys are handed out in the order of their upload', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  await upload(alice, ['z1'])
  await upload(alice, ['m2'])
  await upload(alice, ['a3'])
  expect([await claim(bob, alice), await claim(bob, alice), await claim(bob, alice)]).toEqual(['z1', 'm2', 'a3'])
})

test('P6: the count is told down to 0, then the fallback key serves, as often as needed', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  await upload(alice, ['only'])
  await alice.post('/_matrix/client/v3/keys/upload', { fallback_keys: { 'signed_curve25519:F': signedKey(alice, 'F', true) } })
  const before = await alice.sync()
  expect(before.device_one_time_keys_count?.['signed_curve25519']).toBe(1)
  expect(before.device_unused_fallback_key_types).toContain('signed_curve25519')
  expect(await claim(bob, alice)).toBe('only')
  const [after] = (
    await alice.syncUntil((response) => response.device_one_time_keys_count?.['signed_curve25519'] === 0, {
      since: before.next_batch,
    })
  ).slice(-1)
  expect(after?.device_unused_fallback_key_types).toContain('signed_curve25519')
  expect([await claim(bob, alice), await claim(bob, alice)]).toEqual(['F', 'F'])
  expect((await alice.sync()).device_unused_fallback_key_types).not.toContain('signed_curve25519')
})

test('P6: a key uploaded again is the same key; another one under its name is refused', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  await upload(alice, ['A'])
  await upload(alice, ['A'])
  const other = { 'signed_curve25519:A': signedKey(alice, 'another') }
  await alice.request('POST', '/_matrix/client/v3/keys/upload', { body: { one_time_keys: other }, expect: 400 })
  expect((await alice.sync()).device_one_time_keys_count?.['signed_curve25519']).toBe(1)
})
