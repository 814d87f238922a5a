import { describe, expect, it } from 'vitest'
import { RateLimiter } from '../../src/http/rate-limiter.ts'
import { parseRoomId, parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import type { Requester } from '../../src/services/accounts/requester.ts'
import { PresenceOwner } from '../../src/services/ephemeral/presence-owner.ts'
import { PresenceStates } from '../../src/services/ephemeral/presence-states.ts'
import { Presence } from '../../src/services/ephemeral/presence.ts'
import { TypingLists } from '../../src/services/ephemeral/typing-lists.ts'
import { TypingOwner } from '../../src/services/ephemeral/typing-owner.ts'
import { Typing } from '../../src/services/ephemeral/typing.ts'
import { AccountData } from '../../src/services/user-data/account-data.ts'
import { FilterStore } from '../../src/services/user-data/filter-store.ts'
import { Profiles } from '../../src/services/user-data/profiles.ts'
import type { ProfileOptions } from '../../src/services/user-data/profiles.ts'
import { Tags } from '../../src/services/user-data/tags.ts'
import { insertUser } from '../../src/storage/tables/users.ts'
import type { StreamPosition } from '../../src/streams/streams.ts'
import { Background } from '../../src/util/background.ts'
import { startTestStreams } from '../kit/test-streams.ts'
import type { TestStreams } from '../kit/test-streams.ts'

const alice = parseUserId('@alice:test.example')
const bob = parseUserId('@bob:test.example')
const room = parseRoomId('!room:test.example')
const START = 0 as StreamPosition

function startAccountData(streams: TestStreams): AccountData {
  const accountData = new AccountData({
    database: streams.database,
    hub: streams.hub,
    committer: streams.committer('account_data'),
  })
  accountData.start()
  return accountData
}

const requester: Requester = {
  userId: alice,
  deviceId: undefined,
  accessTokenId: 1,
  isGuest: false,
  isAdmin: false,
  isSuspended: false,
  isShadowBanned: false,
  isRateLimited: true,
}

async function startProfiles(streams: TestStreams, options: Partial<ProfileOptions> = {}): Promise<Profiles> {
  for (const userId of [alice, bob]) {
    const account = {
      userId,
      passwordHash: undefined,
      createdTsMs: 1,
      isAdmin: false,
      isGuest: false,
      userType: undefined,
      appserviceId: undefined,
    }
    await insertUser(streams.database, account)
  }
  return new Profiles({
    database: streams.database,
    hub: streams.hub,
    committer: streams.committer('profiles'),
    memberships: { sharesRoom: (userId, otherId) => Promise.resolve(userId === otherId) },
    avatarPolicy: { isAllowedAvatar: (uri) => Promise.resolve(uri !== 'mxc://test.example/huge') },
    options: {
      serverName: parseServerName('test.example'),
      enableSetDisplayname: true,
      enableSetAvatarUrl: true,
      requireAuth: false,
      limitToUsersWhoShareRooms: false,
      ...options,
    },
  })
}

describe('account data', () => {
  it('gives what was set, tells what changed since a position, and forgets what was deleted', async () => {
    await using streams = await startTestStreams()
    const accountData = startAccountData(streams)
    const first = await accountData.set({ userId: alice, roomId: undefined, type: 'a.b', contentJson: '{"n":"\\u0000"}' })
    await accountData.set({ userId: alice, roomId: room, type: 'a.b', contentJson: '{"n":2}' })
    await accountData.set({ userId: bob, roomId: undefined, type: 'a.b', contentJson: '{"n":3}' })
    expect(await accountData.get(alice, 'a.b')).toBe('{"n":"\\u0000"}')
    expect(await accountData.getForRoom(alice, room, 'a.b')).toBe('{"n":2}')
    expect(accountData.hasChanged(alice, streams.hub.head('account_data'))).toBe(false)
    const changed = await accountData.getChanged({ userId: alice, after: first, upTo: streams.hub.head('account_data') })
    expect(changed).toEqual({ global: [], rooms: new Map([[room, [{ type: 'a.b', contentJson: '{"n":2}' }]]]) })
    const before = streams.hub.head('account_data')
    await accountData.delete({ userId: alice, roomId: undefined, type: 'a.b' })
    await accountData.delete({ userId: alice, roomId: undefined, type: 'a.b' })
    expect(await accountData.get(alice, 'a.b')).toBeUndefined()
    expect((await accountData.getAll(alice)).global).toEqual([])
    const removed = await accountData.getChanged({ userId: alice, after: before, upTo: streams.hub.head('account_data') })
    expect(removed.global).toEqual([{ type: 'a.b', contentJson: '{}' }])
    expect(streams.hub.head('account_data')).toBe(before + 1)
  })

  it('knows ignored users from memory and notices a new list', async () => {
    await using streams = await startTestStreams()
    const accountData = startAccountData(streams)
    expect(await accountData.getIgnoredUsers(alice)).toEqual(new Set())
    const contentJson = JSON.stringify({ ignored_users: { [bob]: {}, [alice]: {} } })
    await accountData.set({ userId: alice, roomId: undefined, type: 'm.ignored_user_list', contentJson })
    expect(await accountData.getIgnoredUsers(alice)).toEqual(new Set([bob]))
    await accountData.set({ userId: alice, roomId: undefined, type: 'm.ignored_user_list', contentJson: '{"ignored_users":7}' })
    expect(await accountData.getIgnoredUsers(alice)).toEqual(new Set())
  })

  it('treats everything as changed for tokens from before the start', async () => {
    await using streams = await startTestStreams()
    await startAccountData(streams).set({ userId: alice, roomId: undefined, type: 'a.b', contentJson: '{}' })
    const afterRestart = startAccountData(streams)
    expect(afterRestart.hasChanged(alice, START)).toBe(true)
    expect(
      (await afterRestart.getChanged({ userId: alice, after: START, upTo: streams.hub.head('account_data') })).global,
    ).toHaveLength(1)
  })

  it('keeps every one of many tags that are set at once', async () => {
    await using streams = await startTestStreams()
    const tags = new Tags({ accountData: startAccountData(streams) })
    const names = ['m.favourite', 'm.lowpriority', 'u.a', 'u.b', '__proto__']
    await Promise.all(names.map((tag) => tags.set({ userId: alice, roomId: room, tag }, { order: 0.5 })))
    expect(Object.keys(await tags.get(alice, room)).toSorted()).toEqual(names.toSorted())
    await Promise.all([
      tags.delete({ userId: alice, roomId: room, tag: 'u.a' }),
      tags.delete({ userId: alice, roomId: room, tag: 'u.a' }),
    ])
    expect(Object.keys(await tags.get(alice, room))).not.toContain('u.a')
  })
})

describe('filters', () => {
  it('have one id however often they are posted, and belong to one user', async () => {
    await using streams = await startTestStreams()
    const filters = new FilterStore({ database: streams.database, limitMax: 100 })
    const json = { room: { timeline: { limit: 10 } } }
    const [first, second] = await Promise.all([filters.define(alice, json), filters.define(alice, json)])
    expect(second).toBe(first)
    expect(await filters.define(bob, json)).not.toBe(first)
    expect(await filters.getJson(alice, first)).toBe(JSON.stringify(json))
    expect(await filters.getJson(bob, first)).toBeUndefined()
    expect((await filters.get(alice, first))?.room.timeline.limit).toBe(10)
    expect(await filters.get(alice, '99999')).toBeUndefined()
    expect(await filters.get(alice, '{}')).toBeUndefined()
    await expect(filters.define(alice, { room: 7 })).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
  })
})

describe('profiles', () => {
  it('hold fields of any kind, up to 64 KiB together', async () => {
    await using streams = await startTestStreams()
    const profiles = await startProfiles(streams)
    expect(await profiles.getJson(undefined, alice)).toBe('{}')
    await profiles.create(alice, 'Alice')
    await profiles.setField(requester, alice, 'm.tz', 'Europe/London')
    await profiles.setField(requester, alice, 'org.example.thing', { deep: [1, null] })
    await profiles.setField(requester, alice, 'org.example.null', null)
    expect(JSON.parse(await profiles.getJson(undefined, alice))).toEqual({
      displayname: 'Alice',
      'm.tz': 'Europe/London',
      'org.example.thing': { deep: [1, null] },
      'org.example.null': null,
    })
    const large = 'x'.repeat(40_000)
    await profiles.setField(requester, alice, 'org.example.large', large)
    await expect(profiles.setField(requester, alice, 'org.example.large2', large)).rejects.toMatchObject({
      errcode: 'M_PROFILE_TOO_LARGE',
    })
    await profiles.setField(requester, alice, 'org.example.large', `${large}y`)
    await profiles.deleteField(requester, alice, 'org.example.large')
    await profiles.setField(requester, alice, 'org.example.large2', large)
    await expect(profiles.getFieldJson(undefined, alice, 'org.example.large')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(profiles.getFieldJson(undefined, alice, `a${'b'.repeat(255)}`)).rejects.toMatchObject({
      errcode: 'M_KEY_TOO_LARGE',
    })
    await profiles.clear(alice)
    expect(await profiles.getJson(undefined, alice)).toBe('{}')
  })

  it('tell the rooms of a new name or avatar once, and of other fields never', async () => {
    await using streams = await startTestStreams()
    const profiles = await startProfiles(streams)
    const told: unknown[] = []
    profiles.setPropagator({ propagate: (userId, profile) => Promise.resolve(void told.push([userId, profile])) })
    await profiles.setField(requester, alice, 'displayname', 'A')
    await profiles.setField(requester, alice, 'displayname', 'A')
    await profiles.setField(requester, alice, 'avatar_url', 'mxc://test.example/a')
    await profiles.setField(requester, alice, 'm.tz', 'UTC')
    await profiles.setField(requester, alice, 'displayname', '')
    expect(told).toEqual([
      [alice, { displayname: 'A' }],
      [alice, { displayname: 'A', avatar_url: 'mxc://test.example/a' }],
      [alice, { avatar_url: 'mxc://test.example/a' }],
    ])
  })

  it('refuse strangers, bad values, frozen names, forbidden avatars and suspended users', async () => {
    await using streams = await startTestStreams()
    const profiles = await startProfiles(streams, { enableSetDisplayname: false })
    await profiles.setField(requester, alice, 'displayname', 'first')
    await expect(profiles.setField(requester, alice, 'displayname', 'second')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await expect(profiles.setField(requester, bob, 'm.tz', 'UTC')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await expect(profiles.setField(requester, alice, 'avatar_url', 7)).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await expect(profiles.setField(requester, alice, 'avatar_url', 'mxc://test.example/huge')).rejects.toMatchObject({
      errcode: 'M_FORBIDDEN',
    })
    await expect(profiles.setField(requester, alice, 'Bad Name', 7)).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    const suspended = { ...requester, isSuspended: true }
    await expect(profiles.setField(suspended, alice, 'm.tz', 'UTC')).rejects.toMatchObject({ errcode: 'M_USER_SUSPENDED' })
    await profiles.setField({ ...requester, isAdmin: true }, bob, 'displayname', 'set by an admin')
    expect(await profiles.getNameAndAvatar(bob)).toEqual({ displayname: 'set by an admin' })
    await expect(profiles.getJson(undefined, parseUserId('@nobody:test.example'))).rejects.toMatchObject({
      errcode: 'M_NOT_FOUND',
    })
  })

  it('are shown to users who share a room only, where the server says so', async () => {
    await using streams = await startTestStreams()
    const profiles = await startProfiles(streams, { limitToUsersWhoShareRooms: true })
    await expect(profiles.getJson(requester, bob)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await expect(profiles.getJson(undefined, bob)).rejects.toMatchObject({ errcode: 'M_MISSING_TOKEN' })
    expect(await profiles.getJson(requester, alice)).toBe('{}')
  })
})

describe('typing', () => {
  it('is told once, ends by itself, and goes on with the next owner', async () => {
    await using streams = await startTestStreams()
    const lists = new TypingLists({ hub: streams.hub })
    const owner = new TypingOwner({ hub: streams.hub, lists })
    const memberships = { isJoined: (userId: string) => Promise.resolve(userId === alice) }
    const typing = new Typing({ memberships, writer: owner })
    owner.start(1)
    const start = streams.hub.head('typing')
    await expect(typing.set({ userId: bob, roomId: room, isTyping: true })).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await typing.set({ userId: alice, roomId: room, isTyping: true, timeoutMs: 20_000 })
    await typing.set({ userId: alice, roomId: room, isTyping: true, timeoutMs: 50 })
    expect(streams.hub.head('typing')).toBe(start + 1)
    expect(lists.getChanged({ roomIds: [room], after: start })).toEqual(new Map([[room, [alice]]]))
    await expect.poll(() => lists.getUsers(room)).toEqual([])
    expect(lists.getChanged({ roomIds: [room], after: streams.hub.head('typing') })).toEqual(new Map())
    expect(lists.getChanged({ roomIds: [room], after: start })).toEqual(new Map([[room, []]]))
    await typing.set({ userId: alice, roomId: room, isTyping: true, timeoutMs: 20_000 })
    owner.stop()
    const last = streams.hub.head('typing')
    const next = new TypingOwner({ hub: streams.hub, lists })
    next.start(2)
    expect(streams.hub.head('typing')).toBeGreaterThan(last)
    expect(lists.getUsers(room)).toEqual([alice])
    await next.set({ userId: alice, roomId: room, isTyping: false })
    expect(lists.getUsers(room)).toEqual([])
    next.stop()
  })
})

describe('presence', () => {
  async function startPresence(
    streams: TestStreams,
    clock: { now: number },
  ): Promise<{ presence: Presence; background: Background; close(): Promise<void> }> {
    const background = new Background({
      onError: (_name, error) => {
        throw error
      },
    })
    const options = {
      serverName: parseServerName('test.example'),
      enabled: true,
      includeOfflineUsersOnSync: false,
      excludedRooms: [],
      rateLimit: { perSecond: 1000, burstCount: 1000 },
      lastActiveGranularityMs: 60_000,
      syncOnlineTimeoutMs: 200,
      idleTimeoutMs: 300_000,
    }
    const time = { nowMs: () => clock.now, monotonicMs: () => clock.now }
    const common = { clock: time, rateLimiter: new RateLimiter({ clock: time }), options, background }
    const states = new PresenceStates({ database: streams.database, hub: streams.hub })
    const owner = new PresenceOwner({ ...common, states, committer: streams.committer('presence') })
    const memberships = {
      sharesRoom: () => Promise.resolve(true),
      getUsersSharingRooms: () => Promise.resolve(new Set([alice, bob])),
    }
    const presence = new Presence({ ...common, states, sink: owner, memberships })
    await states.start()
    owner.start()
    presence.start()
    const close = async (): Promise<void> => {
      presence.stop()
      await owner.stop()
    }
    return { presence, background, close }
  }

  it('is what was set, survives a restart, and ends a while after the last sync', async () => {
    await using streams = await startTestStreams()
    const clock = { now: 1_000_000 }
    const { presence, close } = await startPresence(streams, clock)
    const start = streams.hub.head('presence')
    await presence.set(requester, { userId: alice, state: 'unavailable', statusMsg: 'away \u0000' })
    expect(await presence.get(requester, alice)).toEqual({
      presence: 'unavailable',
      last_active_ago: 0,
      status_msg: 'away \u0000',
    })
    const changed = await presence.getChanged({ userId: bob, after: start, upTo: streams.hub.head('presence') })
    expect(changed.map((text) => JSON.parse(text) as unknown)).toEqual([
      { type: 'm.presence', sender: alice, content: { presence: 'unavailable', last_active_ago: 0, status_msg: 'away \u0000' } },
    ])
    await close()
    const again = await startPresence(streams, clock)
    expect(await again.presence.getInitial(bob)).toHaveLength(1)
    expect(await again.presence.getChanged({ userId: bob, after: start, upTo: streams.hub.head('presence') })).toHaveLength(1)
    clock.now += 1000
    await expect.poll(async () => (await again.presence.get(requester, alice))['presence']).toBe('offline')
    await again.close()
    expect(await again.presence.getInitial(bob)).toEqual([])
  })

  it('follows syncs without a write for each, and stays online while one waits', async () => {
    await using streams = await startTestStreams()
    const clock = { now: 1_000_000 }
    const { presence, background, close } = await startPresence(streams, clock)
    const start = streams.hub.head('presence')
    const end = presence.userSyncing(alice, 'online')
    for (let i = 0; i < 100; i++) presence.userSyncing(alice, 'online')()
    await background.drain()
    await close()
    expect(streams.hub.head('presence')).toBe(start + 1)
    clock.now += 10_000
    expect(await presence.get(requester, alice)).toMatchObject({ presence: 'online', currently_active: true })
    end()
    presence.userSyncing(bob, 'offline')()
    await background.drain()
    expect(await presence.getInitial(bob)).toHaveLength(1)
  })
})
