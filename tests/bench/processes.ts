import { readdirSync, readFileSync } from 'node:fs'
import { isSystemError } from '../../src/util/system-error.ts'

// USER_HZ is 100 on every Linux that we know; the kernel reports in these ticks whatever its own are.
const MS_PER_TICK = 10

interface ProcessStat {
  readonly pid: number
  readonly parentPid: number
  /** Its own and that of its ended children. */
  readonly cpuMs: number
}

/** Processor time and memory of the server's processes and of PostgreSQL's. */
export interface ProcessUsage {
  readonly serverCpuMs: number
  readonly databaseCpuMs: number
  readonly serverMiB: number
  readonly databaseMiB: number
}

/** Reads the usage of the tree below `serverPid`; what is below `databasePid` counts as the database. */
export function readUsage(serverPid: number, databasePid: number): ProcessUsage {
  const stats = readAllStats()
  const database = descendants(stats, databasePid)
  const inDatabase = new Set(database.map((stat) => stat.pid))
  const server = descendants(stats, serverPid).filter((stat) => !inDatabase.has(stat.pid))
  const sum = (list: readonly ProcessStat[], value: (stat: ProcessStat) => number): number =>
    list.reduce((total, stat) => total + value(stat), 0)
  return {
    serverCpuMs: sum(server, (stat) => stat.cpuMs),
    databaseCpuMs: sum(database, (stat) => stat.cpuMs),
    serverMiB: sum(server, (stat) => readMiB(stat.pid)),
    databaseMiB: sum(database, (stat) => readMiB(stat.pid)),
  }
}

function readAllStats(): ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? [])
}

function readStat(pid: number): ProcessStat | undefined {
  const text = readProc(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The name stands in parentheses and may hold anything; the numbers come after the last one.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const [utime = 0, stime = 0, childrenUtime = 0, childrenStime = 0] = fields.slice(11, 15)
  return { pid, parentPid: fields[1] ?? 0, cpuMs: (utime + stime + childrenUtime + childrenStime) * MS_PER_TICK }
}

function descendants(stats: readonly ProcessStat[], rootPid: number): ProcessStat[] {
  const found = stats.filter((stat) => stat.pid === rootPid)
  for (const parent of found) found.push(...stats.filter((stat) => stat.parentPid === parent.pid))
  return found
}

/** The proportional set size: pages that processes share are counted once. */
function readMiB(pid: number): number {
  const found = /^Pss:\s+(\d+) kB/m.exec(readProc(`/proc/${pid}/smaps_rollup`) ?? '')
  return Number(found?.[1] ?? 0) / 1024
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    // The process has just ended.
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ESRCH')) return undefined
    throw error
  }
}
