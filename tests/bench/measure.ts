import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchServer, ServerUsage } from './bench-server.ts'

/** What one phase of a scenario costs. */
export interface Measurement {
  readonly scenario: string
  readonly concurrency: number
  readonly operations: number
  readonly errors: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
  /** CPU milliseconds of an operation, work that goes on after the last answer included. */
  readonly serverCpuMs: number
  readonly databaseCpuMs: number
  readonly walKilobytes: number
  readonly commits: number
  readonly serverMiB: number
  readonly databaseMiB: number
  /** How long the processes went on working after the last answer. */
  readonly lateMs: number
  readonly firstError?: string
}

export interface Load {
  readonly scenario: string
  readonly concurrency: number
  readonly seconds: number
  /** Ends the phase early. */
  readonly operationsMax?: number
  /** Operations that one call stands for, where the call's cost is to be divided (a message that wakes many). */
  readonly weight?: number
  /** The work is done only when the processes rest again: that counts for the rate. */
  readonly isDoneLater?: boolean
  /** Returns the latency where it is not that of the call itself. */
  operation(index: number): Promise<number | void>
}

const SETTLE_STEP_MS = 100
const SETTLE_MAX_MS = 30_000
/** Timers of an idle server and of PostgreSQL: less than this in a step is rest. */
const IDLE_CPU_MS = 10

/** Calls the operation from so many loops at once for some seconds, and tells what it cost. */
export async function measure(server: BenchServer, load: Load): Promise<Measurement> {
  await settle(server)
  const before = await server.usage()
  const startedMs = performance.now()
  const result = await run(load, startedMs + load.seconds * 1000)
  const elapsedMs = performance.now() - startedMs
  const lateMs = await settle(server)
  return summarize({ load, before, after: await server.usage(), result, elapsedMs, lateMs })
}

interface RunResult {
  readonly latencies: number[]
  readonly errors: unknown[]
}

async function run(load: Load, endMs: number): Promise<RunResult> {
  const result: RunResult = { latencies: [], errors: [] }
  let next = 0
  const loop = async (): Promise<void> => {
    while (performance.now() < endMs && next < (load.operationsMax ?? Infinity)) {
      const index = next
      next += 1
      const startedMs = performance.now()
      try {
        const latencyMs = await load.operation(index)
        result.latencies.push(latencyMs ?? performance.now() - startedMs)
      } catch (error) {
        result.errors.push(error)
        // A server that refuses quickly must not make the loop spin.
        await sleep(10)
      }
    }
  }
  await Promise.all(Array.from({ length: load.concurrency }, loop))
  return result
}

/** Waits until the processes rest; returns how long that took. */
async function settle(server: BenchServer): Promise<number> {
  const startedMs = performance.now()
  let lastMs = totalCpu(server)
  for (;;) {
    await sleep(SETTLE_STEP_MS)
    const nowMs = totalCpu(server)
    const waitedMs = performance.now() - startedMs
    if (nowMs - lastMs <= IDLE_CPU_MS || waitedMs > SETTLE_MAX_MS) return waitedMs - SETTLE_STEP_MS
    lastMs = nowMs
  }
}

function totalCpu(server: BenchServer): number {
  const usage = server.processUsage()
  return usage.serverCpuMs + usage.databaseCpuMs
}

function summarize(parts: {
  load: Load
  before: ServerUsage
  after: ServerUsage
  result: RunResult
  elapsedMs: number
  lateMs: number
}): Measurement {
  const { load, before, after, result } = parts
  const operations = result.latencies.length * (load.weight ?? 1)
  const each = (total: number): number => (operations === 0 ? 0 : total / operations)
  const sorted = result.latencies.toSorted((a, b) => a - b)
  const [firstError] = result.errors
  return {
    scenario: load.scenario,
    concurrency: load.concurrency,
    operations,
    errors: result.errors.length,
    perSecond: operations / ((parts.elapsedMs + (load.isDoneLater === true ? parts.lateMs : 0)) / 1000),
    p50Ms: percentile(sorted, 0.5),
    p95Ms: percentile(sorted, 0.95),
    p99Ms: percentile(sorted, 0.99),
    serverCpuMs: each(after.serverCpuMs - before.serverCpuMs),
    databaseCpuMs: each(after.databaseCpuMs - before.databaseCpuMs),
    walKilobytes: each(after.walBytes - before.walBytes) / 1024,
    commits: each(after.commits - before.commits),
    serverMiB: after.serverMiB,
    databaseMiB: after.databaseMiB,
    lateMs: parts.lateMs,
    ...(firstError === undefined ? {} : { firstError: String(firstError) }),
  }
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
