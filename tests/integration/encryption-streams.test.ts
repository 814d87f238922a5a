import { randomBytes } from 'node:crypto'
import { expect, inject, test } from 'vitest'
import { parseDeviceId, parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import type { UserId } from '../../src/protocol/ids.ts'
import { DeviceKeyStore } from '../../src/services/encryption/device-key-store.ts'
import { DeviceLists } from '../../src/services/encryption/device-lists.ts'
import { KeyCounts } from '../../src/services/encryption/key-counts.ts'
import { RemoteKeys } from '../../src/services/encryption/remote-keys.ts'
import { Database } from '../../src/storage/database.ts'
import { insertDevice } from '../../src/storage/tables/devices.ts'
import { CacheInvalidation } from '../../src/streams/cache-invalidation.ts'
import { LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import type { StreamName, StreamPosition } from '../../src/streams/streams.ts'
import { systemClock } from '../../src/util/clock.ts'
import { makeOneTimeKeys } from '../kit/device-crypto.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'
import { startTestStreams } from '../kit/test-streams.ts'

const alice = parseUserId('@alice:test.example')
const bob = parseUserId('@bob:test.example')
const carol = parseUserId('@carol:test.example')
const device = { userId: alice, deviceId: parseDeviceId('PHONE') }

interface Process {
  readonly hub: StreamHub
  readonly keyCounts: KeyCounts
  readonly deviceLists: DeviceLists
  readonly deviceKeys: DeviceKeyStore
}

/** The encryption services as one process holds them. Alice shares rooms with herself and Bob. */
function makeProcess(database: Database, hub: StreamHub): Process {
  const committer = <Name extends StreamName>(stream: Name): LaneCommitter<Name> => new LaneCommitter({ database, hub, stream })
  const caches = committer('caches')
  const cacheInvalidation = new CacheInvalidation({ database, hub, committer: caches, clock: systemClock })
  const memberships = {
    getUsersSharingRooms: (userId: UserId) => Promise.resolve(new Set(userId === alice ? [alice, bob] : [userId])),
  }
  const deviceLists = new DeviceLists({ database, hub, committer: committer('device_lists'), memberships })
  const keyCounts = new KeyCounts({ database, hub, cacheInvalidation })
  const serverName = parseServerName('test.example')
  const remoteKeys = new RemoteKeys({
    database,
    requests: { request: () => Promise.reject(new Error('Nobody is asked')) },
    memberships: { getJoinedRooms: () => Promise.resolve([]) },
  })
  const keyStore = { database, committer: caches, deviceLists, keyCounts, clock: systemClock, serverName, remoteKeys }
  return {
    hub,
    keyCounts,
    deviceLists,
    deviceKeys: new DeviceKeyStore(keyStore),
  }
}

test('four processes that claim at once hand out every key once (P6)', async () => {
  const options = await createTestDatabase(inject('postgres'), `test_${randomBytes(6).toString('hex')}`)
  const databases = Array.from({ length: 4 }, () => new Database({ ...options, max: 4 }, { onError: () => undefined }))
  const hubs = databases.map(() => new StreamHub({ onError: () => undefined }))
  const processes = databases.map((database, index) => makeProcess(database, hubs[index] as StreamHub))
  const [first] = processes as [Process]
  await insertDevice(databases[0] as Database, { ...device, displayName: undefined, createdTsMs: 1 })
  await first.deviceKeys.upload(device, {
    one_time_keys: makeOneTimeKeys(
      alice,
      'PHONE',
      Array.from({ length: 200 }, (_, index) => index),
    ),
  })
  const claim = { ...device, algorithm: 'signed_curve25519' }
  const answers = await Promise.all(
    Array.from({ length: 240 }, (_, index) => (processes[index % 4] as Process).deviceKeys.claim([claim])),
  )
  const keys = answers.flat().map((key) => key.keyId)
  expect(keys).toHaveLength(200)
  expect(new Set(keys).size).toBe(200)
  hubs.forEach((hub) => hub.close())
  await Promise.all(databases.map((database) => database.close()))
  await dropTestDatabase(options, options.database)
})

test('counts follow every upload and claim, and say when the fallback key is used', async () => {
  await using streams = await startTestStreams()
  const { keyCounts, deviceKeys } = makeProcess(streams.database, streams.hub)
  await insertDevice(streams.database, { ...device, displayName: undefined, createdTsMs: 1 })
  expect(await keyCounts.get(device)).toEqual({ oneTimeKeyCounts: { signed_curve25519: 0 }, unusedFallbackKeyTypes: [] })
  const fallback = { fallback_keys: { 'signed_curve25519:f': { key: 'f', fallback: true, signatures: {} } } }
  await deviceKeys.upload(device, { one_time_keys: makeOneTimeKeys(alice, 'PHONE', [1]), ...fallback })
  expect(await keyCounts.get(device)).toEqual({
    oneTimeKeyCounts: { signed_curve25519: 1 },
    unusedFallbackKeyTypes: ['signed_curve25519'],
  })
  const claim = { ...device, algorithm: 'signed_curve25519' }
  await deviceKeys.claim([claim])
  expect(await keyCounts.get(device)).toEqual({
    oneTimeKeyCounts: { signed_curve25519: 0 },
    unusedFallbackKeyTypes: ['signed_curve25519'],
  })
  await deviceKeys.claim([claim])
  expect(await keyCounts.get(device)).toEqual({ oneTimeKeyCounts: { signed_curve25519: 0 }, unusedFallbackKeyTypes: [] })
  await deviceKeys.upload(device, fallback)
  expect((await keyCounts.get(device)).unusedFallbackKeyTypes).toEqual([])
  await deviceKeys.upload(device, { fallback_keys: { 'signed_curve25519:g': { key: 'g', fallback: true, signatures: {} } } })
  expect((await keyCounts.get(device)).unusedFallbackKeyTypes).toEqual(['signed_curve25519'])
})

test('changes of device lists are told to those who share a room, in their range, from memory and from the database', async () => {
  await using streams = await startTestStreams()
  const { deviceLists, hub } = makeProcess(streams.database, streams.hub)
  await deviceLists.start()
  const head = (): StreamPosition => hub.head('device_lists')
  const start = head()
  expect(deviceLists.hasChanges(start)).toBe(false)
  await deviceLists.markChanged(bob)
  const afterBob = head()
  await deviceLists.markChanged([carol, alice])
  const ask = (lists: DeviceLists, after: StreamPosition, upTo: StreamPosition): Promise<unknown> =>
    lists.getChanges({ userId: alice, after, upTo }).then(({ changed, left }) => ({ changed: changed.toSorted(), left }))
  expect(await ask(deviceLists, start, afterBob)).toEqual({ changed: [bob], left: [] })
  expect(await ask(deviceLists, start, head())).toEqual({ changed: [alice, bob], left: [] })
  expect(await ask(deviceLists, head(), head())).toEqual({ changed: [], left: [] })

  // Only the signer is told of a signature on somebody else's key.
  const beforeSignature = head()
  await deviceLists.commit([{ userId: carol, viewerId: alice }])
  expect(await ask(deviceLists, beforeSignature, head())).toEqual({ changed: [carol], left: [] })
  expect(await deviceLists.getChanges({ userId: bob, after: beforeSignature, upTo: head() })).toEqual({ changed: [], left: [] })

  const restarted = makeProcess(streams.database, new StreamHub({ onError: () => undefined }))
  restarted.hub.setHead('device_lists', 0, head())
  await restarted.deviceLists.start()
  expect(await ask(restarted.deviceLists, start, head())).toEqual({ changed: [alice, bob, carol], left: [] })
})

test('who began to share a room has changed; who shares none any more has left', async () => {
  await using streams = await startTestStreams()
  const { deviceLists } = makeProcess(streams.database, streams.hub)
  const range = { userId: alice, after: 0 as StreamPosition, upTo: 0 as StreamPosition }
  expect(await deviceLists.getChanges({ ...range, newlySharedUsers: [bob, carol], noLongerSharedUsers: [bob, carol] })).toEqual({
    changed: [bob],
    left: [carol],
  })
})
