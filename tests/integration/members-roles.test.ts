import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { rendezvous } from '../../src/replication/rendezvous.ts'
import { RpcRefusal } from '../../src/replication/rpc.ts'
import { Database, sqlState } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { advanceCursor, getCursor } from '../../src/storage/tables/consumer-cursors.ts'
import { takeLeases } from '../../src/storage/tables/role-leases.ts'
import { claimLane } from '../../src/streams/lane-committer.ts'
import { MemberWorld } from '../kit/member-world.ts'
import type { TestMember, WorkEntry } from '../kit/member-world.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const SOON = { timeout: 10_000, interval: 10 }

describe('Role leases', () => {
  let options: DatabaseOptions
  let admin: Database
  let world: MemberWorld

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `roles_${randomBytes(6).toString('hex')}`)
    admin = new Database({ ...options, max: 4 }, { onError: () => {} })
  })
  beforeEach(() => {
    world = new MemberWorld(options)
  })
  afterEach(async () => {
    await world.stopAll()
    await admin.query('clear_members', 'DELETE FROM member')
    await admin.query('clear_leases', 'DELETE FROM role_lease')
  })
  afterAll(async () => {
    await admin.close()
    await dropTestDatabase(options, options.database)
  })

  /** Whom all members take for the holder of a role; undefined when they differ. */
  const holder = (members: readonly TestMember[], role: string): string | undefined => {
    const names = new Set(members.map((member) => member.roles.holderOf(role)))
    return names.size === 1 ? [...names][0] : undefined
  }
  const startThree = async (preferred: readonly string[]): Promise<[TestMember, TestMember, TestMember]> =>
    (await world.startAll(['main', 'worker1', 'worker2'], (member) => member.addRole({ name: 'stats', preferred }))) as [
      TestMember,
      TestMember,
      TestMember,
    ]

  it('are held by the preferred process, whoever starts first', async () => {
    const members = await startThree(['worker2'])
    await expect.poll(() => holder(members, 'stats'), SOON).toBe('worker2')
    await expect.poll(() => overlaps(world.work), SOON).toEqual([])
    const [main, , worker2] = members
    const epoch = worker2.roles.assertHeld('stats')
    expect(main.roles.epochOf('stats')).toBe(epoch)
    expect(main.roles.epochHeld('stats')).toBeUndefined()
    expect(catchError(() => main.roles.assertHeld('stats'))).toMatchObject({ code: 'not_owner', owner: 'worker2' })
    expect(catchError(() => main.roles.assertHeld('stats'))).toBeInstanceOf(RpcRefusal)
  })

  it('go to a stand-in quickly when the holder is suspected and dead, and back when it returns (N-03)', async () => {
    const members = await startThree(['worker1'])
    const [main, worker1, worker2] = members
    await expect.poll(() => holder(members, 'stats'), SOON).toBe('worker1')
    const before = worker1.roles.assertHeld('stats')
    await worker1.kill()
    await expect.poll(() => main.members.suspect('worker1'), SOON).toBe(true)
    await expect.poll(() => ['main', 'worker2'].includes(holder([main, worker2], 'stats') ?? ''), SOON).toBe(true)
    const standIn = [main, worker2].find((member) => member.roles.epochHeld('stats') !== undefined)
    expect(standIn?.roles.assertHeld('stats')).toBeGreaterThan(before)

    const returned = await world.make('worker1')
    returned.addRole({ name: 'stats', preferred: ['worker1'] })
    await returned.start()
    await expect.poll(() => holder([main, worker2, returned], 'stats'), SOON).toBe('worker1')
    expect(standIn?.roles.epochHeld('stats')).toBeUndefined()
    // Given back in order: the stand-in had stopped before the other began.
    const [stop, start] = world.work.slice(-2)
    expect(stop).toMatchObject({ what: 'stop', instance: standIn?.instance })
    expect(start).toMatchObject({ what: 'start', instance: 'worker1' })
  })

  it('go to a stand-in though nobody suspects the dead holder', async () => {
    world.bus.isSilent = true
    const members = await startThree(['worker1'])
    await expect.poll(() => holder(members, 'stats'), SOON).toBe('worker1')
    await members[1].kill()
    await expect.poll(() => holder([members[0], members[2]], 'stats'), SOON).toMatch(/main|worker2/)
  })

  it('are taken at once by the process of the same name that starts again', async () => {
    const members = await startThree(['worker1'])
    await expect.poll(() => holder(members, 'stats'), SOON).toBe('worker1')
    await members[1].kill()
    const next = await world.make('worker1')
    next.addRole({ name: 'stats', preferred: ['worker1'] })
    await next.start()
    expect(next.roles.epochHeld('stats')).toBeGreaterThan(1)
  })

  it('are given back when a process stops or drains, and taken over at once', async () => {
    const members = await startThree(['worker1', 'worker2'])
    const preferred = rendezvous('stats', ['worker1', 'worker2'])
    const [first, second] = preferred === 'worker1' ? [members[1], members[2]] : [members[2], members[1]]
    await expect.poll(() => holder(members, 'stats'), SOON).toBe(first.instance)
    await first.members.drain()
    await expect.poll(() => holder(members, 'stats'), SOON).toBe(second.instance)
    await second.stop()
    await expect.poll(() => holder([members[0], first], 'stats'), SOON).toBe('main')
    expect(first.roles.epochHeld('stats')).toBeUndefined()
    expect(overlaps(world.work)).toEqual([])
  })

  it('are given to a stand-in of whom the living members know none that is preferred, and that knows the role', async () => {
    const [main, worker1] = (await world.startAll(['main', 'worker1'], (member) => {
      if (member.instance === 'main') member.addRole({ name: 'media_jobs', preferred: ['media1'] })
    })) as [TestMember, TestMember]
    await expect.poll(() => main.roles.epochHeld('media_jobs'), SOON).toBe(1)
    await expect.poll(() => worker1.roles.holderOf('media_jobs'), SOON).toBe('main')
  })

  it('spread the shards of a role over the preferred processes, and move only what has to move', async () => {
    const shards = 12
    const add = (member: TestMember): void =>
      member.addRole({ name: 'pusher', preferred: ['pusher1', 'pusher2', 'pusher3'], shards })
    const [main, pusher1, pusher2] = (await world.startAll(['main', 'pusher1', 'pusher2'], add)) as [
      TestMember,
      TestMember,
      TestMember,
    ]
    const holders = (member: TestMember): (string | undefined)[] =>
      Array.from({ length: shards }, (_, shard) => member.roles.holderOf(`pusher:${shard}`))
    const expected = (names: readonly string[]): (string | undefined)[] =>
      Array.from({ length: shards }, (_, shard) => rendezvous(`pusher:${shard}`, names))
    for (const member of [main, pusher1, pusher2])
      await expect.poll(() => holders(member), SOON).toEqual(expected(['pusher1', 'pusher2']))
    const before = holders(main)
    const pusher3 = await world.make('pusher3')
    add(pusher3)
    await pusher3.start()
    for (const member of [main, pusher1, pusher2, pusher3])
      await expect.poll(() => holders(member), SOON).toEqual(expected(['pusher1', 'pusher2', 'pusher3']))
    const moved = holders(main).filter((name, shard) => name !== before[shard])
    expect(new Set(moved)).toEqual(new Set(['pusher3']))
    expect(overlaps(world.work)).toEqual([])
  })

  it('leave a zombie without effect: it stops by its own clock, and what it writes under its epoch is refused', async () => {
    const members = await startThree(['worker1'])
    const [main, zombie, worker2] = members
    await expect.poll(() => holder(members, 'stats'), SOON).toBe('worker1')
    const epoch = zombie.roles.assertHeld('stats')
    const cursor = { consumer: 'stats', stream: 1 }
    await advanceCursor(admin, { ...cursor, pos: 10, epoch })
    // Its work still holds a transaction open when it is cut off.
    await zombie.kill()
    await expect.poll(() => holder([main, worker2], 'stats'), SOON).toMatch(/main|worker2/)
    const next = [main, worker2].map((member) => member.roles.epochHeld('stats')).find((one) => one !== undefined) ?? 0
    expect(next).toBeGreaterThan(epoch)
    await advanceCursor(admin, { ...cursor, pos: 12, epoch: next })
    await expect(advanceCursor(admin, { ...cursor, pos: 20, epoch })).rejects.toMatchObject({
      name: 'FencedError',
      code: 'MX001',
    })
    expect(await getCursor(admin, cursor)).toBe(12)
    const claim = { stream: 'receipts', lane: 0, count: 1 } as const
    const claimed = (fence: { role: string; epoch: number }): Promise<unknown> =>
      admin.transaction('claim', (tx) => claimLane(tx, { ...claim, fence }))
    expect(await claimed({ role: 'stats', epoch }).catch(sqlState)).toBe('MX001')
    expect(await claimed({ role: 'stats', epoch: next })).toMatchObject({ positions: [expect.any(Number)] })

    await expect.poll(() => zombie.roles.epochHeld('stats'), SOON).toBeUndefined()
    await expect.poll(() => world.work.filter(({ instance }) => instance === 'worker1').at(-1)?.what, SOON).toBe('stop')
    // When it can reach the others again it is an ordinary member, and gets its role back in order.
    zombie.proxy.mend()
    await expect.poll(() => zombie.members.isLive('worker1'), SOON).toBe(true)
    await expect.poll(() => holder(members, 'stats'), SOON).toBe('worker1')
    expect(zombie.roles.assertHeld('stats')).toBeGreaterThan(next)
  })

  it('stop by the clock of the holder before anybody else may take them', async () => {
    const [only] = (await world.startAll(['main'], (member) => member.addRole({ name: 'stats', preferred: ['main'] }))) as [
      TestMember,
    ]
    await expect.poll(() => only.roles.epochHeld('stats'), SOON).toBe(1)
    only.proxy.cut()
    await expect.poll(() => only.roles.epochHeld('stats'), SOON).toBeUndefined()
    const other = { instance: 'other', boot: '11111111-1111-4111-8111-111111111111' }
    // The lease itself still runs; the lock of its holder is free, though, which is the other way to take it.
    const [row] = await admin.query<{ isRunning: boolean }>(
      'is_running',
      'SELECT expires_at > now() AS "isRunning" FROM role_lease',
    )
    expect(row?.isRunning).toBe(true)
    expect(await takeLeases(admin, other, ['stats'], 1000)).toEqual([{ role: 'stats', epoch: 2 }])
    expect(await takeLeases(admin, { ...other, instance: 'third' }, ['stats'], 1000)).toEqual([{ role: 'stats', epoch: 3 }])
  })

  it('have one holder for each epoch, however many take them at once', async () => {
    const takers = Array.from({ length: 12 }, (_, index) => ({
      instance: `taker${index}`,
      boot: `11111111-1111-4111-8111-${String(index).padStart(12, '0')}`,
    }))
    const locks = await Promise.all(takers.map((taker) => holdLock(options, taker.boot)))
    for (let round = 1; round <= 5; round++) {
      const taken = await Promise.all(takers.map((taker) => takeLeases(admin, taker, ['a', 'b', 'c'], 60_000)))
      expect(taken.flat().sort((x, y) => (x.role < y.role ? -1 : 1))).toEqual(
        ['a', 'b', 'c'].map((role) => ({ role, epoch: round })),
      )
      await admin.query('expire', 'UPDATE role_lease SET expires_at = now()')
    }
    for (const release of locks) await release()
  })

  it('go to somebody else when the work cannot start', async () => {
    let failures = 0
    const members = (await world.startAll(['main', 'worker1'], (member) =>
      member.addRole({
        name: 'stats',
        preferred: ['worker1'],
        startFails: () => member.instance === 'worker1' && failures++ < 1,
      }),
    )) as [TestMember, TestMember]
    await expect.poll(() => failures, SOON).toBeGreaterThan(0)
    await expect.poll(() => holder(members, 'stats'), SOON).toBe('worker1')
    expect(overlaps(world.work)).toEqual([])
  })
})

/** Entries of the log that begin work in a role while another process has not ended its own. */
function overlaps(work: readonly WorkEntry[]): string[] {
  const running = new Map<string, WorkEntry>()
  const problems: string[] = []
  const newest = new Map<string, number>()
  for (const entry of work) {
    const other = running.get(entry.role)
    if (entry.what === 'stop') {
      if (other?.instance === entry.instance) running.delete(entry.role)
      continue
    }
    if (other) problems.push(`${entry.role}: ${entry.instance} began while ${other.instance} was at work`)
    if (entry.epoch <= (newest.get(entry.role) ?? 0)) problems.push(`${entry.role}: epoch ${entry.epoch} came twice`)
    newest.set(entry.role, entry.epoch)
    running.set(entry.role, entry)
  }
  return problems
}

async function holdLock(options: DatabaseOptions, boot: string): Promise<() => Promise<void>> {
  const { openLivenessLock } = await import('../../src/storage/session-lock.ts')
  const lock = await openLivenessLock(options, { boot, applicationName: 'test', onLost: () => {} })
  return () => lock.release()
}

function catchError(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return undefined
}
