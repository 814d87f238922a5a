import { SeededRandom } from '../fuzz/seeded-random.ts'
import { ROLE_HOLDERS } from './layouts.ts'
import type { LayoutName } from './layouts.ts'

/** Every kind of fault that the nemesis knows. */
export const FAULT_KINDS = [
  'kill_persister',
  'kill_process',
  'kill_redis',
  'kill_postgres',
  'stop_postgres_immediate',
  'end_database_sessions',
  'pause_persister',
  'pause_sync',
  'pause_role_holder',
  'mistreat_frames',
  'twin',
  'rolling_restart',
  'scale_persisters',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

/** One fault to come. */
export interface PlannedFault {
  readonly kind: FaultKind
  /** The process it is for; empty where it is for none. */
  readonly target: string
  /** From the begin of the phase of faults. */
  readonly atMs: number
  /** How long it lasts, where it is one that lasts. */
  readonly durationMs: number
}

const REST_MS = 4000
const REST_SPREAD_MS = 1500
const PAUSE_MS = 30_000
const MISTREAT_MS = 10_000
/** What a fault without duration takes, roughly: the process is back, and there is load again. */
const TYPICAL_MS = 4000
const ROLLING_MS_PER_PROCESS = 2500

export interface PlanOptions {
  readonly seed: number
  readonly layout: LayoutName
  readonly processes: readonly string[]
  readonly clientProcesses: readonly string[]
  readonly persisters: readonly string[]
  /** How long the phase of faults is. */
  readonly ms: number
  /** Only these kinds; all where none is named. */
  readonly kinds?: readonly FaultKind[]
}

/** Chooses faults, targets and times. The same options give the same plan. */
export function planFaults(options: PlanOptions): PlannedFault[] {
  const random = new SeededRandom(options.seed)
  const possible = (options.kinds ?? FAULT_KINDS).filter((kind) => isPossible(kind, options))
  const plan: PlannedFault[] = []
  let bag: FaultKind[] = []
  let atMs = 0
  const fits = (kind: FaultKind): boolean => atMs + durationOf(kind, options) + REST_MS <= options.ms
  while (possible.some(fits)) {
    // A bag, not dice: every kind comes before one comes twice, as long as there is time for it.
    if (!bag.some(fits)) bag = shuffle(possible, random)
    const [kind] = bag.splice(bag.findIndex(fits), 1)
    if (kind === undefined) break
    const durationMs = durationOf(kind, options)
    plan.push({ kind, target: targetOf(kind, options, random), atMs, durationMs })
    atMs += durationMs + REST_MS + random.below(REST_SPREAD_MS)
  }
  return plan
}

function isPossible(kind: FaultKind, { layout }: PlanOptions): boolean {
  if (layout !== 'monolith') return kind !== 'scale_persisters' || layout === 'five' || layout === 'full'
  return [
    'kill_process',
    'kill_postgres',
    'stop_postgres_immediate',
    'end_database_sessions',
    'pause_sync',
    'rolling_restart',
  ].includes(kind)
}

function targetOf(kind: FaultKind, options: PlanOptions, random: SeededRandom): string {
  switch (kind) {
    case 'kill_persister':
    case 'pause_persister':
      return random.pick(options.persisters)
    case 'kill_process':
      return random.pick(options.processes)
    case 'pause_sync':
      return random.pick(options.clientProcesses)
    case 'pause_role_holder':
      return random.pick(ROLE_HOLDERS[options.layout])
    case 'twin':
      return random.pick(options.processes.filter((name) => name !== 'main'))
    default:
      return ''
  }
}

function durationOf(kind: FaultKind, { processes, ms }: PlanOptions): number {
  // A short run has room for one that is over soon, but longer than a silent process is taken for alive.
  if (kind.startsWith('pause_')) return ms >= 120_000 ? PAUSE_MS : 12_000
  if (kind === 'mistreat_frames') return ms >= 120_000 ? MISTREAT_MS : 5000
  if (kind === 'rolling_restart') return ROLLING_MS_PER_PROCESS * processes.length
  if (kind === 'scale_persisters') return 2 * ROLLING_MS_PER_PROCESS * (processes.length + 2)
  return TYPICAL_MS
}

function shuffle<T>(items: readonly T[], random: SeededRandom): T[] {
  const left = [...items]
  const shuffled: T[] = []
  while (left.length > 0) shuffled.push(...left.splice(random.below(left.length), 1))
  return shuffled
}
