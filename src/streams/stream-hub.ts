import { STREAM_NAMES, STREAMS } from './streams.ts'
import type { Frame, StreamName, StreamPosition, StreamRows } from './streams.ts'

/** Reads the committed rows of a lane with `after < position <= upTo`, in order. */
export type ReadSince<Name extends StreamName> = (
  lane: number,
  after: StreamPosition,
  upTo: StreamPosition,
) => Promise<readonly { readonly position: StreamPosition; readonly row: StreamRows[Name] }[]>

export type RowHandler<Name extends StreamName> = (row: StreamRows[Name], position: StreamPosition) => void

/** How long a frame that came before its predecessor waits for it, before the rows between are read from PostgreSQL. */
const GAP_WAIT_MS = 25

interface LaneState {
  head: number
  readonly held: Frame[]
  gapTimer: NodeJS.Timeout | undefined
  readonly awaited: { readonly position: number; readonly resolve: () => void }[]
}

interface StreamState {
  readonly lanes: LaneState[]
  readonly handlers: RowHandler<StreamName>[]
  readonly listeners: (() => void)[]
  readSince: ReadSince<StreamName> | undefined
}

/**
 * Holds each stream's head as far as this process has applied it. A frame is applied in commit order only: handlers first
 * (they drop and fill caches), then the head moves, then listeners wake waiters.
 */
export class StreamHub {
  readonly #streams = new Map<StreamName, StreamState>()
  readonly #onError: (error: unknown) => void

  constructor(deps: { onError: (error: unknown) => void }) {
    this.#onError = deps.onError
    for (const name of STREAM_NAMES) {
      this.#streams.set(name, { lanes: [newLane(0)], handlers: [], listeners: [], readSince: undefined })
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

  /** Applies a committed batch; holds it back while an earlier one is missing; drops what is known already. */
  apply(frame: Frame): void {
    const state = this.#state(frame.stream)
    const lane = state.lanes[frame.lane]
    if (!lane) throw new Error(`Stream ${frame.stream} has no lane ${frame.lane}`)
    if (frame.prev > lane.head) {
      lane.held.push(frame)
      lane.gapTimer ??= setTimeout(() => this.#fillGap(frame.stream, frame.lane), GAP_WAIT_MS)
      return
    }
    this.#applyNow(state, lane, frame)
    this.#applyHeld(state, lane)
    this.#notify(state, lane)
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

  /** Reads the lane's rows up to a position from the database: for a commit whose answer was lost, but that was made. */
  async catchUp(name: StreamName, laneNumber: number, upTo: number): Promise<void> {
    const state = this.#state(name)
    const lane = state.lanes[laneNumber]
    if (!lane || !state.readSince || lane.head >= upTo) return
    const prev = lane.head
    const rows = await state.readSince(laneNumber, prev as StreamPosition, upTo as StreamPosition)
    this.apply({ stream: name, lane: laneNumber, prev, rows, head: upTo })
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
    const state = this.#state(name)
    const lane = state.lanes[laneNumber]
    if (!lane) return
    lane.gapTimer = undefined
    const next = lane.held.reduce((low, frame) => Math.min(low, frame.prev), Number.POSITIVE_INFINITY)
    if (!Number.isFinite(next)) return
    // A gap without rows is a claim that was rolled back: then the head may simply move on.
    const read =
      state.readSince && STREAMS[name].isPersistent
        ? state.readSince(laneNumber, lane.head as StreamPosition, next as StreamPosition)
        : Promise.resolve([])
    read.then(
      (rows) => {
        this.#applyNow(state, lane, { stream: name, lane: laneNumber, prev: lane.head, rows })
        lane.head = Math.max(lane.head, next)
        this.#applyHeld(state, lane)
        this.#notify(state, lane)
      },
      (error: unknown) => {
        this.#onError(error)
        lane.gapTimer ??= setTimeout(() => this.#fillGap(name, laneNumber), 1000)
      },
    )
  }

  /** Stops the timers. */
  close(): void {
    for (const state of this.#streams.values()) {
      for (const lane of state.lanes) clearTimeout(lane.gapTimer)
    }
  }
}

function newLane(head: number): LaneState {
  return { head, held: [], gapTimer: undefined, awaited: [] }
}
