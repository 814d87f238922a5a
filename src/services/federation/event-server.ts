import { MatrixError } from '../../protocol/errors.ts'
import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import { getEventsById, getEventsNearTime } from '../../storage/tables/events.ts'
import type { EventRecord } from '../../storage/tables/events.ts'
import { getEventsByWalk } from '../../storage/tables/federation-reads.ts'
import type { EventReader } from '../events/event-reader.ts'
import { pduText, redactedPduText } from './pdu-text.ts'
import type { RoomServers } from './room-servers.ts'
import type { ServerVisibility } from './server-visibility.ts'

/** Synapse's limits. */
const BACKFILL_EVENTS_MAX = 100
const MISSING_EVENTS_MAX = 20
const PAGE_EVENTS = 50
/** How many events the server may not see we step over before we give up. */
const PAGES_MAX = 10

export interface MissingEventsRequest {
  readonly roomId: RoomId
  readonly earliestEvents: readonly EventId[]
  readonly latestEvents: readonly EventId[]
  readonly minDepth: number
  readonly limit: number
}

/**
 * Gives events to servers that are in their room. What a server may not see it gets as a redacted copy, so that its graph has no
 * holes. Rejected events are never given out; soft-failed ones where others build on them, or who names them: for the graph they
 * are events like all others. Spec: server-server-api § Soft failure, § Backfilling and retrieving missing events.
 */
export class EventServer {
  readonly #database: Database
  readonly #events: EventReader
  readonly #roomServers: RoomServers
  readonly #visibility: ServerVisibility

  constructor(deps: { database: Database; events: EventReader; roomServers: RoomServers; visibility: ServerVisibility }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#roomServers = deps.roomServers
    this.#visibility = deps.visibility
  }

  /** One event as JSON text. Throws M_NOT_FOUND, M_FORBIDDEN. Spec: events.yaml, getEvent. */
  async getEvent(origin: ServerName, eventId: EventId): Promise<string> {
    const [record] = await getEventsById(this.#database, [eventId])
    if (!record || (record.flags & EVENT_FLAGS.rejected) !== 0) throw new MatrixError('M_NOT_FOUND', 'Could not find the event')
    await this.#roomServers.assertAllowedByAcl(origin, record.roomId)
    await this.#roomServers.assertInRoom(origin, record.roomId)
    const [text] = await this.#write(origin, record.roomId, [record])
    return text ?? ''
  }

  /** The events before and including `from`, newest first, as JSON texts. Throws M_FORBIDDEN. Spec: backfill.yaml, backfillRoom. */
  async backfill(
    origin: ServerName,
    request: { readonly roomId: RoomId; readonly from: readonly EventId[]; readonly limit: number },
  ): Promise<string[]> {
    const { roomId, from } = request
    await this.#roomServers.assertInRoom(origin, roomId)
    const limit = Math.min(request.limit, BACKFILL_EVENTS_MAX)
    if (limit <= 0) return []
    const walk = { roomId, from, stopAt: [], minDepth: 0, limit, includesFrom: true }
    return this.#write(origin, roomId, await getEventsByWalk(this.#database, walk))
  }

  /** The events between two edges of a server's knowledge, oldest first, as JSON texts. Throws M_FORBIDDEN. Spec: backfill.yaml. */
  async getMissingEvents(origin: ServerName, request: MissingEventsRequest): Promise<string[]> {
    const { roomId, minDepth } = request
    await this.#roomServers.assertInRoom(origin, roomId)
    const limit = Math.min(request.limit, MISSING_EVENTS_MAX)
    if (limit <= 0) return []
    const records = await getEventsByWalk(this.#database, {
      roomId,
      from: request.latestEvents,
      stopAt: request.earliestEvents,
      minDepth,
      limit,
      includesFrom: false,
    })
    return this.#write(origin, roomId, records.reverse())
  }

  /** Finds the event closest to a time that the server may see. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: events.yaml. */
  async findNearest(
    origin: ServerName,
    request: { readonly roomId: RoomId; readonly timestampMs: number; readonly direction: 'b' | 'f' },
  ): Promise<{ readonly eventId: EventId; readonly timestampMs: number }> {
    const { roomId } = request
    await this.#roomServers.assertInRoom(origin, roomId)
    for (let page = 0; page < PAGES_MAX; page++) {
      const records = await getEventsNearTime(this.#database, { ...request, limit: PAGE_EVENTS, offset: page * PAGE_EVENTS })
      const stored = records.map((record) => this.#events.remember(record))
      const visible = await this.#visibility.getVisible(origin, roomId, stored)
      const found = stored.find((candidate) => visible.has(candidate))
      if (found) return { eventId: found.event.eventId, timestampMs: found.event.originServerTs }
      if (records.length < PAGE_EVENTS) break
    }
    throw new MatrixError('M_NOT_FOUND', `Unable to find event from ${request.timestampMs} in direction ${request.direction}`)
  }

  async #write(origin: ServerName, roomId: RoomId, records: readonly EventRecord[]): Promise<string[]> {
    const stored = records.map((record) => this.#events.remember(record))
    const visible = await this.#visibility.getVisible(origin, roomId, stored)
    return records.map((record, index) => {
      const event = stored[index]
      return event && visible.has(event) ? pduText(record) : redactedPduText(record)
    })
  }
}
