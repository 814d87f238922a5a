import { LRUCache } from 'lru-cache'
import { eventFromStoredPdu } from '../../protocol/events/parse-event.ts'
import type { MatrixEvent, Pdu } from '../../protocol/events/event.ts'
import type { EventId } from '../../protocol/ids.ts'
import { redactMatrixEvent } from '../../protocol/redaction.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsById } from '../../storage/tables/events.ts'
import type { EventRecord } from '../../storage/tables/events.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { assert } from '../../util/assert.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

/** Memory for parsed events. An object takes about three times its text. */
const EVENTS_BYTES_MAX = 24 * 1024 * 1024
const EVENT_BYTES = 1000
const BYTES_PER_CHARACTER = 3
const REDACTIONS_MAX = 10_000

/** An event as it stands in the database. `event` is the redacted form where a redaction took effect. */
export interface StoredEvent {
  readonly eventNid: number
  readonly event: MatrixEvent
  /** Undefined where the event is not part of the timeline here. */
  readonly position: number | undefined
  /** Negative for events from before the stream; see streams/history-place.ts. */
  readonly ordinal: number
  readonly basePos: number
  readonly redactedBy: EventId | undefined
  readonly replacesNid: number | undefined
  readonly threadId: string | undefined
  readonly flags: number
  readonly transaction: { readonly deviceId: string; readonly transactionId: string } | undefined
}

/** Reads events by id, through a cache that redactions keep true. */
export class EventReader {
  readonly #database: Database
  readonly #cache: LRUCache<EventId, StoredEvent>
  /** A query under way when a redaction arrives may still bring the event as it was. */
  readonly #redactions = cacheOfEntries<EventId, EventId>(REDACTIONS_MAX)

  /** `cacheFactor` multiplies the memory it may take. */
  constructor(deps: { database: Database; hub: StreamHub; cacheFactor?: number }) {
    this.#database = deps.database
    this.#cache = new LRUCache({ maxSize: Math.ceil(EVENTS_BYTES_MAX * (deps.cacheFactor ?? 1)) })
    deps.hub.onRow('events', (row) => {
      // What was stored for its own sake became part of the timeline.
      if (this.#cache.peek(row.eventId as EventId)?.position === undefined) this.#cache.delete(row.eventId as EventId)
      if (row.redacts === undefined) return
      this.#cache.delete(row.redacts as EventId)
      this.#redactions.set(row.redacts as EventId, row.eventId as EventId)
    })
    deps.hub.onReset('events', () => this.#cache.clear())
    deps.hub.onPurge(({ roomId }) => {
      for (const [eventId, stored] of this.#cache.entries()) if (stored.event.roomId === roomId) this.#cache.delete(eventId)
    })
  }

  /** Gets events by id in one query for those not in memory; unknown ids are left out. */
  async getEvents(eventIds: readonly EventId[]): Promise<Map<EventId, StoredEvent>> {
    const found = new Map<EventId, StoredEvent>()
    const missing: EventId[] = []
    for (const eventId of eventIds) {
      const cached = this.#cache.get(eventId)
      if (cached) found.set(eventId, cached)
      else missing.push(eventId)
    }
    if (missing.length > 0) {
      for (const record of await getEventsById(this.#database, missing)) found.set(record.eventId, this.remember(record))
    }
    return found
  }

  /** Gets one event; undefined where it is not known. */
  async getEvent(eventId: EventId): Promise<StoredEvent | undefined> {
    return (await this.getEvents([eventId])).get(eventId)
  }

  /** Forgets events that are stored otherwise now. */
  forget(eventIds: readonly EventId[]): void {
    for (const eventId of eventIds) this.#cache.delete(eventId)
  }

  /** Parses a row that another query brought, or takes it from the cache. */
  remember(record: EventRecord): StoredEvent {
    const cached = this.#cache.get(record.eventId)
    // What was stored for its own sake became history, which no row of the stream tells.
    if (cached && cached.flags === record.flags) return cached
    const redactedBy = record.redactedBy ?? this.#redactions.get(record.eventId) ?? null
    const stored = parseEventRecord(redactedBy === record.redactedBy ? record : { ...record, redactedBy })
    this.#cache.set(record.eventId, stored, { size: EVENT_BYTES + BYTES_PER_CHARACTER * record.json.length })
    return stored
  }
}

/** Makes an event of its row. */
export function parseEventRecord(record: EventRecord): StoredEvent {
  const roomVersion = getRoomVersion(record.roomVersion)
  assert(roomVersion, 'only events of known room versions are stored')
  const event = eventFromStoredPdu(JSON.parse(record.json) as Pdu, record.eventId, record.roomId, roomVersion)
  return {
    eventNid: record.eventNid,
    event: record.redactedBy === null ? event : redactMatrixEvent(roomVersion, event),
    position: record.position ?? undefined,
    ordinal: record.ordinal,
    basePos: record.basePos,
    redactedBy: record.redactedBy ?? undefined,
    replacesNid: record.replacesNid ?? undefined,
    threadId: record.threadId ?? undefined,
    flags: record.flags,
    transaction:
      record.txnDevice === null || record.txnId === null
        ? undefined
        : { deviceId: record.txnDevice, transactionId: record.txnId },
  }
}
