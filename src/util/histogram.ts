/** Counts values by upper bounds, as Prometheus wants them; an observation costs a few comparisons and additions. */
export class Histogram {
  /** Ascending. */
  readonly bounds: readonly number[]
  /** How many values were at most the bound of the same index, and above the one before; the last count is of those above all. */
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number): void {
    const { bounds, counts } = this
    let index = 0
    while (index < bounds.length && value > (bounds[index] ?? 0)) index++
    counts[index] = (counts[index] ?? 0) + 1
    this.sum += value
  }
}
