import type { ReceiptStreamRow, StreamPosition } from '../../streams/streams.ts'

/** Rows that are kept; when there are more, the older half is dropped. */
const ROWS_MAX = 20_000

export interface RecentReceipt extends ReceiptStreamRow {
  readonly position: StreamPosition
}

/** Keeps the newest rows of the receipts stream, so that waking a waiting client costs no query. */
export class RecentReceipts {
  readonly #rowsMax: number
  #rows: RecentReceipt[] = []
  #floor = 0

  constructor(options: { rowsMax?: number } = {}) {
    this.#rowsMax = options.rowsMax ?? ROWS_MAX
  }

  /** Sets the stream's head at start: what came before is not known here. */
  start(head: StreamPosition): void {
    this.#floor = Math.max(this.#floor, head)
  }

  /** Forgets everything before the position: rows up to there were not told. */
  reset(head: StreamPosition): void {
    this.#rows = []
    this.start(head)
  }

  /** Adds a row; positions come in ascending order. */
  add(row: ReceiptStreamRow, position: StreamPosition): void {
    this.#rows.push({ ...row, position })
    if (this.#rows.length <= this.#rowsMax) return
    const dropped = this.#rows.length >> 1
    this.#floor = this.#rows[dropped - 1]?.position ?? this.#floor
    this.#rows = this.#rows.slice(dropped)
  }

  /** Tells whether every row after the position is here. */
  isComplete(after: StreamPosition): boolean {
    return after >= this.#floor
  }

  /** The rows with after < position <= upTo, oldest first. */
  slice(after: StreamPosition, upTo: StreamPosition): readonly RecentReceipt[] {
    const last = this.#rows.at(-1)
    if (!last || last.position <= after) return []
    return this.#rows.slice(this.#firstAfter(after), this.#firstAfter(upTo))
  }

  #firstAfter(position: StreamPosition): number {
    let low = 0
    let high = this.#rows.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#rows[middle] as RecentReceipt).position <= position) low = middle + 1
      else high = middle
    }
    return low
  }
}
