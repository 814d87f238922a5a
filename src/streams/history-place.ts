/**
 * A place in a room's history as one number that sorts as (position, ordinal): position + ordinal / 2^20. Events of the stream
 * stand at their positions; what was filled in before one of them, with negative ordinals, between it and the position before.
 */
const ORDINALS = 2 ** 20

/** Events that can be filled in at one position. */
export const HISTORY_ORDINALS_MAX = ORDINALS - 1

/** The place of an event. */
export function placeOf(event: { readonly position?: number | undefined | null; readonly ordinal: number }): number {
  return (event.position ?? 0) + event.ordinal / ORDINALS
}

/** The next place before. */
export function placeBefore(place: number): number {
  return place - 1 / ORDINALS
}

/** The next place after. */
export function placeAfter(place: number): number {
  return place + 1 / ORDINALS
}

/** What the database orders by. */
export function splitPlace(place: number): { readonly position: number; readonly ordinal: number } {
  const position = Math.ceil(place)
  return { position, ordinal: Math.round((place - position) * ORDINALS) }
}

/** A place in the fields of a token: the last position at or before it, and how far after that. */
export function placeToToken(place: number): { readonly events: number; readonly depth: number | undefined } {
  const events = Math.floor(place)
  return { events, depth: place === events ? undefined : Math.round((place - events) * ORDINALS) }
}

/** The place that a token's fields name. */
export function placeOfToken(events: number, depth: number | undefined): number {
  return depth === undefined ? events : events + Math.min(depth, ORDINALS - 1) / ORDINALS
}
