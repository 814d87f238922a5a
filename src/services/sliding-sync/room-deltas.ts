import { stateSlotKey } from '../../protocol/events/event.ts'
import type { RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getEmptiedSlots } from '../../storage/tables/sliding-sync.ts'
import { getStateDeltas } from '../../storage/tables/sync-state.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { stateRecordToClientJson } from '../events/state-records.ts'
import type { RecentEvent, RoomTimelines } from '../sync/room-timelines.ts'

/** A slot of a room's state and the event in it, in client format without `unsigned`. */
export interface SlotText {
  readonly type: string
  readonly stateKey: string
  readonly text: string
}

/** What changed in a room's state over a range. */
export interface RoomDelta {
  readonly slots: readonly SlotText[]
  /** Slots that a state resolution has emptied. */
  readonly emptied: readonly { readonly type: string; readonly stateKey: string }[]
}

interface Range {
  readonly roomId: RoomId
  readonly after: number
  readonly upTo: number
}

export const NO_DELTA: RoomDelta = { slots: [], emptied: [] }

/** Tells what changed in rooms' states: from the events in memory, from two queries where those do not reach back or histories forked. */
export class RoomDeltas {
  readonly #database: Database
  readonly #timelines: RoomTimelines

  constructor(deps: { database: Database; timelines: RoomTimelines }) {
    this.#database = deps.database
    this.#timelines = deps.timelines
  }

  async load(ranges: readonly Range[]): Promise<Map<RoomId, RoomDelta>> {
    const deltas = new Map<RoomId, RoomDelta>()
    const missing: Range[] = []
    for (const range of ranges) {
      if (range.upTo <= range.after) continue
      const recent = this.#timelines.getSince(range.roomId, range.after as StreamPosition, range.upTo as StreamPosition)
      if (recent?.every(isPlain) === true) deltas.set(range.roomId, deltaOf(recent))
      else missing.push(range)
    }
    if (missing.length === 0) return deltas
    const [records, emptied] = await Promise.all([
      getStateDeltas(this.#database, missing),
      getEmptiedSlots(this.#database, missing),
    ])
    const slotsByRoom = Map.groupBy(records, (record) => record.roomId)
    const emptiedByRoom = Map.groupBy(emptied, (slot) => slot.roomId)
    for (const { roomId } of missing) {
      const slots = (slotsByRoom.get(roomId) ?? []).map((record) => ({
        type: record.type,
        stateKey: record.stateKey,
        text: stateRecordToClientJson(record),
      }))
      deltas.set(roomId, { slots, emptied: emptiedByRoom.get(roomId) ?? [] })
    }
    return deltas
  }
}

/** Its own slot is all that the event may have changed, and it is as it came. */
function isPlain({ row, isChanged }: RecentEvent): boolean {
  return row.stateDelta === undefined && !(isChanged && row.stateKey !== undefined)
}

function deltaOf(events: readonly RecentEvent[]): RoomDelta {
  const slots = new Map<string, SlotText>()
  for (const { row } of events) {
    if (row.stateKey === undefined) continue
    slots.set(stateSlotKey(row.type, row.stateKey), { type: row.type, stateKey: row.stateKey, text: `${row.clientJson}}` })
  }
  return slots.size === 0 ? NO_DELTA : { slots: [...slots.values()], emptied: [] }
}
