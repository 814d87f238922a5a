import type { StreamHub } from '../../../streams/stream-hub.ts'
import type { StreamName } from '../../../streams/streams.ts'
import { pause } from '../../../util/pause.ts'

const RETRY_MS = 1000

/** Keeps one loop behind a stream, while this process has the role for it: batches as long as there is something, then it waits. */
export class FollowedStream {
  readonly #load: (epoch: number) => Promise<void>
  readonly #takeBatch: (epoch: number, signal: AbortSignal) => Promise<boolean>
  readonly #onError: (error: unknown) => void
  #abort: AbortController | undefined
  #epoch = 0
  #running: Promise<void> | undefined
  #isWanted = false
  #isLoaded = false

  constructor(deps: {
    hub: StreamHub
    stream: StreamName
    /** Reads where to go on, and fences off who had the role before. */
    load: (epoch: number) => Promise<void>
    /** Takes a batch; returns whether there is more. */
    takeBatch: (epoch: number, signal: AbortSignal) => Promise<boolean>
    onError: (error: unknown) => void
  }) {
    this.#load = deps.load
    this.#takeBatch = deps.takeBatch
    this.#onError = deps.onError
    deps.hub.onAdvance(deps.stream, () => this.#wake())
  }

  /** Whether the role is here. */
  get isRunning(): boolean {
    return this.#abort !== undefined
  }

  async start(epoch: number): Promise<void> {
    this.#abort = new AbortController()
    this.#epoch = epoch
    await this.#load(epoch)
    this.#isLoaded = true
    this.#wake()
  }

  /** Settles when the batch under way has ended. */
  async stop(): Promise<void> {
    this.#abort?.abort()
    this.#abort = undefined
    this.#isLoaded = false
    await this.#running
  }

  #wake(): void {
    this.#isWanted = true
    const signal = this.#abort?.signal
    if (signal && this.#isLoaded) this.#running ??= this.#run(signal).finally(() => (this.#running = undefined))
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (this.#isWanted && !signal.aborted) {
      this.#isWanted = false
      try {
        if (await this.#takeBatch(this.#epoch, signal)) this.#isWanted = true
      } catch (error) {
        if (signal.aborted) return
        this.#onError(error)
        await pause(RETRY_MS, signal)
        this.#isWanted = true
      }
    }
  }
}
