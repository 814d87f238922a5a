/** Runs one task, never twice at a time. Who asks while it runs gets a run that begins afterwards, shared with all who ask. */
export class Rerun {
  readonly #task: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(task: () => Promise<void>) {
    this.#task = task
  }

  /** Settles with a run that began after this call. */
  run(): Promise<void> {
    if (this.#next) return this.#next
    if (!this.#running) return this.#begin()
    const begin = (): Promise<void> => this.#begin()
    return (this.#next = this.#running.then(begin, begin))
  }

  #begin(): Promise<void> {
    this.#next = undefined
    const running = this.#task().finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }
}
