import type { EventId } from '../../protocol/ids.ts'

/** What a slot of a state holds; null where it holds nothing. */
export type SlotValue = { readonly eventId: EventId; readonly eventNid: number } | null

/**
 * A state of a room, written as the difference to the room's own state as of a position (design: rooms and state, section 3).
 * Immutable: states that are the same share one object, and one row.
 */
export interface StateRef {
  readonly basePos: number
  /** By slot key. */
  readonly overlay: ReadonlyMap<string, SlotValue>
  /** The overlay's row, once it has one. */
  overlayId: number | undefined
  /** The row is there already. */
  readonly isStored: boolean
}

const EMPTY: ReadonlyMap<string, SlotValue> = new Map()

/** The room's state as of a position, with some slots different. */
export function stateRef(basePos: number, overlay: ReadonlyMap<string, SlotValue> = EMPTY): StateRef {
  return { basePos, overlay, overlayId: undefined, isStored: false }
}

/** The same with an overlay that has a row. */
export function storedStateRef(basePos: number, overlay: ReadonlyMap<string, SlotValue>, overlayId: number): StateRef {
  return { basePos, overlay, overlayId, isStored: true }
}

/** The state with one slot set. */
export function withSlot(ref: StateRef, slotKey: string, value: SlotValue): StateRef {
  return stateRef(ref.basePos, new Map(ref.overlay).set(slotKey, value))
}

/** Tells whether two slots hold the same. */
export function isSameValue(a: SlotValue | undefined, b: SlotValue | undefined): boolean {
  return (a?.eventId ?? null) === (b?.eventId ?? null)
}

/** Type and state key of a slot key. */
export function splitSlotKey(slotKey: string): { readonly type: string; readonly stateKey: string } {
  const end = slotKey.indexOf('\u0000')
  return { type: slotKey.slice(0, end), stateKey: slotKey.slice(end + 1) }
}
