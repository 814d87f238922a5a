import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { advanceCursor, getCursor } from '../../src/storage/tables/consumer-cursors.ts'
import { MemberWorld } from '../kit/member-world.ts'
import type { TestMember } from '../kit/member-world.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const PROGRAM = fileURLToPath(new URL('../kit/member-process.ts', import.meta.url))
const SOON = { timeout: 20_000, interval: 10 }
const CURSOR = { consumer: 'stats', stream: 1 }

interface Happened {
  readonly what: 'start' | 'stop' | 'refused'
  readonly epoch?: number
  readonly code?: string
}

describe('A process that holds a role', () => {
  let options: DatabaseOptions
  let admin: Database
  let world: MemberWorld
  let main: TestMember
  const children: ChildProcess[] = []

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `processes_${randomBytes(6).toString('hex')}`)
    admin = new Database({ ...options, max: 2 }, { onError: () => {} })
  })
  beforeEach(async () => {
    world = new MemberWorld(options)
    main = await world.make('main')
    main.addRole({ name: 'stats', preferred: ['worker1'] })
  })
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    await world.stopAll()
    await admin.query('clear_members', 'DELETE FROM member')
    await admin.query('clear_leases', 'DELETE FROM role_lease')
    await admin.query('clear_cursors', 'DELETE FROM consumer_cursor')
  })
  afterAll(async () => {
    await admin.close()
    await dropTestDatabase(options, options.database)
  })

  function startProcess(): { child: ChildProcess; happened: Happened[] } {
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify({ options, instance: 'worker1' })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    const happened: Happened[] = []
    if (child.stdout) createInterface(child.stdout).on('line', (line) => happened.push(JSON.parse(line) as Happened))
    return { child, happened }
  }

  async function startHolding(): Promise<{ child: ChildProcess; happened: Happened[]; epoch: number }> {
    const started = startProcess()
    await expect.poll(() => started.happened[0]?.what, SOON).toBe('start')
    await main.start()
    await expect.poll(() => main.roles.holderOf('stats'), SOON).toBe('worker1')
    await expect.poll(() => getCursor(admin, CURSOR), SOON).toBeGreaterThan(3)
    return { ...started, epoch: started.happened[0]?.epoch ?? 0 }
  }

  it('and is killed by kill -9 is replaced, and has its name and role back as soon as it starts again', async () => {
    const { child, epoch } = await startHolding()
    const before = await getCursor(admin, CURSOR)
    child.kill('SIGKILL')
    await expect.poll(() => main.roles.epochHeld('stats'), SOON).toBe(epoch + 1)
    expect(main.members.isLive('worker1')).toBe(false)
    expect(await getCursor(admin, CURSOR)).toBeGreaterThanOrEqual(before)

    const { happened } = startProcess()
    await expect.poll(() => happened[0], SOON).toEqual({ what: 'start', epoch: epoch + 2 })
    await expect.poll(() => main.roles.epochHeld('stats'), SOON).toBeUndefined()
  })

  it('and is stopped by SIGSTOP is replaced when its lease ends; when it wakes it is refused, stops, and then gets the role back', async () => {
    const { child, happened, epoch } = await startHolding()
    child.kill('SIGSTOP')
    await expect.poll(() => main.roles.epochHeld('stats'), SOON).toBe(epoch + 1)
    expect(main.members.isLive('worker1')).toBe(false)
    await advanceCursor(admin, { ...CURSOR, pos: 1_000_000, epoch: epoch + 1 })
    child.kill('SIGCONT')
    await expect
      .poll(() => happened.find(({ what }) => what === 'refused'), SOON)
      .toEqual({ what: 'refused', epoch, code: 'MX001' })
    await expect.poll(() => happened.find(({ what }) => what === 'stop'), SOON).toBeDefined()
    await expect.poll(() => happened.filter(({ what }) => what === 'start').at(-1)?.epoch, SOON).toBe(epoch + 2)
    expect(await getCursor(admin, CURSOR)).toBe(1_000_000)
    await expect.poll(() => main.roles.epochHeld('stats'), SOON).toBeUndefined()
  })
})
