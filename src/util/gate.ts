import { createDeferred } from './deferred.ts'
import type { Deferred } from './deferred.ts'

/** Too much waits already. */
export class GateFullError extends Error {
  override readonly name = 'GateFullError'
}

/** Lets so many tasks run at a time; others wait in order, and beyond `waitingMax` they are refused with GateFullError. */
export class Gate {
  readonly #runningMax: number
  readonly #waitingMax: number
  readonly #waiting: Deferred<void>[] = []
  #running = 0

  constructor(limits: { readonly runningMax: number; readonly waitingMax: number }) {
    this.#runningMax = limits.runningMax
    this.#waitingMax = limits.waitingMax
  }

  /** Runs the task in its turn. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.#enter()
    try {
      return await task()
    } finally {
      // Whoever waits takes the place over.
      const next = this.#waiting.shift()
      if (next) next.resolve()
      else this.#running--
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < this.#runningMax) {
      this.#running++
      return
    }
    if (this.#waiting.length >= this.#waitingMax) throw new GateFullError('Too much waits already')
    const turn = createDeferred<void>()
    this.#waiting.push(turn)
    await turn.promise
  }
}
