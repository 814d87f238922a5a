import { isJsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getPushActionsSince } from '../../storage/tables/event-push-actions.ts'
import type { PushActionRecord } from '../../storage/tables/event-push-actions.ts'
import { getEventsSince } from '../../storage/tables/events.ts'
import type { StreamEventRecord } from '../../storage/tables/events.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, StreamPosition } from '../../streams/streams.ts'
import { eventRowBase } from './event-rows.ts'
import { parseEventRecord } from './event-reader.ts'

/** Teaches the hub to read the events stream from the database: the rows that a frame did not bring. */
export function readEventsStream(hub: StreamHub, database: Database): void {
  hub.setReadSince('events', async (lane, after, upTo) => {
    const [records, actions] = await Promise.all([
      getEventsSince(database, { lane, after, upTo }),
      getPushActionsSince(database, { after, upTo }),
    ])
    const actionsOfEvent = Map.groupBy(actions, (action) => action.eventId)
    return records
      .filter((record) => record.flags === 0)
      .map((record) => ({
        position: record.position as StreamPosition,
        row: toRow(record, actionsOfEvent.get(record.eventId) ?? []),
      }))
  })
}

/** Makes of the stored event the row that the persister would have sent (`toEventRow`). */
function toRow(record: StreamEventRecord, actions: readonly PushActionRecord[]): EventRow {
  const { event, transaction } = parseEventRecord(record)
  return {
    ...eventRowBase(event),
    redacts: record.redacted ?? undefined,
    relation:
      record.relationType !== null && record.relatesTo !== null
        ? { type: record.relationType, eventId: record.relatesTo }
        : undefined,
    replacesState:
      record.replacedEventId !== null && record.replacedJson !== null
        ? {
            eventId: record.replacedEventId,
            contentJson: contentTextOf(record.replacedJson),
            sender: record.replacedSender ?? '',
          }
        : undefined,
    transaction,
    push: { isNotifying: record.isNotifying, threadId: record.threadId ?? undefined, actions },
  }
}

function contentTextOf(pduJson: string): string {
  const pdu: unknown = JSON.parse(pduJson)
  return JSON.stringify(isJsonObject(pdu) ? pdu['content'] : {})
}
