import { expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { ClientSigningKey, makeDeviceKeys, makeOneTimeKeys } from '../kit/device-crypto.ts'
import { TestServer } from '../kit/test-server.ts'

const PATH = '/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device'

interface Events {
  events: { content: unknown }[]
  next_batch?: string
}

function dehydrated(client: TestClient, deviceId: string): Record<string, unknown> {
  return {
    device_id: deviceId,
    device_data: { algorithm: 'm.dehydration.v2', device_pickle: 'abc' },
    initial_device_display_name: 'Asleep',
    device_keys: makeDeviceKeys({ userId: client.userId, deviceId }, new ClientSigningKey()),
    one_time_keys: makeOneTimeKeys(client.userId, deviceId, [1]),
    fallback_keys: { 'signed_curve25519:f': { key: 'f', fallback: true, signatures: {} } },
  }
}

test('a dehydrated device has keys, collects messages, and goes when it is replaced or deleted (MSC3814)', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const bob = await server.register('bob')
  await alice.fails(404, 'M_NOT_FOUND', 'GET', PATH)
  expect(await alice.put(PATH, dehydrated(alice, 'SLEEPER'))).toEqual({ device_id: 'SLEEPER' })
  expect(await alice.get(PATH)).toEqual({
    device_id: 'SLEEPER',
    device_data: { algorithm: 'm.dehydration.v2', device_pickle: 'abc' },
  })
  const query = { device_keys: { [alice.userId]: [] } }
  expect(await bob.post('/_matrix/client/v3/keys/query', query)).toMatchObject({
    device_keys: { [alice.userId]: { SLEEPER: { device_id: 'SLEEPER' } } },
  })
  const claim = { one_time_keys: { [alice.userId]: { SLEEPER: 'signed_curve25519' } } }
  expect(await bob.post('/_matrix/client/v3/keys/claim', claim)).toMatchObject({
    one_time_keys: { [alice.userId]: { SLEEPER: {} } },
  })

  for (let n = 0; n < 3; n++) {
    await bob.put(`/_matrix/client/v3/sendToDevice/m.test/t${n}`, { messages: { [alice.userId]: { SLEEPER: { n } } } })
  }
  const first = await alice.get<Events>(`${PATH}/SLEEPER/events`, { query: { limit: 2 } })
  expect(first.events.map((event) => event.content)).toEqual([{ n: 0 }, { n: 1 }])
  const second = await alice.get<Events>(`${PATH}/SLEEPER/events`, { query: { from: first.next_batch } })
  expect(second.events.map((event) => event.content)).toEqual([{ n: 2 }])
  expect(second.next_batch).toBeUndefined()
  const posted = await alice.post<Events>(`${PATH}/SLEEPER/events`, { next_batch: first.next_batch })
  expect(posted.events).toHaveLength(1)
  expect(await alice.post<Events>(`${PATH}/SLEEPER/events`, { next_batch: posted.next_batch })).toEqual({
    events: [],
    next_batch: posted.next_batch,
  })
  await alice.fails(403, 'M_FORBIDDEN', 'GET', `${PATH}/OTHER/events`)
  await alice.fails(400, 'M_INVALID_PARAM', 'GET', `${PATH}/SLEEPER/events`, { query: { from: 'x' } })

  await alice.put(PATH, dehydrated(alice, 'SECOND'))
  const { devices } = await alice.get<{ devices: { device_id: string }[] }>('/_matrix/client/v3/devices')
  expect(devices.map((device) => device.device_id).toSorted()).toEqual([alice.deviceId, 'SECOND'].toSorted())
  expect(await alice.delete(PATH)).toEqual({ device_id: 'SECOND' })
  await alice.fails(404, 'M_NOT_FOUND', 'DELETE', PATH)
  expect(await bob.post('/_matrix/client/v3/keys/query', query)).toMatchObject({ device_keys: { [alice.userId]: {} } })
})

test('a dehydrated device needs keys and an id that no other device has', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const { device_keys: _deviceKeys, ...incomplete } = dehydrated(alice, 'SLEEPER')
  await alice.fails(400, 'M_MISSING_PARAM', 'PUT', PATH, { body: incomplete })
  await alice.fails(400, 'M_INVALID_PARAM', 'PUT', PATH, { body: dehydrated(alice, alice.deviceId) })
  await alice.fails(400, 'M_BAD_JSON', 'PUT', PATH, { body: { ...dehydrated(alice, 'A'), device_id: 'B' } })
})
