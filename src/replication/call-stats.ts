/** Calls of one method that ended in one way. */
interface EndedCalls {
  readonly method: string
  /** `ok`, why it failed, or `matrix` for an error that is the other process's answer. */
  readonly code: string
  count: number
  seconds: number
}

/** Counts the calls that a process has made, for metrics. */
export class CallStats {
  readonly #ended = new Map<string, EndedCalls>()

  count(method: string, code: string, seconds: number): void {
    const key = `${method} ${code}`
    let ended = this.#ended.get(key)
    if (!ended) this.#ended.set(key, (ended = { method, code, count: 0, seconds: 0 }))
    ended.count++
    ended.seconds += seconds
  }

  list(): Readonly<EndedCalls>[] {
    return [...this.#ended.values()]
  }
}
