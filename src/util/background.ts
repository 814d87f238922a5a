/** Runs work that nobody awaits: it is counted, its errors are logged once, and a shutdown waits for it. */
export class Background {
  readonly #running = new Set<Promise<void>>()
  readonly #onError: (name: string, error: unknown) => void

  constructor(deps: { onError: (name: string, error: unknown) => void }) {
    this.#onError = deps.onError
  }

  run(name: string, task: () => Promise<unknown>): void {
    const running = task().then(
      () => undefined,
      (error: unknown) => this.#onError(name, error),
    )
    const tracked = running.finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
  }

  /** Waits until all that was started has ended. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
