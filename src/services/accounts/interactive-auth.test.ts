import { describe, expect, test } from 'vitest'
import { MatrixError } from '../../protocol/errors.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { systemRandom } from '../../util/random.ts'
import { InteractiveAuth, operationPath } from './interactive-auth.ts'
import type { ConfirmRequest } from './interactive-auth.ts'
import type { Passwords } from './passwords.ts'

interface StoredSession {
  sessionId: string
  expiresTsMs: number
  method: string
  path: string
  userId: string | null
  completed: JsonObject
  notes: JsonObject
}

/** The table ui_auth_sessions in memory, by the names of the statements. */
class SessionTable {
  readonly rows = new Map<string, StoredSession>()

  query(name: string, _text: string, values: readonly unknown[]): Promise<unknown[]> {
    const id = String(values[0])
    const row = this.rows.get(id)
    if (name === 'insert_ui_auth_session') {
      const [, , expiresTsMs, method, path, userId, completed] = values as [
        string,
        number,
        number,
        string,
        string,
        string | null,
        string,
      ]
      this.rows.set(id, {
        sessionId: id,
        expiresTsMs,
        method,
        path,
        userId,
        completed: JSON.parse(completed) as JsonObject,
        notes: {},
      })
      return Promise.resolve([])
    }
    if (name === 'get_ui_auth_session') return Promise.resolve(row && row.expiresTsMs > Number(values[1]) ? [row] : [])
    if (name === 'complete_ui_auth_stages' && row) {
      row.completed = { ...row.completed, ...(JSON.parse(String(values[1])) as JsonObject) }
      return Promise.resolve([])
    }
    throw new Error(`The statement ${name} was not expected`)
  }
}

function setUp(flows: readonly (readonly string[])[]) {
  const table = new SessionTable()
  const clock = { value: 1_000_000 }
  const auth = new InteractiveAuth({
    database: table as unknown as Database,
    clock: { nowMs: () => clock.value, monotonicMs: () => clock.value },
    random: systemRandom,
    passwords: {} as Passwords,
    isPasswordEnabled: true,
    sessionTimeoutMs: 0,
  })
  const request: ConfirmRequest = {
    method: 'POST',
    path: '/operation',
    userId: undefined,
    flows,
    checks: {
      one: () => Promise.resolve('first'),
      two: (given) => {
        if (given['answer'] !== 42) throw new MatrixError('M_UNAUTHORIZED', 'Wrong answer')
        return Promise.resolve('second')
      },
      limited: () => Promise.reject(new MatrixError('M_LIMIT_EXCEEDED', 'Too Many Requests')),
    },
    auth: undefined,
  }
  const confirm = (given: unknown, change: Partial<ConfirmRequest> = {}) => auth.confirm({ ...request, ...change, auth: given })
  return { auth, table, clock, confirm }
}

async function askedBy(attempt: Promise<unknown>): Promise<Record<string, unknown>> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof MatrixError)) throw new Error('Nothing was asked')
  expect(error.status).toBe(401)
  return error.toJson()
}

describe('user-interactive authentication', () => {
  test('asks for the stages of a flow one after the other', async () => {
    const { confirm } = setUp([['one', 'two']])
    const { session } = await askedBy(confirm(undefined))
    expect(await askedBy(confirm({ type: 'one', session }))).toEqual({
      session,
      flows: [{ stages: ['one', 'two'] }],
      params: {},
      completed: ['one'],
    })
    expect(await askedBy(confirm({ type: 'two', session, answer: 1 }))).toMatchObject({
      session,
      completed: ['one'],
      errcode: 'M_UNAUTHORIZED',
    })
    expect(await confirm({ type: 'two', session, answer: 42 })).toEqual({
      sessionId: session,
      completed: { one: 'first', two: 'second' },
      notes: {},
    })
  })

  test('does not take stages out of order, nor stages that are not offered', async () => {
    const { confirm } = setUp([['one', 'two']])
    expect(await askedBy(confirm({ type: 'two', answer: 42 }))).toMatchObject({ errcode: 'M_FORBIDDEN' })
    expect(await askedBy(confirm({ type: 'limited' }))).toMatchObject({ errcode: 'M_FORBIDDEN' })
    expect(await askedBy(confirm({ type: '__proto__' }))).toMatchObject({ errcode: 'M_FORBIDDEN' })
    expect(await askedBy(confirm({ type: 'constructor' }))).toMatchObject({ errcode: 'M_FORBIDDEN' })
  })

  test('is content with any complete flow, also in one request and without a session', async () => {
    const { confirm, table } = setUp([['two'], ['one']])
    expect(await confirm({ type: 'one' })).toEqual({ sessionId: undefined, completed: { one: 'first' }, notes: {} })
    expect(table.rows.size).toBe(0)
  })

  test('binds a session to method, path and user', async () => {
    const { confirm } = setUp([['one']])
    const { session } = await askedBy(confirm(undefined))
    const given = { type: 'one', session }
    for (const change of [{ method: 'DELETE' }, { path: '/other' }, { userId: '@a:b' as ConfirmRequest['userId'] }]) {
      await expect(confirm(given, change)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN', status: 403 })
    }
    expect(await confirm(given)).toMatchObject({ sessionId: session })
  })

  test('starts anew where the session is unknown or has expired', async () => {
    const { confirm, clock } = setUp([['one', 'two']])
    const { session } = await askedBy(confirm({ type: 'one' }))
    clock.value += 25 * 3600_000
    const again = await askedBy(confirm({ type: 'two', session, answer: 42 }))
    expect(again['session']).not.toBe(session)
    expect(again['completed']).toBeUndefined()
    for (const odd of ['', 'x'.repeat(1000), 'nul\u0000'])
      expect((await askedBy(confirm({ session: odd })))['session']).not.toBe(odd)
  })

  test('lets rate limits through as they are, and refuses what is no object', async () => {
    const { confirm } = setUp([['limited']])
    await expect(confirm({ type: 'limited' })).rejects.toMatchObject({ errcode: 'M_LIMIT_EXCEEDED', status: 429 })
    for (const odd of ['text', 1, ['list'], { type: 1 }, { session: {} }]) {
      await expect(confirm(odd)).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    }
  })
})

test('an operation is its path without the query', () => {
  expect(operationPath('/_matrix/client/v3/devices/A?access_token=x')).toBe('/_matrix/client/v3/devices/A')
  expect(operationPath('/_matrix/client/v3/devices/A')).toBe('/_matrix/client/v3/devices/A')
})
