import { checkAuthEventSelection } from '../../protocol/auth-rules/auth-slots.ts'
import { checkAuthRules } from '../../protocol/auth-rules/check-auth-rules.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import { impliedCreateEventId } from '../../protocol/state-resolution/room-context.ts'
import type { Database } from '../../storage/database.ts'
import { insertOutliers } from '../../storage/operations/store-outliers.ts'
import type { NewOutlier } from '../../storage/operations/store-outliers.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import { assert } from '../../util/assert.ts'
import type { Clock } from '../../util/clock.ts'
import type { EventReader } from './event-reader.ts'
import { relationOf } from './event-building.ts'
import type { ForeignEvent, OutlierResult } from './foreign-events.ts'
import type { NidAllocator } from './nid-allocator.ts'

/** Rows of one statement. */
const CHUNK_EVENTS = 1000

export interface OutliersRequest {
  readonly roomId: RoomId
  readonly roomVersion: string
  readonly events: readonly ForeignEvent[]
}

interface Judged {
  readonly event: MatrixEvent
  readonly isRejected: boolean
}

/**
 * Stores events for their own sake, each judged by its auth events, which come among the others or are stored. Needs no place in the
 * stream and changes nothing in the room, so it runs beside the room's queue. Spec: server-server-api § Rejection.
 */
export async function storeOutliers(
  deps: { readonly database: Database; readonly events: EventReader; readonly nids: NidAllocator; readonly clock: Clock },
  request: OutliersRequest,
): Promise<OutlierResult[]> {
  const roomVersion = getRoomVersion(request.roomVersion)
  if (!roomVersion) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', `Room version ${request.roomVersion} is not supported`)
  const given = new Map(request.events.map((one) => [one.event.eventId, one]))
  const known = await loadKnown(deps.events, roomVersion, request.events)
  const results = new Map<EventId, OutlierResult>()
  const outliers: NewOutlier[] = []
  await deps.nids.ensure(given.size + 1)
  for (const { event, json } of sortByAuthEvents(given, roomVersion)) {
    if (known.has(event.eventId)) {
      results.set(event.eventId, 'known')
      continue
    }
    const missing = event.authEventIds.filter((eventId) => !known.has(eventId))
    if (missing.length > 0) {
      results.set(event.eventId, { missing })
      continue
    }
    const isRejected = event.roomId !== request.roomId || !isAllowed(roomVersion, event, known)
    known.set(event.eventId, { event, isRejected })
    results.set(event.eventId, isRejected ? 'rejected' : 'stored')
    outliers.push(toOutlier(event, json, isRejected, deps.nids.take()))
  }
  const room = { ...request, roomNid: deps.nids.take(), createdTsMs: deps.clock.nowMs(), creator: creatorOf(known) }
  await deps.database.transaction('store_outliers', async (tx) => {
    for (let start = 0; start === 0 || start < outliers.length; start += CHUNK_EVENTS)
      await insertOutliers(tx, room, outliers.slice(start, start + CHUNK_EVENTS))
  })
  return request.events.map(({ event }) => {
    const result = results.get(event.eventId)
    assert(result !== undefined, 'every event got a result')
    return result
  })
}

async function loadKnown(
  events: EventReader,
  roomVersion: RoomVersion,
  wanted: readonly ForeignEvent[],
): Promise<Map<EventId, Judged>> {
  const ids = new Set<EventId>()
  for (const { event } of wanted) {
    ids.add(event.eventId)
    for (const authEventId of event.authEventIds) ids.add(authEventId)
    const create = impliedCreateEventId(roomVersion, event)
    if (create !== undefined) ids.add(create)
  }
  const stored = await events.getEvents([...ids])
  return new Map(
    [...stored].map(([eventId, { event, flags }]) => [eventId, { event, isRejected: (flags & EVENT_FLAGS.rejected) !== 0 }]),
  )
}

/** Auth events before what they authorise. Events in a circle, which honest servers can not make, come in any order and fail. */
function sortByAuthEvents(given: ReadonlyMap<EventId, ForeignEvent>, roomVersion: RoomVersion): ForeignEvent[] {
  const sorted: ForeignEvent[] = []
  const state = new Map<EventId, 'open' | 'done'>()
  const stack = [...given.keys()].toReversed()
  for (let eventId = stack.at(-1); eventId !== undefined; eventId = stack.at(-1)) {
    const one = given.get(eventId)
    if (!one || state.get(eventId) === 'done') {
      stack.pop()
      continue
    }
    if (state.get(eventId) === 'open') {
      state.set(eventId, 'done')
      sorted.push(one)
      stack.pop()
      continue
    }
    state.set(eventId, 'open')
    const create = impliedCreateEventId(roomVersion, one.event)
    for (const authId of [...one.event.authEventIds, ...(create === undefined || create === eventId ? [] : [create])])
      if (given.has(authId) && !state.has(authId)) stack.push(authId)
  }
  return sorted
}

function isAllowed(roomVersion: RoomVersion, event: MatrixEvent, known: ReadonlyMap<EventId, Judged>): boolean {
  const entries = event.authEventIds.map((eventId) => known.get(eventId)).filter((entry) => entry !== undefined)
  const implied = impliedCreateEventId(roomVersion, event)
  const create = implied === undefined ? undefined : known.get(implied)
  if (!checkAuthEventSelection(roomVersion, event, entries, create).allowed) return false
  const slots = new Map(entries.map((entry) => [stateSlotKey(entry.event.type, entry.event.stateKey ?? ''), entry.event]))
  if (create) slots.set(stateSlotKey('m.room.create', ''), create.event)
  return checkAuthRules(roomVersion, event, (type, stateKey) => slots.get(stateSlotKey(type, stateKey))).allowed
}

function creatorOf(known: ReadonlyMap<EventId, Judged>): string {
  for (const { event } of known.values()) if (event.type === 'm.room.create') return event.sender
  return ''
}

function toOutlier(event: MatrixEvent, json: string, isRejected: boolean, eventNid: number): NewOutlier {
  const relation = relationOf(event)
  return {
    eventNid,
    eventId: event.eventId,
    depth: event.depth,
    type: event.type,
    stateKey: event.stateKey,
    sender: event.sender,
    originServerTs: event.originServerTs,
    relationType: relation?.type,
    relatesTo: relation?.eventId,
    redacts: event.redacts,
    flags: EVENT_FLAGS.outlier | (isRejected ? EVENT_FLAGS.rejected : 0),
    authIds: event.stateKey === undefined ? [] : event.authEventIds,
    json,
  }
}
