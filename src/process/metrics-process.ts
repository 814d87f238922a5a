import { readdirSync } from 'node:fs'
import type { MetricFamily, MetricSample } from '../api/metrics/metrics.ts'
import { isSystemError } from '../util/system-error.ts'
import { readVersion } from '../util/version.ts'

const MICROSECONDS = 1_000_000

/** What Prometheus' own clients tell of a process, under their names. */
export const PROCESS_METRICS: readonly MetricFamily[] = [
  {
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, in seconds.',
    type: 'counter',
    read: () => one((process.cpuUsage().user + process.cpuUsage().system) / MICROSECONDS),
  },
  {
    name: 'process_cpu_user_seconds_total',
    help: 'CPU time of the process outside the kernel, in seconds.',
    type: 'counter',
    read: () => one(process.cpuUsage().user / MICROSECONDS),
  },
  {
    name: 'process_cpu_system_seconds_total',
    help: 'CPU time of the process in the kernel, in seconds.',
    type: 'counter',
    read: () => one(process.cpuUsage().system / MICROSECONDS),
  },
  {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process.',
    type: 'gauge',
    read: () => one(process.memoryUsage.rss()),
  },
  {
    name: 'process_start_time_seconds',
    help: 'When the process began, in seconds since 1970.',
    type: 'gauge',
    read: () => one(performance.timeOrigin / 1000),
  },
  { name: 'process_open_fds', help: 'Open files and sockets.', type: 'gauge', read: countOpenFiles },
  {
    name: 'nodejs_heap_size_used_bytes',
    help: 'Memory of JavaScript values.',
    type: 'gauge',
    read: () => one(process.memoryUsage().heapUsed),
  },
  {
    name: 'nodejs_eventloop_utilization',
    help: 'Share of the time since the start in which the event loop was busy.',
    type: 'gauge',
    read: () => one(performance.eventLoopUtilization().utilization),
  },
  {
    name: 'ganglion_build_info',
    help: 'Always 1; the labels say what runs.',
    type: 'gauge',
    read: () => [{ value: 1, labels: { version: readVersion(), nodeversion: process.version } }],
  },
]

function one(value: number): MetricSample[] {
  return [{ value }]
}

/** Only Linux shows them as files. */
function countOpenFiles(): MetricSample[] {
  try {
    return one(readdirSync('/proc/self/fd').length)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return []
    throw error
  }
}
