import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { OperatorError } from '../../src/util/operator-error.ts'
import { MemberWorld } from '../kit/member-world.ts'
import type { TestMember } from '../kit/member-world.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const SOON = { timeout: 10_000, interval: 10 }

describe('Members', () => {
  let options: DatabaseOptions
  let admin: Database
  let world: MemberWorld

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `members_${randomBytes(6).toString('hex')}`)
    admin = new Database({ ...options, max: 4 }, { onError: () => {} })
  })
  beforeEach(() => {
    world = new MemberWorld(options)
  })
  afterEach(async () => {
    await world.stopAll()
    await admin.query('clear', 'DELETE FROM member')
  })
  afterAll(async () => {
    await admin.close()
    await dropTestDatabase(options, options.database)
  })

  const namesOf = (member: TestMember): string[] => member.members.live().map(({ instance }) => instance)

  it('see each other come and go', async () => {
    const [a, b] = (await world.startAll(['main', 'worker1'])) as [TestMember, TestMember]
    await expect
      .poll(() => [namesOf(a), namesOf(b)], SOON)
      .toEqual([
        ['main', 'worker1'],
        ['main', 'worker1'],
      ])
    expect(a.members.get('worker1')).toEqual({ ...b.members.self, isDraining: false })
    let changes = 0
    a.members.onChange(() => (changes += 1))
    await b.members.stop()
    await expect.poll(() => namesOf(a), SOON).toEqual(['main'])
    expect(changes).toBe(1)
    expect(b.members.isJoined).toBe(false)
  })

  it('see each other come by polling alone when announcements are lost', async () => {
    world.bus.isSilent = true
    const [a] = (await world.startAll(['main', 'worker1'])) as [TestMember]
    await expect.poll(() => namesOf(a), SOON).toEqual(['main', 'worker1'])
  })

  it('know at once that a member has died when somebody suspects it', async () => {
    const [a, b, c] = await startThree()
    await b.kill()
    await expect.poll(() => lockCount(b), SOON).toBe(0)
    expect(namesOf(a)).toContain('worker1')
    expect(await a.members.suspect('worker1')).toBe(true)
    await expect.poll(() => namesOf(c), SOON).toEqual(['main', 'worker2'])
    expect(namesOf(a)).toEqual(['main', 'worker2'])
  })

  it('keep a member that is suspected and lives, and count no unknown name as living', async () => {
    const [a] = await startThree()
    expect(await a.members.suspect('worker1')).toBe(false)
    expect(await a.members.suspect('main')).toBe(false)
    expect(await a.members.suspect('nobody')).toBe(true)
    expect(namesOf(a)).toContain('worker1')
  })

  it('count a member as dead that is silent for its time to live, and take it back when it returns', async () => {
    const [a, b] = await startThree()
    await b.kill()
    expect(b.members.isJoined).toBe(true)
    await expect.poll(() => namesOf(a), SOON).toEqual(['main', 'worker2'])
    await expect.poll(() => b.members.isJoined, SOON).toBe(false)
    b.proxy.mend()
    await expect.poll(() => namesOf(a), SOON).toEqual(['main', 'worker1', 'worker2'])
    await expect.poll(() => b.members.isJoined, SOON).toBe(true)
    await expect.poll(() => lockCount(b), SOON).toBe(1)
  })

  it('take their liveness lock again when PostgreSQL ends the connection', async () => {
    const [, b] = await startThree()
    await admin.query(
      'terminate_liveness',
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ganglion liveness worker1' AND datname = $1`,
      [options.database],
    )
    await expect.poll(() => lockCount(b), SOON).toBe(1)
  })

  it('take their liveness lock again when the network swallows what they send', async () => {
    const [, b] = await startThree()
    b.proxy.swallow()
    await expect.poll(() => lockCount(b), SOON).toBe(0)
    await expect.poll(() => lockCount(b), SOON).toBe(1)
    // The other connections would wait for their answers for ever.
    b.proxy.cut()
    b.proxy.mend()
  })

  it('refuse to start under the name of a member that lives, by one clear line', async () => {
    const [a] = await startThree()
    const second = await world.make('main')
    const refusal = await second.start().then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(refusal).toBeInstanceOf(OperatorError)
    expect((refusal as Error).message).toMatch(/^Another process named main is running, since \d{4}-.*worker_name/)
    expect((refusal as Error).message).not.toContain('\n')
    expect(await lockCount(second)).toBe(0)
    expect(a.members.isJoined).toBe(true)
    await expect.poll(() => a.members.get('main')?.boot, SOON).toBe(a.members.self.boot)
  })

  it('of two that start under one name at once, one joins', async () => {
    const pair = await Promise.all([world.make('worker9'), world.make('worker9')])
    const results = await Promise.allSettled(pair.map((member) => member.start()))
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it('take the place of a dead member of their name at once, and the dead one learns of it when it was only cut off', async () => {
    const [a, b] = await startThree()
    let isReplaced = false
    b.members.onReplaced(() => (isReplaced = true))
    await b.kill()
    await expect.poll(() => lockCount(b), SOON).toBe(0)
    const next = await world.make('worker1')
    await next.start()
    await expect.poll(() => a.members.get('worker1')?.boot, SOON).toBe(next.members.self.boot)
    b.proxy.mend()
    await expect.poll(() => isReplaced, SOON).toBe(true)
    expect(b.members.isJoined).toBe(false)
    expect(a.members.get('worker1')?.boot).toBe(next.members.self.boot)
    expect(b.logger.lines.some(({ level, message }) => level === 'error' && message.includes('worker1'))).toBe(true)
  })

  it('tell the others that they drain', async () => {
    const [a, b] = await startThree()
    await b.members.drain()
    await expect.poll(() => a.members.get('worker1')?.isDraining, SOON).toBe(true)
    expect(namesOf(a)).toContain('worker1')
  })

  async function startThree(): Promise<[TestMember, TestMember, TestMember]> {
    const three = (await world.startAll(['main', 'worker1', 'worker2'])) as [TestMember, TestMember, TestMember]
    for (const member of three) await expect.poll(() => namesOf(member), SOON).toHaveLength(3)
    return three
  }

  async function lockCount(member: TestMember): Promise<number> {
    const [row] = await admin.query<{ count: number }>(
      'count_locks',
      `SELECT count(*) AS count FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
          AND (classid::bigint << 32 | objid::bigint) = liveness_key($1)`,
      [member.members.self.boot],
    )
    return row?.count ?? 0
  }
})
