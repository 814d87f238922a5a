import { setTimeout as sleep } from 'node:timers/promises'
import { SupervisedProcess } from './supervised-process.ts'
import type { ProcessSpec, ProcessStatus, SupervisionDeps } from './supervised-process.ts'

/** Proxies look again after two seconds (proxy-config): until then, to them, the process before is still down. */
const SETTLE_MS = 2500

/** Keeps several processes running. */
export class Supervisor {
  readonly #deps: SupervisionDeps
  readonly #processes = new Map<string, SupervisedProcess>()
  #turn: Promise<unknown> = Promise.resolve()
  #stops = 0

  constructor(deps: SupervisionDeps) {
    this.#deps = deps
  }

  get status(): readonly ProcessStatus[] {
    return [...this.#processes.values()].map((process) => process.status)
  }

  /** Starts what does not run yet, all at once. Settles when each is ready, or has given up. */
  start(specs: readonly ProcessSpec[]): Promise<void> {
    for (const spec of specs) {
      const known = this.#processes.get(spec.name)
      // A process that stands still may have other files by now.
      if (known === undefined || ['stopped', 'failed'].includes(known.status.state))
        this.#processes.set(spec.name, new SupervisedProcess(spec, this.#deps))
    }
    return this.#all(
      specs.map(({ name }) => name),
      (process) => process.start(),
    )
  }

  /** Stops processes, all at once; all of them when none is named. */
  stop(names?: readonly string[]): Promise<void> {
    // A rolling restart under way must not start again what has just ended.
    if (names === undefined) this.#stops += 1
    return this.#all(names ?? [...this.#processes.keys()], (process) => process.stop())
  }

  /**
   * Restarts processes one after the other, each only when the one before it answers again; all of them when none is named. Returns the
   * name of the one that did not come back; the rest is left as it was then.
   */
  restart(names: readonly string[] = [...this.#processes.keys()]): Promise<string | undefined> {
    // Two of these at once would take two processes down.
    const turn = this.#turn.then(async () => {
      const stops = this.#stops
      let isFirst = true
      for (const name of names) {
        const process = this.#processes.get(name)
        if (process === undefined) continue
        if (!isFirst) await sleep(this.#deps.timing?.settleMs ?? SETTLE_MS)
        isFirst = false
        if (stops !== this.#stops) return name
        this.#deps.write(name, 'restarting')
        if (!(await process.restart())) return name
      }
      return undefined
    })
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  /** Passes a signal on to all processes. */
  signal(signal: NodeJS.Signals): void {
    for (const process of this.#processes.values()) process.signal(signal)
  }

  async #all(names: readonly string[], action: (process: SupervisedProcess) => Promise<void>): Promise<void> {
    await Promise.all(
      names.map(async (name) => {
        const process = this.#processes.get(name)
        if (process !== undefined) await action(process)
      }),
    )
  }
}
