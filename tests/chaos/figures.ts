import type { Violation } from './checker.ts'
import type { Entry, FaultEntry, SendEntry } from './history.ts'

/** What a fault run measured. */
export interface Figures {
  readonly seconds: number
  readonly sends: number
  readonly acknowledged: number
  readonly unanswered: number
  readonly faults: number
  readonly lost: number
  readonly doubled: number
  readonly order: number
  readonly other: number
  readonly recoveries: readonly Recovery[]
  /** Requests through the proxy that failed while processes were restarted one after the other. */
  readonly rollingFailures: number
  /** The longest that an ended token was taken. */
  readonly logoutToldMs: number
}

/** Time from a fault to the third new acknowledged send (promise P11). */
export interface Recovery {
  readonly kind: string
  readonly target: string
  readonly atMs: number
  /** In whichever room it was. */
  readonly anyRoomMs: number | undefined
  /** In the room where it took longest. */
  readonly slowestRoomMs: number | undefined
  /** The same, counted from the moment when the database took connections again. */
  readonly sinceReadyMs: number | undefined
}

const NTH = 3
const RECOVERY_KINDS = new Set([
  'kill_persister',
  'kill_process',
  'kill_redis',
  'kill_postgres',
  'stop_postgres_immediate',
  'end_database_sessions',
])

/** Counts what happened. */
export function computeFigures(history: readonly Entry[], violations: readonly Violation[]): Figures {
  const sends = history.filter((entry): entry is SendEntry => entry.op === 'send')
  const faults = history.filter((entry): entry is FaultEntry => entry.op === 'fault')
  const count = (kind: Violation['kind']): number => violations.filter((violation) => violation.kind === kind).length
  return {
    seconds: Math.round(history.reduce((latest, { end }) => Math.max(latest, end), 0) / 1000),
    sends: sends.length,
    acknowledged: new Set(sends.filter(({ result }) => result === 'ok').map(({ key }) => key)).size,
    unanswered: sends.filter(({ result }) => result === 'unknown').length,
    faults: faults.length,
    lost: count('lost'),
    doubled: count('doubled'),
    order: count('order'),
    other: count('other'),
    recoveries: faults.filter(({ key }) => RECOVERY_KINDS.has(key)).map((fault) => recoveryOf(fault, sends)),
    rollingFailures: countRollingFailures(history, faults),
    logoutToldMs: longestLogout(history),
  }
}

function recoveryOf(fault: FaultEntry, sends: readonly SendEntry[]): Recovery {
  const since = sends.filter(({ t, result }) => t > fault.t && result === 'ok').toSorted((a, b) => a.end - b.end)
  const rooms = [...Map.groupBy(since, ({ room }) => room).values()].map((ofRoom) => ofRoom[NTH - 1]?.end)
  const slowest = rooms.includes(undefined) ? undefined : Math.max(...rooms.map((end) => end ?? 0))
  const any = since[NTH - 1]?.end
  const isDatabase = fault.key.includes('postgres')
  return {
    kind: fault.key,
    target: fault.process,
    atMs: fault.t,
    anyRoomMs: any === undefined ? undefined : any - fault.t,
    slowestRoomMs: slowest === undefined ? undefined : slowest - fault.t,
    // Such a fault ends when the database is ready.
    sinceReadyMs: isDatabase && slowest !== undefined ? Math.max(0, slowest - fault.end) : undefined,
  }
}

function countRollingFailures(history: readonly Entry[], faults: readonly FaultEntry[]): number {
  const windows = faults.filter(({ key }) => key === 'rolling_restart')
  return history.filter(
    ({ op, process, result, t, end }) =>
      op !== 'fault' &&
      process === 'proxy' &&
      result === 'unknown' &&
      windows.some((window) => t >= window.t && end <= window.end),
  ).length
}

function longestLogout(history: readonly Entry[]): number {
  const endedAt = new Map<string, number>()
  for (const entry of history) if (entry.op === 'logout' && entry.result === 'ok') endedAt.set(entry.key, entry.end)
  const late = history.flatMap((entry) =>
    entry.op === 'use' && entry.result === 'ok' ? [entry.t - (endedAt.get(entry.key) ?? Infinity)] : [],
  )
  return Math.max(0, ...late)
}

/** Writes the figures for people. */
export function describeFigures(figures: Figures): string {
  const show = (ms: number | undefined): string => (ms === undefined ? '-' : `${(ms / 1000).toFixed(2)} s`)
  const lines = [
    `${figures.seconds} s, ${figures.faults} faults`,
    `${figures.acknowledged} sends acknowledged, ${figures.sends} tried, ${figures.unanswered} without an answer`,
    `${figures.lost} lost, ${figures.doubled} doubled, ${figures.order} out of order, ${figures.other} otherwise wrong`,
    `${figures.rollingFailures} requests failed through the proxy during rolling restarts`,
    `an ended token was taken for ${figures.logoutToldMs} ms at the longest`,
    'third new acknowledged send after the fault: in any room, in the slowest room, since the database was ready',
  ]
  for (const { kind, target, atMs, anyRoomMs, slowestRoomMs, sinceReadyMs } of figures.recoveries) {
    const at = `${(atMs / 1000).toFixed(1)} s`.padStart(8)
    lines.push(`${at}  ${`${kind} ${target}`.padEnd(30)} ${show(anyRoomMs)}, ${show(slowestRoomMs)}, ${show(sinceReadyMs)}`)
  }
  return lines.join('\n')
}
