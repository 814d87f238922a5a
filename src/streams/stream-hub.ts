import { STREAM_NAMES, STREAMS } from './streams.ts'
import type { Frame, StreamName, StreamPosition, StreamRows } from './streams.ts'
import { TailStats } from './tail-stats.ts'

/** Reads the committed rows of a lane with `after < position <= upTo`, in order. */
export type ReadSince<Name extends StreamName> = (
  lane: number,
  after: StreamPosition,
  upTo: StreamPosition,
) => Promise<readonly { readonly position: StreamPosition; readonly row: StreamRows[Name] }[]>

export type RowHandler<Name extends StreamName> = (row: StreamRows[Name], position: StreamPosition) => void

/** How long a frame that came before its predecessor waits for it, before the rows between are read from PostgreSQL. */
const GAP_WAIT_MS = 25
/** Positions that one read of missing rows covers. */
const PAGE_POSITIONS = 1000
/** Further behind than this, caches are dropped instead of being told every row ("cold but right"). */
const BACKLOG_POSITIONS_MAX = 20_000
/** Frames that wait for their predecessor in one lane; further ones are forgotten, and read from PostgreSQL. */
const HELD_FRAMES_MAX = 1000
const READ_RETRY_MS = 1000

/**
 * Drops what is cached of a stream, because its rows up to the new head will not be told. What it returns is not awaited: the head
 * moves at once.
 */
export type ResetHandler = (head: StreamPosition) => void | Promise<void>

/** Events of a room are in the database no more, or (`isGone`) the whole room. */
export interface RoomPurge {
  readonly roomId: string
  readonly isGone: boolean
}
/** Reads a lane's head from PostgreSQL: everything up to it is committed, or lost for good. */
export type ReadHead = (stream: StreamName, lane: number) => Promise<number>

/** What the hub has met, for metrics. */
export interface HubStats {
  gaps: number
  pagesRead: number
  resets: number
  framesForgotten: number
  /** Positions that clients or frames named, and that PostgreSQL does not know. */
  fromFuture: number
}

interface LaneState {
  head: number
  readonly held: Frame[]
  gapTimer: NodeJS.Timeout | undefined
  readonly awaited: { readonly position: number; readonly resolve: () => void }[]
  /** Up to where rows are wanted from PostgreSQL. */
  wanted: number
  reading: Promise<void> | undefined
}

interface StreamState {
  readonly lanes: LaneState[]
  readonly handlers: RowHandler<StreamName>[]
  readonly listeners: (() => void)[]
  readonly resets: ResetHandler[]
  readSince: ReadSince<StreamName> | undefined
}

/**
 * Holds each stream's head as far as this process has applied it. A frame is applied in commit order only: handlers first
 * (they drop and fill caches), then the head moves, then listeners wake waiters.
 */
export class StreamHub {
  readonly #streams = new Map<StreamName, StreamState>()
  readonly stats: HubStats = { gaps: 0, pagesRead: 0, resets: 0, framesForgotten: 0, fromFuture: 0 }
  /** Of the streams that this process has written. */
  readonly tails = new Map<StreamName, TailStats>()
  readonly #onError: (error: unknown) => void
  readonly #commitListeners: ((frame: Frame) => void)[] = []
  readonly #purgeHandlers: ((purge: RoomPurge) => void)[] = []
  #readHead: ReadHead | undefined
  #gapWaitMs = GAP_WAIT_MS
  #parked = 0
  #isClosed = false

  constructor(deps: { onError: (error: unknown) => void }) {
    this.#onError = deps.onError
    for (const name of STREAM_NAMES) {
      this.#streams.set(name, { lanes: [newLane(0)], handlers: [], listeners: [], resets: [], readSince: undefined })
    }
  }

  #state(name: StreamName): StreamState {
    const state = this.#streams.get(name)
    if (!state) throw new Error(`There is no stream ${name}`)
    return state
  }

  /** Sets a head at start, before any frame was applied. */
  setHead(name: StreamName, lane: number, head: number): void {
    const state = this.#state(name)
    while (state.lanes.length <= lane) state.lanes.push(newLane(0))
    state.lanes[lane] = newLane(head)
  }

  /** The position up to which this process has applied everything (lane 0). */
  head(name: StreamName): StreamPosition {
    return (this.#state(name).lanes[0]?.head ?? 0) as StreamPosition
  }

  /** The heads of all lanes, as far as this process has applied them. */
  heads(): { readonly stream: StreamName; readonly lane: number; readonly head: number }[] {
    return [...this.#streams].flatMap(([stream, { lanes }]) => lanes.map(({ head }, lane) => ({ stream, lane, head })))
  }

  hasLane(name: StreamName, lane: number): boolean {
    return this.#state(name).lanes[lane] !== undefined
  }

  /** Registers who is told of batches that this process has committed: the transport to the others. Must not throw. */
  onCommit(listener: (frame: Frame) => void): void {
    this.#commitListeners.push(listener)
  }

  /** Registers what drops the caches of a stream when this process is too far behind to be told every row. */
  onReset(name: StreamName, handler: ResetHandler): void {
    this.#state(name).resets.push(handler)
  }

  /** Registers what forgets a room of which something was purged. Must not throw and must not wait. */
  onPurge(handler: (purge: RoomPurge) => void): void {
    this.#purgeHandlers.push(handler)
  }

  /** Makes the caches of this process forget a room; all of them without saying which: it is not known any more. */
  purged(purge: RoomPurge | undefined): void {
    if (purge) for (const handler of this.#purgeHandlers) handler(purge)
    else this.#dropCaches(this.#state('events'), this.head('events'))
  }

  /** Registers the query for a lane's head. Without it, what frames say of heads is believed. */
  setReadHead(readHead: ReadHead): void {
    this.#readHead = readHead
  }

  /** Sets how long a frame waits for its predecessor: 0 where frames do not come, so that waiting is of no use. */
  setGapWait(waitMs: number): void {
    this.#gapWaitMs = waitMs
  }

  /** Counts a client that waits for changes, until the promise settles. */
  async park<T>(waiting: Promise<T>): Promise<T> {
    this.#parked++
    try {
      return await waiting
    } finally {
      this.#parked--
    }
  }

  /** How many clients wait for changes now. */
  get parked(): number {
    return this.#parked
  }

  /** Registers what happens with each row, before the head moves. Must not throw and must not wait. */
  onRow<Name extends StreamName>(name: Name, handler: RowHandler<Name>): void {
    this.#state(name).handlers.push(handler as unknown as RowHandler<StreamName>)
  }

  /** Registers what happens after the head has moved: once per batch. */
  onAdvance(name: StreamName, listener: () => void): void {
    this.#state(name).listeners.push(listener)
  }

  /** Registers the stream's one query for rows that a frame did not bring. */
  setReadSince<Name extends StreamName>(name: Name, readSince: ReadSince<Name>): void {
    this.#state(name).readSince = readSince as unknown as ReadSince<StreamName>
  }

  /** The figures of a stream's commits. */
  tailStats(name: StreamName): TailStats {
    let stats = this.tails.get(name)
    if (!stats) this.tails.set(name, (stats = new TailStats()))
    return stats
  }

  /** Applies a batch that this process has committed, and tells the other processes of it. */
  commit(frame: Frame): void {
    this.apply(frame)
    for (const listener of this.#commitListeners) listener(frame)
  }

  /** Applies a committed batch; holds it back while an earlier one is missing; drops what is known already. */
  apply(frame: Frame): void {
    const state = this.#state(frame.stream)
    const lane = state.lanes[frame.lane]
    if (!lane) throw new Error(`Stream ${frame.stream} has no lane ${frame.lane}`)
    if (frame.prev > lane.head) {
      this.stats.gaps++
      if (lane.held.length < HELD_FRAMES_MAX) lane.held.push(frame)
      else this.stats.framesForgotten++
      lane.gapTimer ??= setTimeout(() => this.#fillGap(frame.stream, frame.lane), this.#gapWaitMs)
      return
    }
    this.#advance(state, lane, frame)
  }

  #applyNow(state: StreamState, lane: LaneState, frame: Frame): void {
    for (const { position, row } of frame.rows) {
      if (position <= lane.head) continue
      for (const handler of state.handlers) {
        try {
          handler(row, position)
        } catch (error) {
          this.#onError(error)
        }
      }
      lane.head = position
    }
    if (frame.head !== undefined && frame.head > lane.head) lane.head = frame.head
  }

  /** Settles once everything up to the position is applied: at once, except while an earlier batch is missing. */
  reached(name: StreamName, laneNumber: number, position: number): Promise<void> {
    const lane = this.#state(name).lanes[laneNumber]
    if (!lane || lane.head >= position) return Promise.resolve()
    return new Promise((resolve) => lane.awaited.push({ position, resolve }))
  }

  /**
   * Reads the lane's rows up to a position from the database: for a commit whose answer was lost, and for a head that a frame
   * without rows or a poll has told. The position must be final: committed or lost. Settles when it is reached; rejects when
   * the database fails.
   */
  async catchUp(name: StreamName, laneNumber: number, upTo: number): Promise<void> {
    const state = this.#state(name)
    const lane = state.lanes[laneNumber]
    if (!lane || lane.head >= upTo || (!state.readSince && STREAMS[name].isPersistent)) return
    lane.wanted = Math.max(lane.wanted, upTo)
    lane.reading ??= this.#readWanted(name, laneNumber, state, lane).finally(() => (lane.reading = undefined))
    await lane.reading
    if (lane.head < upTo && !this.#isClosed) await this.catchUp(name, laneNumber, upTo)
  }

  /**
   * Reaches a position that a client's token names: at once, without waiting for a frame. One that PostgreSQL does not know is
   * nobody's; then this process reaches what there is. Infinity means all that there is.
   */
  async catchUpTo(name: StreamName, laneNumber: number, position: number): Promise<void> {
    const lane = this.#state(name).lanes[laneNumber]
    if (!lane || lane.head >= position || !STREAMS[name].isPersistent || !this.#readHead) return
    const head = await this.#readHead(name, laneNumber)
    if (position > head && Number.isFinite(position)) this.stats.fromFuture++
    await this.catchUp(name, laneNumber, Math.min(position, head))
  }

  async #readWanted(name: StreamName, laneNumber: number, state: StreamState, lane: LaneState): Promise<void> {
    while (lane.head < lane.wanted && !this.#isClosed) {
      const after = lane.head as StreamPosition
      // What is not in PostgreSQL can not be read piece by piece: nobody knows which positions there are.
      if (!STREAMS[name].isPersistent || !state.readSince) {
        const upTo = lane.wanted as StreamPosition
        const rows = state.readSince ? await state.readSince(laneNumber, after, upTo) : []
        this.#advance(state, lane, { stream: name, lane: laneNumber, prev: after, rows, head: upTo })
      } else if (lane.wanted - after > BACKLOG_POSITIONS_MAX) {
        this.#reset(state, lane, lane.wanted)
      } else {
        const upTo = Math.min(after + PAGE_POSITIONS, lane.wanted) as StreamPosition
        const rows = await state.readSince(laneNumber, after, upTo)
        this.stats.pagesRead++
        this.#advance(state, lane, { stream: name, lane: laneNumber, prev: after, rows, head: upTo })
      }
    }
  }

  #advance(state: StreamState, lane: LaneState, frame: Frame): void {
    this.#applyNow(state, lane, frame)
    this.#applyHeld(state, lane)
    this.#notify(state, lane)
  }

  /** Caches first, then the head: nobody sees the new head with old values. */
  #reset(state: StreamState, lane: LaneState, head: number): void {
    this.stats.resets++
    this.#dropCaches(state, head)
    lane.head = head
    this.#applyHeld(state, lane)
    this.#notify(state, lane)
  }

  #dropCaches(state: StreamState, head: number): void {
    for (const handler of state.resets) {
      try {
        handler(head as StreamPosition)?.catch(this.#onError)
      } catch (error) {
        this.#onError(error)
      }
    }
  }

  #notify(state: StreamState, lane: LaneState): void {
    for (let index = lane.awaited.length - 1; index >= 0; index--) {
      const one = lane.awaited[index]
      if (one && one.position <= lane.head) {
        lane.awaited.splice(index, 1)
        one.resolve()
      }
    }
    for (const listener of state.listeners) listener()
  }

  #applyHeld(state: StreamState, lane: LaneState): void {
    for (;;) {
      const index = lane.held.findIndex((frame) => frame.prev <= lane.head)
      if (index === -1) break
      const [frame] = lane.held.splice(index, 1)
      if (frame) this.#applyNow(state, lane, frame)
    }
    if (lane.held.length === 0 && lane.gapTimer) {
      clearTimeout(lane.gapTimer)
      lane.gapTimer = undefined
    }
  }

  #fillGap(name: StreamName, laneNumber: number): void {
    const lane = this.#state(name).lanes[laneNumber]
    if (!lane) return
    lane.gapTimer = undefined
    this.#readGap(name, laneNumber, lane).catch((error: unknown) => {
      if (this.#isClosed) return
      this.#onError(error)
      lane.gapTimer ??= setTimeout(() => this.#fillGap(name, laneNumber), READ_RETRY_MS)
    })
  }

  /** A gap without rows is a claim that was rolled back: then the head simply moves on. */
  async #readGap(name: StreamName, laneNumber: number, lane: LaneState): Promise<void> {
    while (lane.held.length > 0 && !this.#isClosed) {
      const next = lane.held.reduce((low, frame) => Math.min(low, frame.prev), Number.POSITIVE_INFINITY)
      let upTo = next
      // So large a gap is worth a question: what the frame says may be from before a restore, or made up.
      if (STREAMS[name].isPersistent && next - lane.head > PAGE_POSITIONS && this.#readHead) {
        upTo = Math.min(next, await this.#readHead(name, laneNumber))
        if (upTo < next) this.#forgetHeldAfter(lane, upTo)
      }
      if (upTo > lane.head) await this.catchUp(name, laneNumber, upTo)
      const state = this.#state(name)
      // A stream that nobody can read has no rows that a cache could miss.
      if (lane.head < upTo) this.#advance(state, lane, { stream: name, lane: laneNumber, prev: lane.head, rows: [], head: upTo })
      this.#applyHeld(state, lane)
    }
  }

  #forgetHeldAfter(lane: LaneState, position: number): void {
    for (let index = lane.held.length - 1; index >= 0; index--) {
      if ((lane.held[index]?.prev ?? 0) <= position) continue
      lane.held.splice(index, 1)
      this.stats.fromFuture++
    }
  }

  /** Stops the timers. */
  close(): void {
    this.#isClosed = true
    for (const state of this.#streams.values()) {
      for (const lane of state.lanes) clearTimeout(lane.gapTimer)
    }
  }
}

function newLane(head: number): LaneState {
  return { head, held: [], gapTimer: undefined, awaited: [], wanted: 0, reading: undefined }
}
