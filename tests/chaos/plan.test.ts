import { expect, it } from 'vitest'
import { FAULT_KINDS, planFaults } from './plan.ts'
import type { PlanOptions } from './plan.ts'

const OPTIONS: PlanOptions = {
  seed: 7,
  layout: 'full',
  processes: ['main', 'generic1', 'persister1', 'persister2'],
  clientProcesses: ['main', 'generic1'],
  persisters: ['persister1', 'persister2'],
  ms: 600_000,
}

it('a seed always gives the same plan, another seed another one', () => {
  expect(planFaults(OPTIONS)).toEqual(planFaults(OPTIONS))
  expect(planFaults({ ...OPTIONS, seed: 8 })).not.toEqual(planFaults(OPTIONS))
})

it('a long run has every kind of fault, one after the other, and ends in time', () => {
  const plan = planFaults(OPTIONS)
  expect(new Set(plan.map(({ kind }) => kind)).size).toBe(FAULT_KINDS.length)
  for (const [index, { atMs, durationMs }] of plan.entries()) {
    expect(plan[index + 1]?.atMs ?? Infinity).toBeGreaterThanOrEqual(atMs + durationMs)
    expect(atMs + durationMs).toBeLessThanOrEqual(OPTIONS.ms)
  }
})

it('half an hour has sixty faults, and ninety seconds of a small layout have six', () => {
  expect(planFaults({ ...OPTIONS, ms: 1_770_000 }).length).toBeGreaterThanOrEqual(60)
  const small: PlanOptions = { ...OPTIONS, layout: 'small', ms: 60_000 }
  for (let seed = 0; seed < 50; seed++) expect(planFaults({ ...small, seed }).length).toBeGreaterThanOrEqual(4)
})
