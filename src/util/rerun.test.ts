import { expect, it } from 'vitest'
import { createDeferred } from './deferred.ts'
import type { Deferred } from './deferred.ts'
import { Rerun } from './rerun.ts'

it('runs never twice at a time, and once more for all who asked meanwhile', async () => {
  const runs: Deferred<void>[] = []
  const rerun = new Rerun(() => {
    const run = createDeferred<void>()
    runs.push(run)
    return run.promise
  })
  const first = rerun.run()
  const second = rerun.run()
  expect(rerun.run()).toBe(second)
  expect(runs).toHaveLength(1)
  runs[0]?.reject(new Error('the first fails'))
  await expect(first).rejects.toThrow('the first fails')
  await expect.poll(() => runs.length).toBe(2)
  const third = rerun.run()
  expect(third).not.toBe(second)
  runs[1]?.resolve()
  await second
  await expect.poll(() => runs.length).toBe(3)
  runs[2]?.resolve()
  await third
  expect(runs).toHaveLength(3)
})
