import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildChildEnvironment, readEnvironment } from '../util/environment.ts'
import type { Logger } from '../util/logger.ts'

/** What a process tells our supervisor over their channel. */
export interface ReadyMessage {
  readonly kind: 'ready'
  readonly addresses: readonly string[]
}

/**
 * Tells whoever started this process how it is: our supervisor over the channel that it opened, systemd (`Type=notify`, `WatchdogSec`)
 * through the program `systemd-notify`. Node knows no datagram sockets of the Unix kind, so the message comes from a child: the unit needs
 * `NotifyAccess=all`.
 */
export class ServiceManager {
  readonly #logger: Logger
  readonly #socket = readEnvironment('NOTIFY_SOCKET')
  readonly #stopped = new AbortController()
  #hasFailed = false

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** Everything is open: requests are answered from now on. Begins to feed the watchdog. */
  ready(addresses: readonly string[]): void {
    process.send?.({ kind: 'ready', addresses } satisfies ReadyMessage)
    this.#notify(['READY=1', `STATUS=listening on ${addresses.join(', ') || 'nothing'}`])
    const intervalMs = Number(readEnvironment('WATCHDOG_USEC') ?? 0) / 1000 / 2
    if (intervalMs > 0)
      this.#feedWatchdog(intervalMs).catch((error: unknown) => {
        if (!this.#stopped.signal.aborted) this.#logger.error('the watchdog is not fed any more', { error })
      })
  }

  /** The process is about to end. */
  stopping(): void {
    this.#stopped.abort()
    this.#notify(['STOPPING=1'])
  }

  /** A blocked event loop does not get here, which is the point. */
  async #feedWatchdog(intervalMs: number): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      this.#notify(['WATCHDOG=1'])
      await sleep(intervalMs, undefined, { ref: false, signal })
    }
  }

  #notify(assignments: readonly string[]): void {
    if (this.#socket === undefined) return
    const env = buildChildEnvironment({ NOTIFY_SOCKET: this.#socket })
    const child = spawn('systemd-notify', assignments, { stdio: 'ignore', env })
    const fail = (reason: unknown): void => {
      if (!this.#hasFailed) this.#logger.warn('systemd could not be told: systemd-notify failed', { reason })
      this.#hasFailed = true
    }
    child.once('error', fail)
    child.once('exit', (status) => (status === 0 ? undefined : fail(`status ${String(status)}`)))
    child.unref()
  }
}
