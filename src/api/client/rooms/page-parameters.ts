import { invalidParam } from '../../../protocol/errors.ts'
import { EventFilter } from '../../../protocol/filters/event-filter.ts'
import { parseRoomEventFilter } from '../../../protocol/filters/parse-filter.ts'
import { parseStrictJson } from '../../../protocol/strict-json.ts'
import { placeOfToken, placeToToken } from '../../../streams/history-place.ts'
import { eventPositionInLane, formatRoomPosition, parseSyncToken } from '../../../streams/sync-token.ts'
import type { StreamPosition } from '../../../streams/streams.ts'

/** Events in one page at the most; more are cut to it. */
export const PAGE_EVENTS_MAX = 1000
export const PAGE_EVENTS_DEFAULT = 10
export const FILTER_CHARACTERS_MAX = 65_536
export const TOKEN_CHARACTERS_MAX = 1000
/** A room is served by one lane of the events stream. */
const LANE = 0

/** Reads a token of a timeline: the place after the event at that position; undefined for none. Throws M_INVALID_PARAM. */
export function parsePageToken(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const token = parseSyncToken(text)
  return placeOfToken(eventPositionInLane(token, LANE), token.depth)
}

/** Reads a token as a position of the stream: for what knows no places between two of them. Throws M_INVALID_PARAM. */
export function parsePositionToken(text: string | undefined): number | undefined {
  const place = parsePageToken(text)
  return place === undefined ? undefined : Math.floor(place)
}

/** Writes the token of a place in a timeline. */
export function formatPageToken(place: number): string {
  const { events, depth } = placeToToken(place)
  return formatRoomPosition({ events: events as StreamPosition, eventLanes: undefined, depth })
}

/** Checks a page's size. Throws M_INVALID_PARAM. */
export function parsePageLimit(
  limit: number | undefined,
  options: { readonly max?: number; readonly min?: number } = {},
): number {
  const { max = PAGE_EVENTS_MAX, min = 1 } = options
  if (limit === undefined) return Math.min(PAGE_EVENTS_DEFAULT, max)
  if (limit < 0) throw invalidParam('The limit must not be negative')
  return Math.max(min, Math.min(limit, max))
}

/** Reads a RoomEventFilter that stands in a query. Throws M_NOT_JSON, M_BAD_JSON. Spec: room_event_filter.yaml. */
export function parseQueryFilter(text: string | undefined): EventFilter | undefined {
  if (text === undefined || text === '') return undefined
  return new EventFilter(parseRoomEventFilter(parseStrictJson(text)), { limitMax: PAGE_EVENTS_MAX })
}

/** Checks an event type, state key or relation type. Throws M_INVALID_PARAM on what no event can have. */
export function parseEventText(value: string, what: string): string {
  if (value.includes('\u0000') || !value.isWellFormed()) throw invalidParam(`The ${what} is malformed`)
  return value
}
