import { invalidParam } from '../protocol/errors.ts'
import type { StreamHub } from './stream-hub.ts'
import type { StreamName, StreamPosition } from './streams.ts'

/**
 * A client's place in every stream. As text: 14 fields joined by `_`, in Synapse's order, so that clients keep their tokens
 * when a server moves to us:
 *
 *     s<events>_<presence>_<typing>_<receipts>_<account_data>_<push_rules>_<to_device>_<device_lists>_<groups>
 *      _<un_partial_stated>_<thread_subscriptions>_<sticky_events>_<quarantined_media>_<profiles>
 *
 * The room part is `s<position>` when all lanes agree, else `l<min>~<lane>.<position>…` (only the lanes above the minimum).
 * `t<depth>-<position>` marks a place in a room's history. Read but never written: Synapse's `m<min>~<writer>.<position>…`,
 * which counts as its minimum (a few repeats, no losses); its writers mean nothing to us. Missing fields at the end are 0.
 */
export interface SyncToken {
  /** The place in the events stream: every lane without an entry of its own in `eventLanes` stands here. */
  readonly events: StreamPosition
  readonly eventLanes: ReadonlyMap<number, StreamPosition> | undefined
  /** The depth, where the token points into a room's history. */
  readonly depth: number | undefined
  readonly presence: StreamPosition
  readonly typing: StreamPosition
  readonly receipts: StreamPosition
  readonly accountData: StreamPosition
  readonly pushRules: StreamPosition
  readonly toDevice: StreamPosition
  readonly deviceLists: StreamPosition
  readonly threadSubscriptions: StreamPosition
  readonly profiles: StreamPosition
}

/** The room part of a token. */
export type RoomPosition = Pick<SyncToken, 'events' | 'eventLanes' | 'depth'>

const TOKEN_CHARACTERS_MAX = 1000
const FIELDS_MAX = 14
const LANES_MAX = 64
const INTEGER = /^[0-9]{1,16}$/

/** Writes a token as text. */
export function formatSyncToken(token: SyncToken): string {
  return (
    `${formatRoomPosition(token)}_${token.presence}_${token.typing}_${token.receipts}_${token.accountData}_${token.pushRules}` +
    `_${token.toDevice}_${token.deviceLists}_0_0_${token.threadSubscriptions}_0_0_${token.profiles}`
  )
}

/** Reads a token that we or a Synapse wrote. Throws M_INVALID_PARAM (400) on anything else. */
export function parseSyncToken(text: string): SyncToken {
  const fields = text.length <= TOKEN_CHARACTERS_MAX ? text.split('_') : []
  if (fields.length === 0 || fields.length > FIELDS_MAX) throw invalidToken()
  const room = parseRoomPosition(fields[0] ?? '')
  // Those that we do not use must be well-formed all the same.
  for (const unused of [8, 9, 11, 12]) parsePosition(fields[unused])
  return {
    events: room.events,
    eventLanes: room.eventLanes,
    depth: room.depth,
    presence: parsePosition(fields[1]),
    typing: parsePosition(fields[2]),
    receipts: parsePosition(fields[3]),
    accountData: parsePosition(fields[4]),
    pushRules: parsePosition(fields[5]),
    toDevice: parsePosition(fields[6]),
    deviceLists: parsePosition(fields[7]),
    threadSubscriptions: parsePosition(fields[10]),
    profiles: parsePosition(fields[13]),
  }
}

/** Writes the room part alone: `s…`, `l…` or `t…`. */
export function formatRoomPosition(room: RoomPosition): string {
  if (room.depth !== undefined) return `t${room.depth}-${room.events}`
  let lanes = ''
  if (room.eventLanes) for (const [lane, position] of room.eventLanes) if (position > room.events) lanes += `~${lane}.${position}`
  return lanes === '' ? `s${room.events}` : `l${room.events}${lanes}`
}

/** Reads the room part of a token. Throws M_INVALID_PARAM (400) where it is malformed. */
export function parseRoomPosition(text: string): RoomPosition {
  const rest = text.slice(1)
  switch (text[0]) {
    case 's':
      return { events: parseInteger(rest), eventLanes: undefined, depth: undefined }
    case 't': {
      const dash = rest.indexOf('-')
      if (dash === -1) throw invalidToken()
      return { events: parseInteger(rest.slice(dash + 1)), eventLanes: undefined, depth: parseInteger(rest.slice(0, dash)) }
    }
    case 'l': {
      const [minimum = '', ...entries] = rest.split('~')
      return { events: parseInteger(minimum), eventLanes: parseLanes(entries), depth: undefined }
    }
    case 'm':
      return { events: parseMinimum(rest), eventLanes: undefined, depth: undefined }
    default:
      throw invalidToken()
  }
}

/** The token's position in one lane of the events stream. */
export function eventPositionInLane(room: RoomPosition, lane: number): StreamPosition {
  return room.eventLanes?.get(lane) ?? room.events
}

/** The token of everything that this process has applied. */
export function currentSyncToken(hub: Pick<StreamHub, 'head'>): SyncToken {
  return {
    events: hub.head('events'),
    eventLanes: undefined,
    depth: undefined,
    presence: hub.head('presence'),
    typing: hub.head('typing'),
    receipts: hub.head('receipts'),
    accountData: hub.head('account_data'),
    pushRules: hub.head('push_rules'),
    toDevice: hub.head('to_device'),
    deviceLists: hub.head('device_lists'),
    threadSubscriptions: hub.head('thread_subscriptions'),
    profiles: hub.head('profiles'),
  }
}

/**
 * Reaches what the token covers, where this process is behind the one that made it: read from PostgreSQL at once, without waiting
 * for frames. Costs nothing where nothing is missing. Replication design, section 1.4.
 */
export async function catchUpWithToken(hub: Pick<StreamHub, 'head' | 'catchUpTo'>, token: SyncToken): Promise<void> {
  const missing: Promise<void>[] = []
  const reach = (stream: StreamName, position: StreamPosition): void => {
    if (position > hub.head(stream)) missing.push(hub.catchUpTo(stream, 0, position))
  }
  reach('events', eventPositionInLane(token, 0))
  reach('presence', token.presence)
  reach('receipts', token.receipts)
  reach('account_data', token.accountData)
  reach('push_rules', token.pushRules)
  reach('to_device', token.toDevice)
  reach('device_lists', token.deviceLists)
  reach('thread_subscriptions', token.threadSubscriptions)
  reach('profiles', token.profiles)
  await Promise.all(missing)
}

function parseLanes(entries: readonly string[]): ReadonlyMap<number, StreamPosition> | undefined {
  if (entries.length > LANES_MAX) throw invalidToken()
  const lanes = new Map<number, StreamPosition>()
  for (const entry of entries) {
    const dot = entry.indexOf('.')
    if (dot === -1) throw invalidToken()
    lanes.set(parseInteger(entry.slice(0, dot)), parseInteger(entry.slice(dot + 1)))
  }
  return lanes.size === 0 ? undefined : lanes
}

/** A field that is absent is 0; one with several writers counts as its minimum. */
function parsePosition(field: string | undefined): StreamPosition {
  if (field === undefined) return 0 as StreamPosition
  return field[0] === 'm' || field[0] === 'l' ? parseMinimum(field.slice(1)) : parseInteger(field)
}

function parseMinimum(text: string): StreamPosition {
  const [minimum = '', ...entries] = text.split('~')
  // Synapse once wrote `m5~`, with an empty entry.
  parseLanes(entries.filter((entry) => entry !== ''))
  return parseInteger(minimum)
}

function parseInteger(text: string): StreamPosition {
  const value = INTEGER.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw invalidToken()
  return value as StreamPosition
}

function invalidToken(): Error {
  return invalidParam('The stream token is malformed')
}
