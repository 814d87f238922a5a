/** What the work of a role is given. */
export interface RoleLease {
  readonly role: string
  readonly shard: number
  /** Grows with each new holder. Goes with every write of the work, so that a replaced holder is refused. */
  readonly epoch: number
  /** Aborted the moment the work must end. */
  readonly signal: AbortSignal
}

interface Work {
  start(lease: RoleLease): Promise<void>
  stop(shard: number): Promise<void>
}

/** One role at work in this process, from its taking to its end: it starts once and stops once, after it has started. */
export class WorkingRole {
  readonly role: string
  readonly epoch: number
  /** On this process's monotonic clock: when the work has to end, unless the lease is renewed. */
  stopAtMs: number
  readonly #shard: number
  readonly #work: Work
  readonly #abort = new AbortController()
  readonly #onEnded: () => void
  readonly #onFailed: (error: unknown) => void
  #started: Promise<void> = Promise.resolve()
  #ended: Promise<void> | undefined

  /** `onFailed`: the work could not start, and has to be ended. `onEnded`: it has stopped, and could be begun anew. */
  constructor(deps: {
    lease: Omit<RoleLease, 'signal'>
    definition: Work
    stopAtMs: number
    onEnded: () => void
    onFailed: (error: unknown) => void
  }) {
    this.role = deps.lease.role
    this.epoch = deps.lease.epoch
    this.stopAtMs = deps.stopAtMs
    this.#shard = deps.lease.shard
    this.#work = deps.definition
    this.#onEnded = deps.onEnded
    this.#onFailed = deps.onFailed
  }

  get isActive(): boolean {
    return this.#ended === undefined
  }

  begin(): void {
    const lease = { role: this.role, shard: this.#shard, epoch: this.epoch, signal: this.#abort.signal }
    const started = (async () => this.#work.start(lease))()
    this.#started = started.catch((error: unknown) => {
      if (this.isActive) this.#onFailed(error)
    })
  }

  /** Settles when nothing of the work runs any more. */
  end(): Promise<void> {
    return (this.#ended ??= this.#stop())
  }

  async #stop(): Promise<void> {
    this.#abort.abort(new Error(`The role ${this.role} is not held any more`))
    try {
      await this.#started
      await this.#work.stop(this.#shard)
    } finally {
      this.#onEnded()
    }
  }
}
