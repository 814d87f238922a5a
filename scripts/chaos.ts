import { parseArgs } from 'node:util'
import { describeFigures } from '../tests/chaos/figures.ts'
import { LAYOUTS } from '../tests/chaos/layouts.ts'
import type { LayoutName } from '../tests/chaos/layouts.ts'
import { FAULT_KINDS } from '../tests/chaos/plan.ts'
import type { FaultKind } from '../tests/chaos/plan.ts'
import { runChaos } from '../tests/chaos/run.ts'
import { installSystemPackages } from './system-packages.ts'

const HELP = `Runs load and faults on a server of real processes, and checks that nothing was lost, doubled or put out of order.

  npm run chaos -- [options]

  --seed N         chooses faults, targets and times (default 1)
  --seconds S      length of the run without the start and the final read (default 90)
  --layout L       ${Object.keys(LAYOUTS).join(', ')} (default small)
  --faults A,B     only these kinds: ${FAULT_KINDS.join(', ')}
  --rooms N        rooms, each with a writer of its own (default 4)
  --pause MS       pause of a writer between two messages (default 100)
  --history FILE   writes the history and the final read there, as JSON lines
  --log FILE       writes the logs of all processes there

The status is 0 when every promise was kept.
`
const SHOWN_MAX = 30

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '90' },
    layout: { type: 'string', default: 'small' },
    faults: { type: 'string' },
    rooms: { type: 'string', default: '4' },
    pause: { type: 'string', default: '100' },
    history: { type: 'string' },
    log: { type: 'string' },
  },
})

if (values.help) process.stdout.write(HELP)
else process.exitCode = await main()

async function main(): Promise<number> {
  const { layout } = values
  if (!Object.hasOwn(LAYOUTS, layout)) throw new Error(`there is no layout ${layout}`)
  const kinds = values.faults?.split(',').map((kind) => {
    if (!(FAULT_KINDS as readonly string[]).includes(kind)) throw new Error(`there is no fault ${kind}`)
    return kind as FaultKind
  })
  const [seed, seconds, rooms, pauseMs] = [values.seed, values.seconds, values.rooms, values.pause].map((text) => {
    if (!/^\d+$/.test(text)) throw new Error(`${text} is no whole number`)
    return Number(text)
  }) as [number, number, number, number]
  if (installSystemPackages() > 0) return 1
  const outcome = await runChaos({
    seed,
    seconds,
    layout: layout as LayoutName,
    rooms,
    pauseMs,
    report: (line) => process.stdout.write(`${line}\n`),
    ...(kinds === undefined ? {} : { kinds }),
    ...(values.history === undefined ? {} : { historyFile: values.history }),
    ...(values.log === undefined ? {} : { logFile: values.log }),
  })
  const wrong = [
    ...outcome.violations.map(({ rule, detail }) => `${rule}: ${detail}`),
    ...outcome.failures,
    ...outcome.internalErrors.map((line) => `500: ${line}`),
  ]
  process.stdout.write(`\nseed ${seed}, layout ${layout}: ${describeFigures(outcome.figures)}\n`)
  for (const line of wrong.slice(0, SHOWN_MAX)) process.stdout.write(`WRONG ${line}\n`)
  if (wrong.length > SHOWN_MAX) process.stdout.write(`… and ${wrong.length - SHOWN_MAX} more\n`)
  process.stdout.write(wrong.length === 0 ? 'every promise was kept\n' : `${wrong.length} promises were broken\n`)
  return wrong.length === 0 ? 0 : 1
}
