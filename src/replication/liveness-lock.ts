import type { DatabaseOptions } from '../storage/database.ts'
import { openLivenessLock } from '../storage/session-lock.ts'
import type { SessionLock } from '../storage/session-lock.ts'
import type { Logger } from '../util/logger.ts'

const RETRY_FIRST_MS = 50
const RETRY_MAX_MS = 2000

/**
 * Shows that this process lives: holds an advisory lock for its boot on a direct connection, which PostgreSQL frees the moment the
 * process dies (replication design, section 3). When the connection breaks while we live, the lock is taken again.
 */
export class LivenessLock {
  readonly #connection: DatabaseOptions
  readonly #self: { readonly instance: string; readonly boot: string }
  readonly #logger: Logger
  #lock: SessionLock | undefined
  #retry: NodeJS.Timeout | undefined
  #isReleased = true

  /** `connection` must lead to PostgreSQL itself, not to a pooler in transaction mode. */
  constructor(deps: { connection: DatabaseOptions; self: { readonly instance: string; readonly boot: string }; logger: Logger }) {
    this.#connection = deps.connection
    this.#self = deps.self
    this.#logger = deps.logger
  }

  get isHeld(): boolean {
    return this.#lock !== undefined
  }

  /** Takes the lock. Rejects when the database cannot be reached. */
  async acquire(): Promise<void> {
    this.#isReleased = false
    await this.#open()
  }

  async #open(): Promise<void> {
    const lock = await openLivenessLock(this.#connection, {
      boot: this.#self.boot,
      applicationName: `ganglion liveness ${this.#self.instance}`,
      onLost: (error) => {
        this.#lock = undefined
        if (this.#isReleased) return
        this.#logger.warn('The connection that shows others that this process lives broke; it is made anew', { error })
        this.#reopenIn(RETRY_FIRST_MS)
      },
    })
    if (this.#isReleased) await lock.release()
    else this.#lock = lock
  }

  #reopenIn(delayMs: number): void {
    this.#retry = setTimeout(() => {
      this.#open().catch((error: unknown) => {
        if (this.#isReleased) return
        this.#logger.debug('The liveness lock could not be taken yet', { error })
        this.#reopenIn(Math.min(delayMs * 2, RETRY_MAX_MS))
      })
    }, delayMs)
  }

  /** Gives the lock up: others see at once that this process is gone. */
  async release(): Promise<void> {
    this.#isReleased = true
    clearTimeout(this.#retry)
    const lock = this.#lock
    this.#lock = undefined
    await lock?.release()
  }
}
