import type { RequestInfo } from '../http/http-server.ts'
import { Histogram } from '../util/histogram.ts'

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Finished requests of one operation with one status. */
export interface FinishedRequests {
  readonly method: string
  readonly operationId: string
  readonly status: number
  readonly seconds: Histogram
}

/** Counts what the listeners of a process have answered. */
export class RequestCounters {
  readonly #finished = new Map<string, Map<number, FinishedRequests>>()

  count({ method, operationId, status, durationMs }: RequestInfo): void {
    let ofOperation = this.#finished.get(operationId)
    if (!ofOperation) this.#finished.set(operationId, (ofOperation = new Map()))
    let finished = ofOperation.get(status)
    if (!finished) ofOperation.set(status, (finished = { method, operationId, status, seconds: new Histogram(SECONDS) }))
    finished.seconds.observe(durationMs / 1000)
  }

  list(): FinishedRequests[] {
    return [...this.#finished.values()].flatMap((ofOperation) => [...ofOperation.values()])
  }
}
