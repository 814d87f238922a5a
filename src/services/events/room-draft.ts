import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import type { Extremity, RoomModel } from './room-model.ts'
import type { StateRoom } from './slot-history.ts'
import { splitSlotKey, stateRef } from './state-ref.ts'
import type { SlotValue, StateRef } from './state-ref.ts'
import type { LoadedEvent } from './state-resolver.ts'

/** An event of the graph with its state; one that is known only for its own sake has none. */
export interface GraphEvent extends LoadedEvent {
  readonly flags: number
  readonly before: StateRef | undefined
  readonly after: StateRef | undefined
  readonly position: number | undefined
}

/** A change of the room's current state; undefined empties the slot. */
export interface SlotChange {
  readonly type: string
  readonly stateKey: string
  readonly value: LoadedEvent | undefined
}

/**
 * A room model with what is planned on top of it, which nobody sees before it is committed: new events, extremities, slots of
 * the current state. States of planned events are written relative to what is committed.
 */
export class RoomDraft implements StateRoom {
  readonly model: RoomModel
  extremities: readonly Extremity[]
  /** What is known of the graph: read from the database, or planned here. */
  readonly graph = new Map<EventId, GraphEvent>()
  readonly pendingLinks = new Map<EventId, readonly EventId[]>()
  readonly #changes = new Map<string, LoadedEvent | undefined>()
  #current: StateRef

  constructor(model: RoomModel) {
    this.model = model
    this.extremities = model.extremities
    this.#current = stateRef(model.statePos)
  }

  get roomNid(): number {
    return this.model.roomNid
  }

  get roomId(): RoomId {
    return this.model.roomId
  }

  get roomVersion(): RoomVersion {
    return this.model.roomVersion
  }

  get statePos(): number {
    return this.model.statePos
  }

  get depth(): number {
    return this.extremities.reduce((depth, { event }) => Math.max(depth, event.depth), 0)
  }

  /** The room's current state, planned changes included. */
  get current(): StateRef {
    return this.#current
  }

  readonly committedSlot = (slotKey: string): SlotValue => {
    const { type, stateKey } = splitSlotKey(slotKey)
    const entry = this.model.entry(type, stateKey)
    return entry ? { eventId: entry.eventId, eventNid: entry.eventNid } : null
  }

  /** The current event of a slot: what the auth rules look up. */
  readonly lookup = (type: string, stateKey: string): MatrixEvent | undefined => {
    const slotKey = stateSlotKey(type, stateKey)
    return this.#changes.has(slotKey) ? this.#changes.get(slotKey)?.event : this.model.lookup(type, stateKey)
  };

  /** Members of the current state. */
  *members(): Iterable<MatrixEvent> {
    for (const entry of this.model.entries()) {
      if (entry.type !== 'm.room.member') continue
      const event = this.lookup(entry.type, entry.stateKey)
      if (event) yield event
    }
    for (const [slotKey, value] of this.#changes) {
      const { type, stateKey } = splitSlotKey(slotKey)
      if (value && type === 'm.room.member' && !this.model.entry(type, stateKey)) yield value.event
    }
  }

  /** Changes slots of the current state. */
  change(changes: readonly SlotChange[]): void {
    if (changes.length === 0) return
    const overlay = new Map(this.#current.overlay)
    for (const { type, stateKey, value } of changes) {
      const slotKey = stateSlotKey(type, stateKey)
      this.#changes.set(slotKey, value)
      overlay.set(slotKey, value ? { eventId: value.event.eventId, eventNid: value.eventNid } : null)
    }
    this.#current = stateRef(this.model.statePos, overlay)
  }

  /** Adds a planned event to the graph. */
  add(planned: GraphEvent): void {
    const { event, flags } = planned
    this.graph.set(event.eventId, planned)
    if (event.stateKey !== undefined && (flags & EVENT_FLAGS.rejected) === 0)
      this.pendingLinks.set(event.eventId, event.authEventIds)
  }

  /** The state after an event: the current one where it is the only extremity. */
  stateAfter(eventId: EventId): StateRef | undefined {
    const [only] = this.extremities
    if (this.extremities.length === 1 && only?.event.eventId === eventId) return this.#current
    return this.graph.get(eventId)?.after
  }

  /** Tells whether these are the room's forward extremities. */
  areExtremities(eventIds: readonly EventId[]): boolean {
    const named = new Set(eventIds)
    return (
      named.size > 0 && named.size === this.extremities.length && this.extremities.every(({ event }) => named.has(event.eventId))
    )
  }
}
