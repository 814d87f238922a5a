import { expect, it } from 'vitest'
import { describeFigures } from '../chaos/figures.ts'
import { runChaos } from '../chaos/run.ts'
import { environmentNumber } from '../kit/environment.ts'

const SEED = environmentNumber('GANGLION_CHAOS_SEED', 1)
const SECONDS = environmentNumber('GANGLION_CHAOS_SECONDS', 90)

it(
  `every promise is kept by four processes under faults of seed ${SEED} (P1–P6, P8, P9)`,
  { timeout: SECONDS * 1000 + 240_000 },
  async () => {
    const lines: string[] = []
    const outcome = await runChaos({ seed: SEED, seconds: SECONDS, layout: 'small', report: (line) => lines.push(line) })
    const report = `${lines.join('\n')}\n${describeFigures(outcome.figures)}`
    expect(outcome.violations, report).toEqual([])
    expect(outcome.failures, report).toEqual([])
    expect(outcome.internalErrors, report).toEqual([])
    // Slow machines have fewer; a run without load or faults proves nothing.
    expect(outcome.figures.acknowledged, report).toBeGreaterThan(SECONDS)
    expect(outcome.figures.faults, report).toBeGreaterThanOrEqual(Math.floor(SECONDS / 22))
  },
)
