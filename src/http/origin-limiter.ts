import { setTimeout as sleep } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { MatrixError } from '../protocol/errors.ts'
import type { Clock } from '../util/clock.ts'

const ORIGINS_MAX = 20_000

/** Option `rc_federation`, with Synapse's meanings. */
export interface OriginLimits {
  readonly windowSizeMs: number
  /** Requests in the window before further ones are delayed. */
  readonly sleepLimit: number
  readonly sleepDelayMs: number
  /** Waiting requests before further ones are refused. */
  readonly rejectLimit: number
  readonly concurrent: number
}

interface OriginState {
  /** When the requests of the window came, oldest first. */
  readonly arrivals: number[]
  active: number
  /** Delayed or queued. */
  waiting: number
  /** Wakes queued requests, in their order. */
  readonly queue: (() => void)[]
}

/** Bounds what one other server makes us do: a few requests at once, the next ones queue, too many are delayed, then refused. */
export class OriginLimiter {
  readonly #clock: Clock
  readonly #limits: OriginLimits
  readonly #origins = new LRUCache<string, OriginState>({ max: ORIGINS_MAX })

  constructor(deps: { clock: Clock; limits: OriginLimits }) {
    this.#clock = deps.clock
    this.#limits = deps.limits
  }

  /** Runs the task when it is the origin's turn. Throws M_LIMIT_EXCEEDED; AbortError where the signal fires before. */
  async run<T>(origin: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    const state = this.#stateOf(origin)
    await this.#enter(state, signal)
    try {
      return await task()
    } finally {
      state.active--
      state.queue.shift()?.()
    }
  }

  #stateOf(origin: string): OriginState {
    const known = this.#origins.get(origin)
    if (known) return known
    const state: OriginState = { arrivals: [], active: 0, waiting: 0, queue: [] }
    this.#origins.set(origin, state)
    return state
  }

  async #enter(state: OriginState, signal: AbortSignal): Promise<void> {
    const { windowSizeMs, sleepLimit, sleepDelayMs, rejectLimit, concurrent } = this.#limits
    const nowMs = this.#clock.monotonicMs()
    while ((state.arrivals[0] ?? nowMs) < nowMs - windowSizeMs) state.arrivals.shift()
    if (state.waiting >= rejectLimit) {
      const retryAfterMs = Math.max(1, Math.ceil(windowSizeMs / Math.max(1, sleepLimit)))
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too Many Requests', { extra: { retry_after_ms: retryAfterMs } })
    }
    state.arrivals.push(nowMs)
    const isDelayed = state.arrivals.length > sleepLimit
    if (!isDelayed && state.active < concurrent && state.queue.length === 0) {
      state.active++
      return
    }
    state.waiting++
    try {
      if (isDelayed) await sleep(sleepDelayMs, undefined, { signal })
      while (state.active >= concurrent) await waitInQueue(state, signal)
      state.active++
    } finally {
      state.waiting--
    }
  }
}

function waitInQueue(state: OriginState, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const wake = (): void => {
      signal.removeEventListener('abort', leave)
      resolve()
    }
    const leave = (): void => {
      state.queue.splice(state.queue.indexOf(wake), 1)
      reject(new DOMException('The request was given up', 'AbortError'))
    }
    signal.addEventListener('abort', leave, { once: true })
    state.queue.push(wake)
  })
}
