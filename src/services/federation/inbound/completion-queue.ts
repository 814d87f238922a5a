import type { RoomId, ServerName } from '../../../protocol/ids.ts'
import type { StagedEventRow } from '../../../storage/tables/federation-staging.ts'
import type { ForeignEvent } from '../../events/foreign-events.ts'

/** Completions at a time, of all servers. */
const RUNNING_MAX = 40
/** Completions at a time that one server's events may cause. */
const RUNNING_PER_ORIGIN_MAX = 4
/** Events in hand of one room from one server; further ones stay in the database. */
const LANE_EVENTS_MAX = 100
/** Events in hand from one server. */
const ORIGIN_EVENTS_MAX = 500

/** A staged event, parsed. */
export interface Staged {
  readonly row: StagedEventRow
  readonly foreign: ForeignEvent
}

interface Lane {
  readonly roomId: RoomId
  readonly origin: ServerName
  /** By staging id, in their order. */
  readonly events: Map<number, Staged>
  isRunning: boolean
}

/**
 * Events whose needs must be fetched from other servers. Those of one server in one room go one after another, since the first may
 * bring what the next one needs; a server that is slow or lies takes up a few places at the most, and never those of others.
 */
export class CompletionQueue {
  readonly #complete: (staged: Staged) => Promise<void>
  readonly #run: (work: () => Promise<void>) => void
  readonly #onEmpty: (roomId: RoomId) => void
  /** In the order in which they are served. */
  readonly #lanes = new Map<string, Lane>()
  readonly #running = new Map<ServerName, number>()
  readonly #inHand = new Map<ServerName, number>()
  #runningCount = 0

  /** `complete` deals with one event whatever happens; `run` runs work beside others; `onEmpty` says that more of a room can be taken. */
  constructor(deps: {
    complete: (staged: Staged) => Promise<void>
    run: (work: () => Promise<void>) => void
    onEmpty: (roomId: RoomId) => void
  }) {
    this.#complete = deps.complete
    this.#run = deps.run
    this.#onEmpty = deps.onEmpty
  }

  /** Takes an event that is not in hand yet. */
  add(staged: Staged): void {
    const { roomId, origin, stagingId } = staged.row
    const key = `${origin} ${roomId}`
    const lane = this.#lanes.get(key) ?? { roomId, origin, events: new Map<number, Staged>(), isRunning: false }
    this.#lanes.set(key, lane)
    lane.events.set(stagingId, staged)
    this.#inHand.set(origin, (this.#inHand.get(origin) ?? 0) + 1)
    this.#startLanes()
  }

  /** What of a room is in hand, and from whom no more is taken for now. */
  stateOf(roomId: RoomId): { readonly inHand: readonly number[]; readonly fullOrigins: readonly ServerName[] } {
    const lanes = [...this.#lanes.values()].filter((lane) => lane.roomId === roomId)
    const full = new Set(lanes.filter(({ events }) => events.size >= LANE_EVENTS_MAX).map(({ origin }) => origin))
    for (const [origin, count] of this.#inHand) if (count >= ORIGIN_EVENTS_MAX) full.add(origin)
    return { inHand: lanes.flatMap(({ events }) => [...events.keys()]), fullOrigins: [...full] }
  }

  #startLanes(): void {
    for (const [key, lane] of this.#lanes) {
      if (this.#runningCount >= RUNNING_MAX) return
      const running = this.#running.get(lane.origin) ?? 0
      if (lane.isRunning || running >= RUNNING_PER_ORIGIN_MAX) continue
      const [first] = lane.events.values()
      if (!first) continue
      lane.isRunning = true
      this.#running.set(lane.origin, running + 1)
      this.#runningCount += 1
      this.#run(() => this.#work(key, lane, first))
    }
  }

  async #work(key: string, lane: Lane, staged: Staged): Promise<void> {
    try {
      await this.#complete(staged)
    } finally {
      const { origin, roomId, events } = lane
      events.delete(staged.row.stagingId)
      lane.isRunning = false
      this.#runningCount -= 1
      countDown(this.#running, origin)
      countDown(this.#inHand, origin)
      // A lane that had its turn goes behind the others.
      this.#lanes.delete(key)
      if (events.size > 0) this.#lanes.set(key, lane)
      else this.#onEmpty(roomId)
      this.#startLanes()
    }
  }
}

function countDown(counts: Map<ServerName, number>, origin: ServerName): void {
  const left = (counts.get(origin) ?? 1) - 1
  if (left > 0) counts.set(origin, left)
  else counts.delete(origin)
}
