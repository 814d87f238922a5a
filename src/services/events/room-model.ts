import type { AuthStateLookup } from '../../protocol/auth-rules/auth-result.ts'
import { eventFromStoredPdu } from '../../protocol/events/parse-event.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent, Pdu } from '../../protocol/events/event.ts'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import { redactMatrixEvent } from '../../protocol/redaction.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { RoomHeadRecord, StateRecord } from '../../storage/tables/room-state.ts'

/** One filled slot of the current state. The event is parsed when somebody asks for it: most members never are. */
export class StateEntry {
  readonly eventNid: number
  readonly eventId: EventId
  readonly type: string
  readonly stateKey: string
  #event: MatrixEvent | undefined
  readonly #parse: (() => MatrixEvent) | undefined

  constructor(
    fields: { eventNid: number; eventId: EventId; type: string; stateKey: string },
    event: MatrixEvent | (() => MatrixEvent),
  ) {
    this.eventNid = fields.eventNid
    this.eventId = fields.eventId
    this.type = fields.type
    this.stateKey = fields.stateKey
    this.#event = typeof event === 'function' ? undefined : event
    this.#parse = typeof event === 'function' ? event : undefined
  }

  get event(): MatrixEvent {
    // One of the two is always given.
    return (this.#event ??= (this.#parse as () => MatrixEvent)())
  }
}

/** A head of the room's event graph. */
export interface Extremity {
  readonly eventNid: number
  readonly event: MatrixEvent
}

/** What one job changes in a model, so that a refused job can be taken back whole. */
export type Undo = () => void

/**
 * A room as its owner holds it in memory: head, current state, counters. It runs ahead of the database by the commit that
 * is in flight; when that fails, the model is dropped and loaded again.
 */
export class RoomModel {
  readonly roomNid: number
  readonly roomId: RoomId
  readonly roomVersion: RoomVersion
  /** Version of room_head that the next commit expects. */
  version: number
  extremities: readonly Extremity[]
  depth: number
  joinedCount: number
  invitedCount: number
  notifyOrdinal: number
  /** The current state is the one as of this position and of every later one. Moves on with the commits. */
  statePos: number
  /** True once it may no longer be used. */
  isDropped = false
  readonly #state = new Map<string, StateEntry>()

  constructor(head: {
    roomNid: number
    roomId: RoomId
    roomVersion: RoomVersion
    version: number
    extremities: readonly Extremity[]
    depth: number
    joinedCount: number
    invitedCount: number
    notifyOrdinal: number
    statePos: number
  }) {
    this.roomNid = head.roomNid
    this.roomId = head.roomId
    this.roomVersion = head.roomVersion
    this.version = head.version
    this.extremities = head.extremities
    this.depth = head.depth
    this.joinedCount = head.joinedCount
    this.invitedCount = head.invitedCount
    this.notifyOrdinal = head.notifyOrdinal
    this.statePos = head.statePos
  }

  /** Number of filled slots. */
  get stateSize(): number {
    return this.#state.size
  }

  entry(type: string, stateKey: string): StateEntry | undefined {
    return this.#state.get(stateSlotKey(type, stateKey))
  }

  /** The current event of a slot: what the auth rules look up. */
  readonly lookup: AuthStateLookup = (type, stateKey) => this.entry(type, stateKey)?.event

  entries(): IterableIterator<StateEntry> {
    return this.#state.values()
  }

  setEntry(entry: StateEntry): void {
    this.#state.set(stateSlotKey(entry.type, entry.stateKey), entry)
  }

  deleteEntry(type: string, stateKey: string): void {
    this.#state.delete(stateSlotKey(type, stateKey))
  }

  /** Remembers head and counters; the returned function puts them and the given slots back. */
  checkpoint(touched: ReadonlyMap<string, StateEntry | undefined>): Undo {
    const { extremities, depth, joinedCount, invitedCount, notifyOrdinal } = this
    return () => {
      Object.assign(this, { extremities, depth, joinedCount, invitedCount, notifyOrdinal })
      for (const [key, entry] of touched) {
        if (entry) this.#state.set(key, entry)
        else this.#state.delete(key)
      }
    }
  }

  /** The user's membership now; undefined where there never was one. */
  membershipOf(userId: string): string | undefined {
    const membership = this.lookup('m.room.member', userId)?.content['membership']
    return typeof membership === 'string' ? membership : undefined
  }
}

/** Builds the model from what the database holds. */
export function loadRoomModel(
  head: RoomHeadRecord,
  roomVersion: RoomVersion,
  state: readonly StateRecord[],
  extremities: readonly Extremity[],
): RoomModel {
  const model = new RoomModel({ ...head, roomVersion, extremities })
  for (const record of state) {
    model.setEntry(new StateEntry(record, () => parseStateRecord(record, head.roomId, roomVersion)))
  }
  return model
}

/** Parses a state row; a redacted event comes without what redaction takes away. */
export function parseStateRecord(
  record: { readonly eventId: EventId; readonly json: string; readonly redactedBy: EventId | null },
  roomId: RoomId,
  roomVersion: RoomVersion,
): MatrixEvent {
  const event = eventFromStoredPdu(JSON.parse(record.json) as Pdu, record.eventId, roomId, roomVersion)
  return record.redactedBy === null ? event : redactMatrixEvent(roomVersion, event)
}
