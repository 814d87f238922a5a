import { expect, test } from 'vitest'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { TestClient } from '../kit/client.ts'
import { ClientSigningKey, makeCrossSigningKey, makeDeviceKeys } from '../kit/device-crypto.ts'
import { TestServer } from '../kit/test-server.ts'

const DEVICE_SIGNING = '/_matrix/client/v3/keys/device_signing/upload'
const SIGNATURES = '/_matrix/client/v3/keys/signatures/upload'

type QueryAnswer = Record<string, Record<string, JsonObject>>
type Failures = { failures: Record<string, Record<string, { errcode: string }>> }

/** A user's three keys, and the body that uploads them. */
class Identity {
  readonly master = new ClientSigningKey()
  readonly selfSigning = new ClientSigningKey()
  readonly userSigning = new ClientSigningKey()
  readonly masterJson: JsonObject
  readonly body: Record<string, JsonObject>

  constructor(userId: string) {
    this.masterJson = makeCrossSigningKey(userId, 'master', this.master)
    this.body = {
      master_key: this.masterJson,
      self_signing_key: this.master.sign(makeCrossSigningKey(userId, 'self_signing', this.selfSigning), userId),
      user_signing_key: this.master.sign(makeCrossSigningKey(userId, 'user_signing', this.userSigning), userId),
    }
  }
}

async function query(viewer: TestClient, target: TestClient): Promise<QueryAnswer> {
  return viewer.post<QueryAnswer>('/_matrix/client/v3/keys/query', { device_keys: { [target.userId]: [] } })
}

test('cross-signing keys are uploaded once without, then only with the password (MSC3967)', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { password: 'secret' })
  const bob = await server.register('bob')
  const { body } = new Identity(alice.userId)
  await alice.post(DEVICE_SIGNING, body)
  await alice.post(DEVICE_SIGNING, body)
  const seen = await query(alice, alice)
  expect(seen['master_keys']).toEqual({ [alice.userId]: body['master_key'] })
  expect(seen['self_signing_keys']).toEqual({ [alice.userId]: body['self_signing_key'] })
  expect(seen['user_signing_keys']).toEqual({ [alice.userId]: body['user_signing_key'] })
  expect((await query(bob, alice))['user_signing_keys']).toEqual({})
  const next = new Identity(alice.userId)
  const first = await alice.request<{ session: string }>('POST', DEVICE_SIGNING, { body: next.body, expect: 401 })
  const auth = {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'alice' },
    password: 'secret',
    session: first.session,
  }
  await alice.post(DEVICE_SIGNING, { ...next.body, auth })
  expect((await query(bob, alice))['master_keys']).toEqual({ [alice.userId]: next.masterJson })
})

test('cross-signing keys that are malformed or not signed by the master key are refused', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice', { deviceId: 'PHONE' })
  const identity = new Identity(alice.userId)
  const unsigned = makeCrossSigningKey(alice.userId, 'self_signing', identity.selfSigning)
  const refused = (errcode: string, body: object, status = 400): Promise<unknown> =>
    alice.fails(status, errcode, 'POST', DEVICE_SIGNING, { body })
  await refused('M_MISSING_PARAM', { self_signing_key: identity.body['self_signing_key'] })
  await refused('M_INVALID_SIGNATURE', { master_key: identity.masterJson, self_signing_key: unsigned })
  await refused('M_INVALID_SIGNATURE', {
    ...identity.body,
    self_signing_key: new ClientSigningKey().sign(unsigned, alice.userId, identity.master.publicKey),
  })
  await refused('M_INVALID_PARAM', { master_key: { ...identity.masterJson, user_id: '@bob:test.example' } })
  await refused('M_INVALID_PARAM', { master_key: { ...identity.masterJson, usage: ['self_signing'] } })
  await refused('M_INVALID_PARAM', { master_key: { ...identity.masterJson, keys: { 'ed25519:abc': 'abc' } } })
  await alice.loginAgain({ deviceId: identity.master.publicKey })
  await refused('M_FORBIDDEN', identity.body, 403)
})

test('signatures on devices and master keys are merged for those who may see them', async () => {
  await using server = await TestServer.start()
  const [alice, bob, carol] = [await server.register('alice'), await server.register('bob'), await server.register('carol')]
  const [ofAlice, ofBob] = [new Identity(alice.userId), new Identity(bob.userId)]
  await alice.post(DEVICE_SIGNING, ofAlice.body)
  await bob.post(DEVICE_SIGNING, ofBob.body)
  const deviceKey = new ClientSigningKey()
  const device = makeDeviceKeys(alice, deviceKey)
  await alice.post('/_matrix/client/v3/keys/upload', { device_keys: device })

  const bare = { ...device, signatures: {} }
  const upload = {
    [alice.userId]: {
      [alice.deviceId]: ofAlice.selfSigning.sign(bare, alice.userId),
      [ofAlice.master.publicKey]: deviceKey.sign(ofAlice.masterJson, alice.userId, alice.deviceId),
    },
    [bob.userId]: { [ofBob.master.publicKey]: ofAlice.userSigning.sign(ofBob.masterJson, alice.userId) },
  }
  expect(await alice.post<Failures>(SIGNATURES, upload)).toEqual({ failures: {} })
  expect(await alice.post<Failures>(SIGNATURES, upload)).toEqual({ failures: {} })

  const seenByCarol = await query(carol, alice)
  expect(seenByCarol['device_keys']?.[alice.userId]).toMatchObject({
    [alice.deviceId]: {
      signatures: {
        [alice.userId]: {
          [`ed25519:${alice.deviceId}`]: expect.any(String) as string,
          [`ed25519:${ofAlice.selfSigning.publicKey}`]: expect.any(String) as string,
        },
      },
    },
  })
  expect(seenByCarol['master_keys']?.[alice.userId]?.['signatures']).toEqual({
    [alice.userId]: { [`ed25519:${alice.deviceId}`]: expect.any(String) as string },
  })
  expect((await query(carol, bob))['master_keys']?.[bob.userId]?.['signatures']).toBeUndefined()
  expect((await query(alice, bob))['master_keys']?.[bob.userId]?.['signatures']).toEqual({
    [alice.userId]: { [`ed25519:${ofAlice.userSigning.publicKey}`]: expect.any(String) as string },
  })

  // New device keys are not what was signed.
  await alice.post('/_matrix/client/v3/keys/upload', { device_keys: makeDeviceKeys(alice, new ClientSigningKey()) })
  const again = (await query(carol, alice))['device_keys']?.[alice.userId]?.[alice.deviceId] as JsonObject
  expect(Object.keys((again['signatures'] as Record<string, JsonObject>)[alice.userId] ?? {})).toEqual([
    `ed25519:${alice.deviceId}`,
  ])
})

test('signatures that can not be taken are named in failures', async () => {
  await using server = await TestServer.start()
  const [alice, bob] = [await server.register('alice'), await server.register('bob')]
  const device = makeDeviceKeys(alice, new ClientSigningKey())
  await alice.post('/_matrix/client/v3/keys/upload', { device_keys: device })
  const identity = new Identity(alice.userId)
  const errcodes = async (body: object): Promise<unknown> => {
    const { failures } = await alice.post<Failures>(SIGNATURES, body)
    return Object.fromEntries(
      Object.entries(failures).map(([user, keys]) => [user, Object.values(keys).map((failure) => failure.errcode)]),
    )
  }
  const signed = identity.selfSigning.sign({ ...device, signatures: {} }, alice.userId)
  expect(await errcodes({ [alice.userId]: { [alice.deviceId]: signed } })).toEqual({ [alice.userId]: ['M_NOT_FOUND'] })
  await alice.post(DEVICE_SIGNING, identity.body)
  const wrong = {
    [alice.userId]: {
      [alice.deviceId]: { ...signed, algorithms: [] },
      OTHER: signed,
      [identity.master.publicKey]: new ClientSigningKey().sign(identity.masterJson, alice.userId, alice.deviceId),
      unsigned: device,
    },
    [bob.userId]: { some: identity.userSigning.sign(device, alice.userId) },
    'no user': { some: {} },
  }
  expect(await errcodes(wrong)).toEqual({
    [alice.userId]: ['M_INVALID_SIGNATURE', 'M_NOT_FOUND', 'M_INVALID_SIGNATURE', 'M_NOT_FOUND'],
    [bob.userId]: ['M_NOT_FOUND'],
    'no user': ['M_NOT_FOUND'],
  })
  await alice.fails(400, 'M_BAD_JSON', 'POST', SIGNATURES, { body: { [alice.userId]: [] } })
  await alice.fails(400, 'M_BAD_JSON', 'POST', SIGNATURES, { body: { [alice.userId]: { [alice.deviceId]: 'x' } } })
})
