import { describe, expect, test } from 'vitest'
import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import type { CacheInvalidation, Forget } from '../../streams/cache-invalidation.ts'
import { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { LastSeen } from '../devices/last-seen.ts'
import { AccessTokens } from './access-tokens.ts'

const SEEN = { remoteAddress: '192.0.2.1', userAgent: 'test' }
const OWNER = {
  accessTokenId: 1,
  userId: '@a:b',
  deviceId: 'D',
  expiresTsMs: null,
  refreshTokenId: null,
  isUsed: false,
  puppeteer: null,
  isGuest: false,
  isAdmin: false,
  isDeactivated: false,
  isLocked: false,
  isSuspended: false,
  isShadowBanned: false,
  isRateLimited: true,
}

function setUp() {
  const state = {
    nowMs: 1_000_000,
    owner: OWNER as Record<string, unknown> | undefined,
    queries: 0,
    gate: Promise.resolve(),
    noted: 0,
  }
  let forget: Forget = () => undefined
  const database = {
    async query(): Promise<unknown[]> {
      state.queries++
      const { owner } = state
      await state.gate
      return owner ? [owner] : []
    },
  }
  const hub = new StreamHub({ onError: (error) => expect.unreachable(String(error)) })
  const tokens = new AccessTokens({
    database: database as unknown as Database,
    hub,
    caches: { onForget: (_cache: string, forgetKeys: Forget) => void (forget = forgetKeys) } as unknown as CacheInvalidation,
    clock: { nowMs: () => state.nowMs, monotonicMs: () => state.nowMs },
    lastSeen: { note: () => void state.noted++ } as unknown as LastSeen,
    tracksPuppeteers: false,
  })
  return { state, hub, tokens, forget: (keys: readonly string[] | null) => forget(keys) }
}

describe('the authenticator', () => {
  test('asks the database once for a token, also when many requests come at once', async () => {
    const { state, tokens } = setUp()
    await Promise.all([tokens.authenticate('t', SEEN), tokens.authenticate('t', SEEN), tokens.authenticate('t', SEEN)])
    expect(await tokens.authenticate('t', SEEN)).toMatchObject({ userId: '@a:b', deviceId: 'D' })
    expect(state.queries).toBe(1)
    expect(state.noted).toBe(4)
  })

  test('asks again after a minute', async () => {
    const { state, tokens } = setUp()
    await tokens.authenticate('t', SEEN)
    state.nowMs += 60_001
    state.owner = undefined
    await expect(tokens.authenticate('t', SEEN)).rejects.toMatchObject({
      errcode: 'M_UNKNOWN_TOKEN',
      extra: { soft_logout: false },
    })
  })

  test('forgets the tokens of a user whose devices changed, and no others', async () => {
    const { state, hub, tokens } = setUp()
    await tokens.authenticate('t', SEEN)
    const apply = (userId: string, position: number) =>
      hub.apply({
        stream: 'device_lists',
        lane: 0,
        prev: position - 1,
        rows: [{ position: position as StreamPosition, row: { userId } }],
      })
    apply('@other:b', 1)
    await tokens.authenticate('t', SEEN)
    expect(state.queries).toBe(1)
    apply('@a:b', 2)
    state.owner = undefined
    await expect(tokens.authenticate('t', SEEN)).rejects.toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' })
  })

  test('does not keep what it read before the user was forgotten', async () => {
    const { state, tokens } = setUp()
    const gate = Promise.withResolvers<undefined>()
    state.gate = gate.promise as unknown as Promise<void>
    const early = tokens.authenticate('t', SEEN)
    tokens.forgetUser('@a:b' as UserId)
    // Who asks now must not be answered with what was read before.
    state.owner = undefined
    const late = expect(tokens.authenticate('t', SEEN)).rejects.toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' })
    expect(state.queries).toBe(2)
    gate.resolve(undefined)
    await Promise.all([early, late])
    await expect(tokens.authenticate('t', SEEN)).rejects.toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' })
  })

  test('keeps what it read while somebody else was forgotten', async () => {
    const { state, tokens } = setUp()
    const reading = tokens.authenticate('t', SEEN)
    tokens.forgetUser('@other:b' as UserId)
    await reading
    await tokens.authenticate('t', SEEN)
    expect(state.queries).toBe(1)
  })

  test('tells expired tokens, locked and closed accounts apart', async () => {
    const { state, tokens, forget } = setUp()
    state.owner = { ...OWNER, expiresTsMs: state.nowMs + 1000 }
    await tokens.authenticate('t', SEEN)
    state.nowMs += 1000
    await expect(tokens.authenticate('t', SEEN)).rejects.toMatchObject({
      errcode: 'M_UNKNOWN_TOKEN',
      extra: { soft_logout: true },
    })
    forget(null)
    state.owner = { ...OWNER, isLocked: true }
    await expect(tokens.authenticate('t', SEEN)).rejects.toMatchObject({
      errcode: 'M_USER_LOCKED',
      status: 401,
      extra: { soft_logout: true },
    })
    expect(await tokens.authenticate('t', SEEN, { isLockedAllowed: true })).toMatchObject({ userId: '@a:b' })
    forget(['@a:b'])
    state.owner = { ...OWNER, isDeactivated: true }
    await expect(tokens.authenticate('t', SEEN)).rejects.toMatchObject({ errcode: 'M_USER_DEACTIVATED' })
  })

  test('refuses giant tokens without a query', async () => {
    const { state, tokens } = setUp()
    await expect(tokens.authenticate('x'.repeat(5000), SEEN)).rejects.toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' })
    expect(state.queries).toBe(0)
  })
})
