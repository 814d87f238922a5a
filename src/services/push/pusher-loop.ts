import { pause } from '../../util/pause.ts'

const RETRY_AFTER_ERROR_MS = 5000
const WAIT_MS_MAX = 3600_000

/** Works for one pusher, one thing after the other, until nothing is left or it is to wait. */
export class PusherLoop {
  readonly #work: () => Promise<boolean>
  readonly #signal: AbortSignal
  readonly #onIdle: () => void
  readonly #onError: (error: unknown) => void
  #isWanted = false
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  /** `work` returns whether there may be more. */
  constructor(deps: {
    work: () => Promise<boolean>
    signal: AbortSignal
    onIdle: () => void
    onError: (error: unknown) => void
  }) {
    this.#work = deps.work
    this.#signal = deps.signal
    this.#onIdle = deps.onIdle
    this.#onError = deps.onError
  }

  /** Looks for something to do. */
  wake(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#signal.aborted) return
    this.#isWanted = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      // Whoever woke it in between found it running still.
      if (this.#isWanted && !this.#signal.aborted) this.wake()
      else if (this.#timer === undefined) this.#onIdle()
    })
  }

  /** Looks again after a while, unless woken before. */
  wakeLater(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.wake(), Math.min(delayMs, WAIT_MS_MAX))
  }

  /** Settles when nothing runs any more, after the signal was aborted. */
  async ended(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#isWanted && !this.#signal.aborted) {
      this.#isWanted = false
      try {
        while (await this.#work());
      } catch (error) {
        if (this.#signal.aborted) return
        this.#onError(error)
        await pause(RETRY_AFTER_ERROR_MS, this.#signal)
        this.#isWanted = true
      }
    }
  }
}
