import { stateSlotKey } from '../../protocol/events/event.ts'
import type { RoomId } from '../../protocol/ids.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { Queryable } from '../../storage/database.ts'
import { getIntervalsBetween } from '../../storage/tables/event-graph.ts'
import type { IntervalRecord } from '../../storage/tables/event-graph.ts'
import type { PendingLinks } from './auth-graph.ts'
import { splitSlotKey } from './state-ref.ts'
import type { SlotValue, StateRef } from './state-ref.ts'

/** A room as far as comparing its states needs it. */
export interface StateRoom {
  readonly roomNid: number
  readonly roomId: RoomId
  readonly roomVersion: RoomVersion
  /** The room's state as of this position, and of every later one, is `committedSlot`. */
  readonly statePos: number
  readonly committedSlot: (slotKey: string) => SlotValue
  readonly pendingLinks: PendingLinks
}

/**
 * What slots held between the bases of some states: those that changed there, and those asked for. All others held the same
 * all the time.
 */
export class SlotHistory {
  readonly low: number
  readonly high: number
  readonly #room: StateRoom
  readonly #intervals = new Map<string, IntervalRecord[]>()
  readonly #atHigh = new Map<string, SlotValue>()

  private constructor(room: StateRoom, low: number, high: number) {
    this.#room = room
    this.low = low
    this.high = high
  }

  /** Loads the history in at most one query; in none where all bases are the current state. */
  static async load(database: Queryable, room: StateRoom, refs: readonly StateRef[]): Promise<SlotHistory> {
    const bases = refs.map((ref) => Math.min(ref.basePos, room.statePos))
    const history = new SlotHistory(room, Math.min(...bases), Math.max(...bases))
    if (history.low < room.statePos) {
      const slots = [...new Set(refs.flatMap((ref) => [...ref.overlay.keys()]))].map(splitSlotKey)
      const rows = await getIntervalsBetween(database, { roomNid: room.roomNid, low: history.low, high: history.high, slots })
      for (const row of rows) {
        const slotKey = stateSlotKey(row.type, row.stateKey)
        const intervals = history.#intervals.get(slotKey)
        if (intervals) intervals.push(row)
        else history.#intervals.set(slotKey, [row])
      }
    }
    return history
  }

  /** The slots in which the states may differ, as far as it is not their overlays that do. */
  get slotKeys(): Iterable<string> {
    return this.#intervals.keys()
  }

  /** What a slot that was loaded held at a base. */
  valueAt(slotKey: string, basePos: number): SlotValue {
    const position = Math.min(basePos, this.#room.statePos)
    if (position === this.#room.statePos) return this.#room.committedSlot(slotKey)
    for (const interval of this.#intervals.get(slotKey) ?? []) {
      if (interval.eventId !== null && interval.fromPos <= position && interval.toPos > position)
        return { eventId: interval.eventId, eventNid: interval.eventNid }
    }
    return null
  }

  /** What a state holds in a slot that was loaded. */
  valueIn(ref: StateRef, slotKey: string): SlotValue {
    const value = ref.overlay.get(slotKey)
    return value === undefined ? this.valueAt(slotKey, ref.basePos) : value
  }

  /** What all bases hold in a slot that did not change between them; undefined where it must be loaded first. */
  unchanged(slotKey: string): SlotValue | undefined {
    if (this.high === this.#room.statePos) return this.#room.committedSlot(slotKey)
    return this.#atHigh.get(slotKey)
  }

  /** Loads what slots held that did not change. */
  async loadUnchanged(database: Queryable, slotKeys: Iterable<string>): Promise<void> {
    const missing = [...slotKeys].filter((slotKey) => this.unchanged(slotKey) === undefined)
    if (missing.length === 0) return
    for (const slotKey of missing) this.#atHigh.set(slotKey, null)
    const slots = missing.map(splitSlotKey)
    const rows = await getIntervalsBetween(database, { roomNid: this.#room.roomNid, low: this.high, high: this.high, slots })
    for (const row of rows) {
      if (row.eventId !== null)
        this.#atHigh.set(stateSlotKey(row.type, row.stateKey), { eventId: row.eventId, eventNid: row.eventNid })
    }
  }
}
