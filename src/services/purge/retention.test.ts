import { expect, it } from 'vitest'
import { lifetimeOf } from './retention.ts'

const HOUR_MS = 3600_000
const DAY_MS = 24 * HOUR_MS

function policy(content: unknown): string {
  return JSON.stringify({ type: 'm.room.retention', content })
}

it('gives messages the lifetime that their room wishes, within what the server allows', () => {
  const options = { defaultPolicy: { maxLifetimeMs: undefined }, allowedLifetimeMinMs: HOUR_MS, allowedLifetimeMaxMs: 7 * DAY_MS }
  expect(lifetimeOf(policy({ max_lifetime: DAY_MS }), options)).toBe(DAY_MS)
  expect(lifetimeOf(policy({ max_lifetime: 1 }), options)).toBe(HOUR_MS)
  expect(lifetimeOf(policy({ max_lifetime: 365 * DAY_MS }), options)).toBe(7 * DAY_MS)
})

it('falls back to the default of the server, also for policies that make no sense', () => {
  const options = { defaultPolicy: { maxLifetimeMs: DAY_MS }, allowedLifetimeMinMs: undefined, allowedLifetimeMaxMs: undefined }
  for (const content of [
    {},
    { min_lifetime: 1 },
    { max_lifetime: null },
    { max_lifetime: '1d' },
    { max_lifetime: -1 },
    { max_lifetime: 0.5 },
    'x',
  ])
    expect(lifetimeOf(policy(content), options)).toBe(DAY_MS)
  expect(lifetimeOf(null, options)).toBe(DAY_MS)
})

it('keeps messages for ever where nobody wants anything else', () => {
  const options = { defaultPolicy: { maxLifetimeMs: undefined }, allowedLifetimeMinMs: HOUR_MS, allowedLifetimeMaxMs: DAY_MS }
  expect(lifetimeOf(null, options)).toBeUndefined()
  expect(lifetimeOf(policy({}), options)).toBeUndefined()
})
