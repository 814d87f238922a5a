import type { Queryable } from '../../storage/database.ts'
import { drawNids } from '../../storage/tables/events.ts'

const BLOCK_SIZE = 256
/** A new block is fetched when fewer are left: enough for a whole commit. */
const LOW_WATER = 128

/** Hands out internal numbers of rooms and events from blocks that are drawn ahead, so that taking one costs no query. */
export class NidAllocator {
  readonly #database: Queryable
  readonly #blocks: { next: number; end: number }[] = []
  #drawing: Promise<void> | undefined

  constructor(deps: { database: Queryable }) {
    this.#database = deps.database
  }

  /** Makes sure that `count` numbers can be taken without waiting. */
  async ensure(count: number): Promise<void> {
    while (this.#available() < Math.max(count, LOW_WATER)) {
      this.#drawing ??= this.#draw().finally(() => (this.#drawing = undefined))
      await this.#drawing
    }
  }

  async #draw(): Promise<void> {
    const first = await drawNids(this.#database)
    this.#blocks.push({ next: first, end: first + BLOCK_SIZE })
  }

  #available(): number {
    return this.#blocks.reduce((sum, block) => sum + block.end - block.next, 0)
  }

  /** Takes a number; `ensure` was awaited before. */
  take(): number {
    for (;;) {
      const block = this.#blocks[0]
      if (!block) throw new Error('No event numbers are left: ensure() was not awaited')
      if (block.next < block.end) return block.next++
      this.#blocks.shift()
    }
  }
}
