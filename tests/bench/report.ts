import type { Measurement } from './measure.ts'

const COLUMNS: readonly { title: string; value: (m: Measurement) => string }[] = [
  { title: 'scenario', value: (m) => m.scenario },
  { title: 'at once', value: (m) => String(m.concurrency) },
  { title: 'operations', value: (m) => String(m.operations) },
  { title: 'per s', value: (m) => m.perSecond.toFixed(m.perSecond < 100 ? 1 : 0) },
  { title: 'p50 ms', value: (m) => m.p50Ms.toFixed(1) },
  { title: 'p95 ms', value: (m) => m.p95Ms.toFixed(1) },
  { title: 'p99 ms', value: (m) => m.p99Ms.toFixed(1) },
  { title: 'CPU ms server', value: (m) => m.serverCpuMs.toFixed(3) },
  { title: 'CPU ms PostgreSQL', value: (m) => m.databaseCpuMs.toFixed(3) },
  { title: 'CPU ms both', value: (m) => (m.serverCpuMs + m.databaseCpuMs).toFixed(3) },
  { title: 'WAL kB', value: (m) => m.walKilobytes.toFixed(1) },
  { title: 'commits', value: (m) => m.commits.toFixed(2) },
  { title: 'late ms', value: (m) => m.lateMs.toFixed(0) },
  { title: 'MiB server', value: (m) => m.serverMiB.toFixed(0) },
  { title: 'MiB PostgreSQL', value: (m) => m.databaseMiB.toFixed(0) },
  { title: 'errors', value: (m) => String(m.errors) },
]

/** A Markdown table; CPU, WAL and commits are for one operation. */
export function renderTable(measurements: readonly Measurement[]): string {
  const rows = [
    COLUMNS.map((column) => column.title),
    ...measurements.map((measurement) => COLUMNS.map((column) => column.value(measurement))),
  ]
  const widths = COLUMNS.map((_column, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`
  const [header = [], ...body] = rows
  return [line(header), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...body.map(line)].join('\n')
}
