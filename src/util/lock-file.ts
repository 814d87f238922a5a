import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { isSystemError } from './system-error.ts'

/** Somebody else holds the lock. */
export class LockHeldError extends Error {
  readonly holderPid: number

  constructor(path: string, holderPid: number) {
    super(`${path} is held by process ${holderPid}`)
    this.name = 'LockHeldError'
    this.holderPid = holderPid
  }
}

/** A lock that dies with its process: a file that names the process and when it began. */
export interface FileLock {
  release(): void
}

const ATTEMPTS_MAX = 5

/** Takes the lock, also from a dead process. Throws LockHeldError when a living one has it. */
export function acquireFileLock(path: string, pid: number = process.pid): FileLock {
  const own = `${path}.${pid}`
  const content = `${pid} ${readProcessStart(pid) ?? '-'}\n`
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    writeFileSync(own, content, { mode: 0o600 })
    try {
      // `link` is the one step that only one of several starters can make.
      linkSync(own, path)
      return { release: () => releaseIfOwn(path, content) }
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error
      removeStale(path, own)
    } finally {
      rmSync(own, { force: true })
    }
  }
  throw new Error(`cannot take the lock ${path}: others take it over and over`)
}

function removeStale(path: string, own: string): void {
  const holder = readHolder(path)
  if (holder === undefined) return
  if (isRunning(holder)) throw new LockHeldError(path, holder.pid)
  // Between reading and renaming, another starter may have replaced the stale file with its own: look again at what was moved.
  const moved = `${own}.stale`
  try {
    renameSync(path, moved)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return
    throw error
  }
  const taken = readHolder(moved)
  if (taken !== undefined && isRunning(taken)) {
    linkSync(moved, path)
    rmSync(moved)
    throw new LockHeldError(path, taken.pid)
  }
  rmSync(moved)
}

function releaseIfOwn(path: string, content: string): void {
  try {
    if (readFileSync(path, 'utf8') === content) rmSync(path)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
  }
}

interface Holder {
  readonly pid: number
  readonly start: string
}

function readHolder(path: string): Holder | undefined {
  try {
    const [pid = '', start = '-'] = readFileSync(path, 'utf8').trim().split(' ')
    return { pid: Number(pid), start }
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

function isRunning(holder: Holder): boolean {
  if (!isProcessAlive(holder.pid)) return false
  const start = readProcessStart(holder.pid)
  // Process ids are used again, in containers at once: the same id with another birth is somebody else.
  return start === undefined || holder.start === '-' || start === holder.start
}

/** Tells whether a process with this id exists (a zombie does not count). */
export function isProcessAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    return isSystemError(error, 'EPERM')
  }
  return readProcessStat(pid)?.state !== 'Z'
}

/** When the process began, as an opaque text; undefined where the system does not tell (not Linux). */
function readProcessStart(pid: number): string | undefined {
  return readProcessStat(pid)?.start
}

function readProcessStat(pid: number): { state: string; start: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name (in brackets) may contain anything; state is the field after it, the start time the 20th after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0] ?? '', start: fields[19] ?? '' }
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ESRCH')) return undefined
    throw error
  }
}
