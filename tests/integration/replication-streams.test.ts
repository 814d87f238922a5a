import { expect, it } from 'vitest'
import { ROW_CHECKS } from '../../src/replication/row-checks.ts'
import { parseDeviceId, parseEventId, parseRoomId, parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import { DeviceLists } from '../../src/services/encryption/device-lists.ts'
import { PresenceStates } from '../../src/services/ephemeral/presence-states.ts'
import { PresenceWriter } from '../../src/services/ephemeral/presence-writer.ts'
import { Receipts } from '../../src/services/ephemeral/receipts.ts'
import { Pushers } from '../../src/services/push/pushers.ts'
import { PushRules } from '../../src/services/push/push-rules.ts'
import { Memberships } from '../../src/services/rooms/memberships.ts'
import { ToDeviceInbox } from '../../src/services/to-device/to-device-inbox.ts'
import { AccountData } from '../../src/services/user-data/account-data.ts'
import { Profiles } from '../../src/services/user-data/profiles.ts'
import { insertMessages } from '../../src/storage/tables/device-inbox.ts'
import { insertDevice } from '../../src/storage/tables/devices.ts'
import { upsertReceipt } from '../../src/storage/tables/receipts.ts'
import { insertUser } from '../../src/storage/tables/users.ts'
import type { Database } from '../../src/storage/database.ts'
import { CacheInvalidation } from '../../src/streams/cache-invalidation.ts'
import { LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import { STREAM_NAMES, STREAMS } from '../../src/streams/streams.ts'
import type { StreamName } from '../../src/streams/streams.ts'
import { Background } from '../../src/util/background.ts'
import { systemClock } from '../../src/util/clock.ts'
import { startTestStreams } from '../kit/test-streams.ts'

const alice = parseUserId('@alice:test.example')
const bob = parseUserId('@bob:test.example')
const roomId = parseRoomId('!room:test.example')
const eventId = parseEventId('$event')
const device = { userId: alice, deviceId: parseDeviceId('PHONE') }

/** The services that write and read streams, as one process holds them. */
function makeServices(database: Database, hub: StreamHub) {
  const committer = <Name extends StreamName>(stream: Name): LaneCommitter<Name> => new LaneCommitter({ database, hub, stream })
  const base = { database, hub, clock: systemClock }
  const memberships = new Memberships({ database, hub })
  const accountData = new AccountData({ ...base, committer: committer('account_data') })
  const onError = (_name: string, error: unknown): never => {
    throw error
  }
  return {
    committer,
    accountData,
    caches: new CacheInvalidation({ ...base, committer: committer('caches') }),
    deviceLists: new DeviceLists({ ...base, committer: committer('device_lists'), memberships }),
    inbox: new ToDeviceInbox(base),
    presenceStates: new PresenceStates(base),
    presence: new PresenceWriter({ committer: committer('presence'), background: new Background({ onError }) }),
    pushers: new Pushers({ ...base, committer: committer('pushers'), sendsMails: false }),
    pushRules: new PushRules({ ...base, committer: committer('push_rules'), options: { hasLegacyMentions: true } }),
    receipts: new Receipts({ ...base, committer: committer('receipts'), memberships, markers: accountData }),
    profiles: new Profiles({
      ...base,
      committer: committer('profiles'),
      memberships,
      avatarPolicy: { isAllowedAvatar: () => Promise.resolve(true) },
      options: {
        serverName: parseServerName('test.example'),
        enableSetDisplayname: true,
        enableSetAvatarUrl: true,
        requireAuth: false,
        limitToUsersWhoShareRooms: false,
      },
    }),
  }
}

async function writeOfEach(database: Database, services: ReturnType<typeof makeServices>): Promise<void> {
  for (const userId of [alice, bob]) {
    const account = { passwordHash: undefined, createdTsMs: 1, isAdmin: false, isGuest: false }
    await insertUser(database, { ...account, userId, userType: undefined, appserviceId: undefined })
  }
  await insertDevice(database, { ...device, displayName: undefined, createdTsMs: 1 })
  const { accountData, caches, deviceLists, presence, pushers, pushRules, profiles, committer } = services
  await accountData.set({ userId: alice, roomId: undefined, type: 'm.direct', contentJson: '{}' })
  await accountData.set({ userId: alice, roomId, type: 'm.tag', contentJson: '{}' })
  await accountData.set({ userId: alice, roomId: undefined, type: 'gone', contentJson: '{}' })
  await accountData.delete({ userId: alice, roomId: undefined, type: 'gone' })
  await caches.forget('one', ['k', 'l'])
  await caches.forget('all', null)
  await deviceLists.markChanged([alice, bob])
  await deviceLists.commit([{ userId: bob, viewerId: alice }])
  await profiles.create(alice, 'Alice')
  await pushRules.setEnabled({ userId: alice, kind: 'override', ruleId: '.m.rule.master' }, true)
  const pusher = { appId: 'app', pushkey: 'key', kind: 'http', appDisplayName: 'a', deviceDisplayName: 'd', profileTag: '' }
  await pushers.set(
    { userId: alice, deviceId: undefined },
    { ...pusher, lang: 'en', data: { url: 'https://p.example' } },
    { isAppended: false },
  )
  presence.enqueue(alice, { state: 'online', statusMsg: 'here', lastActiveTsMs: 5, isCurrentlyActive: true })
  presence.enqueue(bob, { state: 'offline', statusMsg: undefined, lastActiveTsMs: 0, isCurrentlyActive: false })
  await presence.flush()
  const transaction = { userId: alice, senderDevice: 'D', txnId: 't', eventType: 'm.test', createdTsMs: 1 }
  await committer('to_device').commit({
    count: 1,
    write: (tx, index) => insertMessages(tx, index, transaction, [{ ...device, messageJson: '{}' }], []),
    rows: () => [device],
  })
  for (const threadId of ['', 'main', '$root']) {
    const row = { roomId, userId: alice, receiptType: 'm.read', threadId, eventId, receivedTsMs: 7, eventPosition: 3 }
    const told = { ...row, threadId: threadId === '' ? undefined : threadId }
    await committer('receipts').commit({
      count: 1,
      write: (tx, index) => upsertReceipt(tx, index, { ...row, notifyOrdinal: 1 }),
      rows: () => [told],
    })
  }
}

it('what a process tells of each stream is what another one reads from the database, and has the form that frames must have (ST-02…ST-12, RP-11)', async () => {
  await using streams = await startTestStreams()
  const services = makeServices(streams.database, streams.hub)
  const told = new Map<StreamName, Map<number, unknown>>()
  streams.hub.onCommit(({ stream, rows }) => {
    const ofStream = told.get(stream) ?? new Map<number, unknown>()
    for (const { position, row } of rows) ofStream.set(position, JSON.parse(JSON.stringify(row)))
    told.set(stream, ofStream)
  })
  await writeOfEach(streams.database, services)

  const errors: unknown[] = []
  const other = new StreamHub({ onError: (error) => errors.push(error) })
  makeServices(streams.database, other)
  // Events have a test of their own; typing is in no table; nobody writes subscriptions to threads yet.
  const tested = STREAM_NAMES.filter((name) => STREAMS[name].isPersistent && name !== 'events' && name !== 'thread_subscriptions')
  for (const stream of tested) {
    const read = new Map<number, unknown>()
    other.onRow(stream, (row, position) => {
      expect(ROW_CHECKS[stream](JSON.parse(JSON.stringify(row))), stream).toBe(true)
      read.set(position, JSON.parse(JSON.stringify(row)))
    })
    await other.catchUp(stream, 0, streams.hub.head(stream))
    expect(other.head(stream), stream).toBe(streams.hub.head(stream))
    const ofStream = told.get(stream) ?? new Map<number, unknown>()
    expect(ofStream.size, stream).toBeGreaterThan(0)
    // A row that was overwritten since stands at its newest position only.
    for (const [position, row] of read) expect(row, stream).toEqual(ofStream.get(position))
    for (const row of ofStream.values()) expect([...read.values()], stream).toContainEqual(row)
  }
  expect(errors).toEqual([])
  other.close()
})
