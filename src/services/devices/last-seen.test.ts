import { expect, test } from 'vitest'
import type { Database } from '../../storage/database.ts'
import type { Requester } from '../accounts/requester.ts'
import { LastSeen } from './last-seen.ts'

const ALICE = { userId: '@alice:b', deviceId: 'PHONE' } as Requester
const SEEN = { remoteAddress: '192.0.2.1', userAgent: 'test' }

function setUp() {
  const state = {
    nowMs: 10_000_000,
    statements: [] as { name: string; values: readonly unknown[] }[],
    errors: [] as unknown[],
    failure: undefined as Error | undefined,
  }
  const database = {
    query(name: string, _text: string, values: readonly unknown[]): Promise<unknown[]> {
      if (state.failure) return Promise.reject(state.failure)
      state.statements.push({ name, values })
      return Promise.resolve([])
    },
  }
  const lastSeen = new LastSeen({
    database: database as unknown as Database,
    clock: { nowMs: () => state.nowMs, monotonicMs: () => state.nowMs },
    keptMs: 1_000_000,
    onError: (error) => state.errors.push(error),
  })
  return { state, lastSeen }
}

test('many requests of a device become one row, and another one two minutes later', async () => {
  const { state, lastSeen } = setUp()
  for (let count = 0; count < 100; count++) lastSeen.note(ALICE, SEEN)
  lastSeen.note(ALICE, { ...SEEN, remoteAddress: '192.0.2.2' })
  await lastSeen.flush()
  lastSeen.note(ALICE, SEEN)
  await lastSeen.flush()
  expect(state.statements.map(({ name }) => name)).toEqual(['upsert_sights', 'delete_sights_before'])
  expect(state.statements[0]?.values[2]).toEqual(['192.0.2.1', '192.0.2.2'])
  state.nowMs += 120_000
  lastSeen.note(ALICE, SEEN)
  await lastSeen.flush()
  expect(state.statements.map(({ name }) => name)).toEqual(['upsert_sights', 'delete_sights_before', 'upsert_sights'])
})

test('hostile user agents are cut and cleaned, and never come twice in one statement', async () => {
  const { state, lastSeen } = setUp()
  lastSeen.note(ALICE, { ...SEEN, userAgent: `${'x'.repeat(500)}one` })
  lastSeen.note(ALICE, { ...SEEN, userAgent: `${'x'.repeat(500)}two` })
  lastSeen.note(ALICE, { ...SEEN, userAgent: 'nul\u0000' })
  await lastSeen.flush()
  expect(state.statements[0]?.values[3]).toEqual(['nul', 'x'.repeat(500)])
})

test('a failure is reported and does not stop what comes after', async () => {
  const { state, lastSeen } = setUp()
  state.failure = new Error('no database')
  lastSeen.note(ALICE, SEEN)
  await lastSeen.flush()
  expect(state.errors).toEqual([state.failure])
  state.failure = undefined
  lastSeen.note({ ...ALICE, userId: '@bob:b' as Requester['userId'] }, SEEN)
  await lastSeen.flush()
  expect(state.statements[0]?.name).toBe('upsert_sights')
})
