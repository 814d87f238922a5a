import { Histogram } from '../util/histogram.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]
const ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256]

/** What the commits of one stream by this process cost, for metrics. */
export class TailStats {
  /** From the first statement to the answer of COMMIT, waiting for the lane included. */
  readonly seconds = new Histogram(SECONDS)
  /** Positions claimed by one commit. */
  readonly rows = new Histogram(ROWS)
  failed = 0
}
