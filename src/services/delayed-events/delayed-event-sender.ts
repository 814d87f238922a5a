import { MatrixError } from '../../protocol/errors.ts'
import { isConnectionLost } from '../../storage/database.ts'
import type { Database } from '../../storage/database.ts'
import {
  deleteEndedDelayedEvents,
  endDelayedEvents,
  endDelayedStateOfOthers,
  getDueDelayedEvents,
  getNextDueMs,
} from '../../storage/tables/delayed-events.ts'
import type { DelayedEventRow } from '../../storage/tables/delayed-events.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import type { DelayedEvents } from './delayed-events.ts'

const PAGE_EVENTS = 100
/** A wake-up may get lost: so often the database is asked. */
const LOOK_MS = 5000
const RETRY_MS = 1000
/** How long a transaction id is remembered after its event was sent. */
const KEPT_MS = 24 * 3600_000

/** Sends delayed events when they are due, in their order: the work of one role. MSC4140. */
export class DelayedEventSender {
  readonly #database: Database
  readonly #delayed: DelayedEvents
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #background: Background
  #loop: Promise<void> | undefined
  #wake: () => void = () => undefined
  #isActive = false
  /** State events wait: else nobody has to look at what others set. */
  #hasWaiting = false

  constructor(deps: {
    database: Database
    delayed: DelayedEvents
    hub: StreamHub
    clock: Clock
    logger: Logger
    background: Background
  }) {
    this.#database = deps.database
    this.#delayed = deps.delayed
    this.#clock = deps.clock
    this.#logger = deps.logger
    this.#background = deps.background
    deps.delayed.onWake(() => {
      this.#hasWaiting = true
      this.#wake()
    })
    deps.hub.onRow('events', ({ roomId, type, stateKey, sender }) => {
      if (stateKey !== undefined && this.#isActive && this.#hasWaiting) this.#cancel({ roomId, type, stateKey, sender })
    })
  }

  /** Takes the role. */
  start({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    this.#isActive = true
    this.#hasWaiting = true
    this.#loop = this.#run(signal)
    return Promise.resolve()
  }

  /** Settles when nothing of it runs any more; the lease's signal is aborted before. */
  async stop(): Promise<void> {
    this.#isActive = false
    await this.#loop
  }

  /** Who sets the state that somebody else waits to set has the last word. */
  #cancel(slot: { roomId: string; type: string; stateKey: string; sender: string }): void {
    this.#background.run('cancel delayed state', () => endDelayedStateOfOthers(this.#database, slot, this.#clock.nowMs()))
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve))
      let waitMs = LOOK_MS
      try {
        await deleteEndedDelayedEvents(this.#database, this.#clock.nowMs() - KEPT_MS)
        while (!signal.aborted && (await this.#sendDue(signal)));
        const nextMs = await getNextDueMs(this.#database)
        this.#hasWaiting = nextMs !== undefined
        if (nextMs !== undefined) waitMs = Math.min(LOOK_MS, Math.max(0, nextMs - this.#clock.nowMs()))
      } catch (error) {
        this.#logger.warn('sending delayed events failed', { error })
        waitMs = RETRY_MS
      }
      await Promise.race([woken, pause(waitMs, signal)])
    }
  }

  /** Returns whether there may be more. */
  async #sendDue(signal: AbortSignal): Promise<boolean> {
    const due = await getDueDelayedEvents(this.#database, { nowMs: this.#clock.nowMs(), limit: PAGE_EVENTS })
    for (const row of due) {
      if (signal.aborted) return false
      await this.#send(row)
    }
    return due.length === PAGE_EVENTS
  }

  async #send(row: DelayedEventRow): Promise<void> {
    try {
      await this.#delayed.send(row)
    } catch (error) {
      // A server that is busy or on its way down tries again; a room that refuses has refused.
      if (!(error instanceof MatrixError) || error.status >= 500 || isConnectionLost(error)) throw error
      this.#logger.info('a delayed event was refused', { room: row.roomId, user: row.userId, error })
    }
    await endDelayedEvents(this.#database, [row.delayId], this.#clock.nowMs())
  }
}
