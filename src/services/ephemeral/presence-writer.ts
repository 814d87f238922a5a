import type { UserId } from '../../protocol/ids.ts'
import { upsertPresences } from '../../storage/tables/presence.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { Background } from '../../util/background.ts'
import { createDeferred } from '../../util/deferred.ts'
import type { Deferred } from '../../util/deferred.ts'
import { rowOfState } from './presence-state.ts'
import type { PresenceState } from './presence-state.ts'

const FLUSH_DELAY_MS = 100
const RETRY_DELAY_MS = 1000
const BATCH_USERS_MAX = 500

/** Stores changed presence states in batches: presence is worth less than the writes that it would cost one by one. */
export class PresenceWriter {
  readonly #committer: LaneCommitter<'presence'>
  readonly #background: Background
  /** The newest state of each user that is not stored yet. */
  #pending = new Map<UserId, PresenceState>()
  #waiters: Deferred<void>[] = []
  #timer: NodeJS.Timeout | undefined
  #isFlushing = false

  constructor(deps: { committer: LaneCommitter<'presence'>; background: Background }) {
    this.#committer = deps.committer
    this.#background = deps.background
  }

  /** Stores the state soon. */
  enqueue(userId: UserId, state: PresenceState): void {
    this.#pending.set(userId, state)
    this.#schedule(FLUSH_DELAY_MS)
  }

  /** Resolves when all that was enqueued is committed; stores it at once. */
  flush(): Promise<void> {
    if (this.#pending.size === 0 && !this.#isFlushing) return Promise.resolve()
    const done = createDeferred<void>()
    this.#waiters.push(done)
    this.#start()
    return done.promise
  }

  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => this.#start(), delayMs)
  }

  #start(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#isFlushing) return
    this.#isFlushing = true
    this.#background.run('presence: store states', () => this.#flushAll())
  }

  async #flushAll(): Promise<void> {
    try {
      while (this.#pending.size > 0 || this.#waiters.length > 0) await this.#flushRound()
    } finally {
      this.#isFlushing = false
      if (this.#pending.size > 0) this.#schedule(RETRY_DELAY_MS)
    }
  }

  /** Stores all that is there now; what comes meanwhile, and who waits for it, is for the next round. */
  async #flushRound(): Promise<void> {
    const waiters = this.#waiters
    const states = [...this.#pending]
    this.#waiters = []
    this.#pending = new Map()
    try {
      for (let from = 0; from < states.length; from += BATCH_USERS_MAX)
        await this.#write(states.slice(from, from + BATCH_USERS_MAX))
      for (const waiter of waiters) waiter.resolve()
    } catch (error) {
      for (const [userId, state] of states) if (!this.#pending.has(userId)) this.#pending.set(userId, state)
      for (const waiter of waiters) waiter.reject(error)
      throw error
    }
  }

  async #write(batch: readonly (readonly [UserId, PresenceState])[]): Promise<void> {
    await this.#committer.commit({
      count: batch.length,
      write: (tx, index) =>
        upsertPresences(
          tx,
          index,
          batch.map(([userId, state]) => rowOfState(userId, state)),
        ),
      rows: () => batch.map(([userId, state]) => ({ userId, ...state })),
    })
  }

  /** Stores what is left and stops. */
  async close(): Promise<void> {
    await this.flush()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
