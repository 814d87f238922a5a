import { expect, it } from 'vitest'
import { parseUserId } from '../../src/protocol/ids.ts'
import type { RoomId, UserId } from '../../src/protocol/ids.ts'
import { Profiles } from '../../src/services/user-data/profiles.ts'
import { UserDirectory } from '../../src/services/user-data/user-directory.ts'
import type { UserDirectoryOptions } from '../../src/services/user-data/user-directory.ts'
import { PushWorld } from '../kit/push-world.ts'

async function startDirectory(world: PushWorld, options: Partial<UserDirectoryOptions> = {}): Promise<UserDirectory> {
  const { database, hub, background, serverName } = world.core
  const defaults = {
    enabled: true,
    searchAllUsers: false,
    preferLocalUsers: false,
    excludeRemoteUsers: false,
    showLockedUsers: false,
  }
  const directory = new UserDirectory({ database, hub, background, options: { serverName, ...defaults, ...options } })
  await directory.start(1)
  return directory
}

function startProfiles({ core }: PushWorld): Profiles {
  return new Profiles({
    database: core.database,
    hub: core.hub,
    memberships: core.memberships,
    committer: core.committer('profiles'),
    avatarPolicy: { isAllowedAvatar: () => Promise.resolve(true) },
    options: {
      serverName: core.serverName,
      enableSetDisplayname: true,
      enableSetAvatarUrl: true,
      requireAuth: false,
      limitToUsersWhoShareRooms: false,
    },
  })
}

async function setState(
  world: PushWorld,
  roomId: RoomId,
  sender: UserId,
  type: string,
  content: Record<string, string>,
): Promise<void> {
  await world.writer.append({ roomId, intents: [{ type, sender, stateKey: type === 'm.room.member' ? sender : '', content }] })
}

it('shows who shares a room or is in a public one, by their profile and not by the name that they have in a room', async () => {
  await using world = await PushWorld.start()
  const [alice, bob, eve] = [world.userId('alice'), world.userId('bob'), world.userId('eve')]
  const profiles = startProfiles(world)
  const directory = await startDirectory(world)
  await profiles.create(alice, 'Alice Cooper')
  await profiles.create(bob, 'bob')
  const find = async (userId: UserId, term: string): Promise<string[]> =>
    (await directory.search(userId, { term, limit: undefined })).results.map((user) => user.user_id)
  const shared = await world.createRoom(alice)
  await setState(world, shared, alice, 'm.room.join_rules', { join_rule: 'invite' })
  expect(await find(eve, 'cooper')).toEqual([])
  await setState(world, shared, alice, 'm.room.join_rules', { join_rule: 'public' })
  expect(await find(eve, 'cooper')).toEqual([alice])
  await setState(world, shared, bob, 'm.room.member', { membership: 'join', displayname: 'Freddy' })
  await setState(world, shared, alice, 'm.room.join_rules', { join_rule: 'invite' })
  expect(await find(eve, 'alice')).toEqual([])
  expect(await find(bob, 'ALICE coop')).toEqual([alice])
  expect(await find(bob, '@')).toEqual([alice])
  expect(await find(alice, 'freddy')).toEqual([])
  expect(await find(alice, 'bo')).toEqual([bob])
  directory.stop()
})

it('goes on from where it was, tells when there is more, and is silent where it is switched off', async () => {
  await using world = await PushWorld.start()
  const profiles = startProfiles(world)
  const alice = parseUserId('@alice:test.example')
  for (const name of ['x1', 'x2', 'x3']) await profiles.create(world.userId(name), name)
  const directory = await startDirectory(world, { searchAllUsers: true })
  expect(await directory.search(alice, { term: 'x', limit: 2 })).toMatchObject({
    results: [{ user_id: world.userId('x1') }, {}],
    limited: true,
  })
  expect(await directory.search(alice, { term: 'x', limit: 3 })).toMatchObject({ limited: false })
  directory.stop()
  const off = await startDirectory(world, { enabled: false })
  expect(await off.search(alice, { term: 'x', limit: 3 })).toEqual({ results: [], limited: false })
})
