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
  readonly #checkMs: number
  #lock: SessionLock | undefined
  #retry: NodeJS.Timeout | undefined
  #check: NodeJS.Timeout | undefined
  #isReleased = true

  /**
   * `connection` must lead to PostgreSQL itself, not to a pooler in transaction mode. Every `checkMs` the connection is tried: a
   * network that swallows packets ends none on our side, while PostgreSQL has freed the lock for long.
   */
  constructor(deps: {
    connection: DatabaseOptions
    self: { readonly instance: string; readonly boot: string }
    logger: Logger
    checkMs: number
  }) {
    this.#connection = deps.connection
    this.#self = deps.self
    this.#logger = deps.logger
    this.#checkMs = deps.checkMs
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
      onLost: (error) => this.#reopen(error),
    })
    if (this.#isReleased) {
      await lock.release()
      return
    }
    this.#lock = lock
    this.#check = setTimeout(() => void this.#checkLock(lock), this.#checkMs)
  }

  async #checkLock(lock: SessionLock): Promise<void> {
    try {
      await lock.check()
    } catch (error) {
      if (this.#lock !== lock) return
      // Ends what is left of the connection; a second one beside it could not get the lock.
      lock.release().catch((releaseError: unknown) => this.#logger.debug('A broken connection', { error: releaseError }))
      this.#reopen(error)
    }
    if (this.#lock === lock) this.#check = setTimeout(() => void this.#checkLock(lock), this.#checkMs)
  }

  #reopen(error: unknown): void {
    this.#lock = undefined
    clearTimeout(this.#check)
    if (this.#isReleased) return
    this.#logger.warn('The connection that shows others that this process lives broke; it is made anew', { error })
    this.#reopenIn(RETRY_FIRST_MS)
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
    clearTimeout(this.#check)
    const lock = this.#lock
    this.#lock = undefined
    await lock?.release()
  }
}
