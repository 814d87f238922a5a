import { isConnectionLost } from '../storage/database.ts'
import type { Database, Queryable } from '../storage/database.ts'
import { createDeferred } from '../util/deferred.ts'
import type { Deferred } from '../util/deferred.ts'
import type { StreamHub } from './stream-hub.ts'
import { STREAMS } from './streams.ts'
import type { StreamName, StreamPosition, StreamRows } from './streams.ts'

/** Jobs in one commit at the most. */
const BATCH_JOBS_MAX = 64
/** Jobs that may wait for one lane; more are refused, and the caller answers 503. */
const QUEUE_JOBS_MAX = 5000

/**
 * What is written in one lane, together. All of its statements are issued at once, none awaits another:
 * the whole tail is one network packet.
 */
export interface LaneWrite<Name extends StreamName, Result> {
  /** How many positions are wanted (>= 1). */
  readonly count: number
  /** The role under which it is written; jobs of different ones are not committed together. */
  readonly fence?: Fence | undefined
  /**
   * Issues the statements. `firstIndex` is this job's first index for `claimed_pos(stream, lane, index)`.
   * `tx` is one READ COMMITTED transaction shared with the other jobs of the batch; a failing statement fails the batch,
   * which is then tried again job by job.
   */
  write(tx: Queryable, firstIndex: number): Promise<Result>
  /** The rows to tell the readers, one for each position, in their order; may use what `write` returned. */
  rows(result: Result): readonly StreamRows[Name][]
}

export interface LaneWritten<Result> {
  readonly positions: readonly StreamPosition[]
  readonly result: Result
}

interface Job {
  readonly stream: StreamName
  readonly write: LaneWrite<StreamName, unknown>
  readonly done: Deferred<LaneWritten<unknown>>
}

/**
 * Commits writes of one stream and lane in groups (replication design, section 1.3): while one tail is in flight, finished
 * jobs queue, and the next tail takes them together. A job settles after COMMIT and after this process has applied its rows.
 */
export class LaneCommitter<Name extends StreamName> {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #stream: Name
  readonly #lane: number
  #queue: Job[] = []
  #isRunning = false

  constructor(deps: { database: Database; hub: StreamHub; stream: Name; lane?: number }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#stream = deps.stream
    this.#lane = deps.lane ?? 0
  }

  get queueLength(): number {
    return this.#queue.length
  }

  /** Writes durably and tells the readers. Rejects with the database's error, or when the queue is full. */
  commit<Result>(write: LaneWrite<Name, Result>): Promise<LaneWritten<Result>> {
    if (this.#queue.length >= QUEUE_JOBS_MAX) return Promise.reject(new Error(`The queue of stream ${this.#stream} is full`))
    const done = createDeferred<LaneWritten<unknown>>()
    this.#queue.push({ stream: this.#stream, write: write as unknown as LaneWrite<StreamName, unknown>, done })
    if (!this.#isRunning) void this.#run()
    return done.promise as Promise<LaneWritten<Result>>
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    // One turn of the event loop: what arrived in the same tick goes into the same commit.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#batchLength())
      try {
        await this.#commitBatch(batch)
      } catch (error) {
        if (batch.length === 1) batch[0]?.done.reject(error)
        else for (const job of batch) await this.#commitBatch([job]).catch((jobError: unknown) => job.done.reject(jobError))
      }
    }
    this.#isRunning = false
  }

  /** How many jobs from the front of the queue go together: those under one fence. */
  #batchLength(): number {
    const first = this.#queue[0]?.write.fence
    const jobs = Math.min(this.#queue.length, BATCH_JOBS_MAX)
    for (let index = 1; index < jobs; index++) {
      const fence = this.#queue[index]?.write.fence
      if (fence !== first && (fence?.role !== first?.role || fence?.epoch !== first?.epoch)) return index
    }
    return jobs
  }

  async #commitBatch(batch: readonly Job[]): Promise<void> {
    const total = batch.reduce((sum, job) => sum + job.write.count, 0)
    const lane = { stream: this.#stream, lane: this.#lane }
    const { claim, results } = await writeTail(
      this.#database,
      this.#hub,
      { ...lane, count: total, fence: batch[0]?.write.fence },
      (tx) => {
        let index = 1
        return batch.map((job) => {
          const first = index
          index += job.write.count
          return job.write.write(tx, first)
        })
      },
    )
    let offset = 0
    const rows: { position: StreamPosition; row: StreamRows[StreamName] }[] = []
    const answers = batch.map((job, jobIndex) => {
      const positions = claim.positions.slice(offset, (offset += job.write.count))
      for (const [rowIndex, row] of job.write.rows(results[jobIndex]).entries()) {
        const position = positions[rowIndex]
        if (position !== undefined) rows.push({ position, row })
      }
      return { positions, result: results[jobIndex] }
    })
    this.#hub.commit({ ...lane, prev: claim.prev, rows, head: claim.positions.at(-1) ?? claim.prev })
    await this.#hub.reached(this.#stream, this.#lane, claim.positions.at(-1) ?? claim.prev)
    for (const [jobIndex, job] of batch.entries()) {
      const answer = answers[jobIndex]
      if (answer) job.done.resolve(answer)
    }
  }
}

/** Positions drawn in a lane. */
export interface LaneClaim {
  /** The lane's head before. */
  readonly prev: number
  readonly positions: readonly StreamPosition[]
}

/**
 * Claims positions and runs the statements that `write` issues, in one burst. When the server refuses a statement, the positions
 * are lost for good; the hub is told, so that nobody waits for them. Throws the first statement's error.
 */
export async function writeTail(
  database: Database,
  hub: StreamHub,
  claim: { readonly stream: StreamName; readonly lane: number; readonly count: number; readonly fence?: Fence | undefined },
  write: (tx: Queryable) => readonly Promise<unknown>[],
): Promise<{ readonly claim: LaneClaim; readonly results: readonly unknown[] }> {
  let lost: LaneClaim | undefined
  const stats = hub.tailStats(claim.stream)
  const startMs = performance.now()
  try {
    const written = await database.burst(async (tx) => {
      const claimed = claimLane(tx, claim)
      // All settle before an error is raised, or the others would be unhandled rejections.
      const [first, ...settled] = await Promise.allSettled([claimed, ...write(tx)])
      if (first?.status === 'rejected') throw first.reason
      const failed = settled.find((one) => one.status === 'rejected')
      if (failed) {
        // After a lost connection nobody knows: the COMMIT went out in the same packet. Then the gap's read decides.
        if (!isConnectionLost(failed.reason)) lost = await claimed
        throw failed.reason
      }
      return { claim: await claimed, results: settled.map((one) => (one as PromiseFulfilledResult<unknown>).value) }
    })
    stats.seconds.observe((performance.now() - startMs) / 1000)
    stats.rows.observe(claim.count)
    return written
  } catch (error) {
    stats.failed++
    if (lost)
      hub.apply({ stream: claim.stream, lane: claim.lane, prev: lost.prev, rows: [], head: lost.positions.at(-1) ?? lost.prev })
    throw error
  }
}

/** A role, and the epoch in which the writer holds it: with a newer epoch in the table, the claim fails with SQLSTATE MX001. */
export interface Fence {
  readonly role: string
  readonly epoch: number
}

/** Takes the lane's lock and draws positions: the first statement of a tail. */
export async function claimLane(
  tx: Queryable,
  claim: { stream: StreamName; lane: number; count: number; fence?: Fence | undefined },
): Promise<LaneClaim> {
  const rows = await tx.query<{ prev: number; pos: StreamPosition[] }>(
    'lane_claim',
    'SELECT prev, pos FROM lane_claim($1, $2, $3, $4, $5)',
    [[STREAMS[claim.stream].number], [claim.lane], [claim.count], claim.fence?.role ?? null, claim.fence?.epoch ?? null],
  )
  const row = rows[0]
  if (!row) throw new Error('lane_claim returned no row')
  return { prev: row.prev, positions: row.pos }
}
