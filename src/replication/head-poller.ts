import type { Database } from '../storage/database.ts'
import { getDrawnPositions, getLaneHead } from '../storage/tables/streams.ts'
import type { StreamHub } from '../streams/stream-hub.ts'
import { STREAMS } from '../streams/streams.ts'
import type { StreamName } from '../streams/streams.ts'
import type { Clock } from '../util/clock.ts'
import type { Random } from '../util/random.ts'

/** How often heads are asked for while clients wait, and while none does. */
export interface PollIntervals {
  readonly waitingMs: number
  readonly idleMs: number
}

/** A wait differs from the last by up to a quarter, so that processes do not ask all at once. */
const JITTER_SHARE = 0.25

/**
 * Asks PostgreSQL now and then for the heads of all lanes, and makes the hub read what no frame has brought: however a message
 * got lost, its rows arrive. One query of sequences, without locks, as long as nothing is new.
 */
export class HeadPoller {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #random: Random
  readonly #clock: Clock
  readonly #intervals: () => PollIntervals
  readonly #onPoll: () => void
  readonly #onError: (error: unknown) => void
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #isStopped = true
  #polledMs = 0

  constructor(deps: {
    database: Database
    hub: StreamHub
    random: Random
    clock: Clock
    intervals: () => PollIntervals
    onPoll: () => void
    onError: (error: unknown) => void
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#random = deps.random
    this.#clock = deps.clock
    this.#intervals = deps.intervals
    this.#onPoll = deps.onPoll
    this.#onError = deps.onError
  }

  start(): void {
    this.#isStopped = false
    this.#schedule()
  }

  /** Begins the interval anew, because it has become another. */
  reschedule(): void {
    if (this.#isStopped) return
    clearTimeout(this.#timer)
    this.#schedule()
  }

  /** Looks as often as it would have to poll if clients waited: some may come at any time. */
  #schedule(): void {
    const share = (this.#random.bytes(1)[0] ?? 0) / 256
    const { waitingMs, idleMs } = this.#intervals()
    this.#timer = setTimeout(
      () => {
        const isDue = this.#hub.parked > 0 || this.#clock.monotonicMs() - this.#polledMs >= idleMs - waitingMs
        void (isDue ? this.poll() : Promise.resolve()).finally(() => this.reschedule())
      },
      waitingMs * (1 - JITTER_SHARE * share),
    ).unref()
  }

  /** Polls now; joins a poll under way. Never rejects. */
  poll(): Promise<void> {
    this.#running ??= this.#pollOnce()
      .catch((error: unknown) => this.#isStopped || this.#onError(error))
      .then(() => undefined)
      .finally(() => (this.#running = undefined))
    return this.#running
  }

  async #pollOnce(): Promise<void> {
    this.#onPoll()
    this.#polledMs = this.#clock.monotonicMs()
    const drawn = new Map((await getDrawnPositions(this.#database)).map((row) => [`${row.name}/${row.lane}`, row.drawn]))
    for (const { stream, lane, head } of this.#hub.heads()) {
      if (!STREAMS[stream].isPersistent || (drawn.get(`${stream}/${lane}`) ?? 0) <= head) continue
      // Drawn is not committed: only under the lane's lock is it known what is final.
      await this.#hub.catchUp(stream, lane, await readLaneHead(this.#database, stream, lane))
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#running
  }
}

/** Reads a lane's head: everything up to it is committed, or lost for good. */
export function readLaneHead(database: Database, stream: StreamName, lane: number): Promise<number> {
  return getLaneHead(database, { stream: STREAMS[stream].number, lane })
}
