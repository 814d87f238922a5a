import { readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isProcessAlive } from '../util/lock-file.ts'
import type { Logger } from '../util/logger.ts'
import { OperatorError } from '../util/operator-error.ts'
import { isSystemError } from '../util/system-error.ts'

const POLL_MS = 20
const STOP_TIMEOUT_MS = 8_000

/** Ends a postmaster that runs on these files although nobody supervises it, after our process was killed. */
export async function stopLeftover(cluster: string, logger: Logger): Promise<void> {
  const pid = readPostmaster(cluster)?.pid
  if (pid === undefined) return
  if (isProcessAlive(pid) && isPostmasterOf(pid, cluster)) {
    logger.info('stopping a PostgreSQL that was left running', { pid })
    await stopProcess(pid)
  }
  // PostgreSQL would take any process with that id for its own kind, and refuse to start.
  rmSync(join(cluster, 'postmaster.pid'), { force: true })
}

/** SIGINT disconnects clients and writes everything out ("fast"); SIGQUIT only ends, and the next start recovers. */
export async function stopProcess(pid: number): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if (!isSystemError(error, 'ESRCH')) throw error
    }
    if (await waitUntil(() => !isProcessAlive(pid), STOP_TIMEOUT_MS)) return
  }
  throw new OperatorError(`PostgreSQL (process ${pid}) does not end`)
}

function isPostmasterOf(pid: number, cluster: string): boolean {
  if (process.platform !== 'linux') return true
  try {
    // A postmaster's working directory is its cluster.
    return readlinkSync(`/proc/${pid}/cwd`) === cluster
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false
    if (isSystemError(error, 'EACCES')) return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('postgres')
    throw error
  }
}

/** Reads who runs on a cluster, and whether it accepts connections. Format: PostgreSQL's postmaster.pid. */
export function readPostmaster(cluster: string): { pid: number; isReady: boolean } | undefined {
  try {
    const lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n')
    return { pid: Number(lines[0]), isReady: lines[7]?.trim() === 'ready' }
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Polls until the condition holds. Returns whether it does in the end. */
export async function waitUntil(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += POLL_MS) {
    if (condition()) return true
    await sleep(POLL_MS)
  }
  return condition()
}
