import { isJsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getPushActionsSince } from '../../storage/tables/event-push-actions.ts'
import type { PushActionRecord } from '../../storage/tables/event-push-actions.ts'
import { EVENT_FLAGS, getStateChangesSince } from '../../storage/tables/event-graph.ts'
import type { StateChangeRecord } from '../../storage/tables/event-graph.ts'
import { getEventsSince } from '../../storage/tables/events.ts'
import type { StreamEventRecord } from '../../storage/tables/events.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, StateChange, StreamPosition } from '../../streams/streams.ts'
import { eventRowBase, toStateDelta } from './event-rows.ts'
import { parseEventRecord } from './event-reader.ts'

/** Teaches the hub to read the events stream from the database: the rows that a frame did not bring. */
export function readEventsStream(hub: StreamHub, database: Database): void {
  hub.setReadSince('events', async (lane, after, upTo) => {
    const [records, changes, actions] = await Promise.all([
      getEventsSince(database, { lane, after, upTo }),
      getStateChangesSince(database, { lane, after, upTo }),
      getPushActionsSince(database, { after, upTo }),
    ])
    const actionsOfEvent = Map.groupBy(actions, (action) => action.eventId)
    const changesAt = Map.groupBy(changes, (change) => change.position)
    return records.map((record) => ({
      position: record.position as StreamPosition,
      row: toRow(record, actionsOfEvent.get(record.eventId) ?? [], changesAt.get(record.position) ?? []),
    }))
  })
}

/** Makes of the stored event the row that the persister would have sent (`toEventRow`). */
function toRow(record: StreamEventRecord, actions: readonly PushActionRecord[], changes: readonly StateChangeRecord[]): EventRow {
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
    isHidden: (record.flags & EVENT_FLAGS.hidden) !== 0,
    stateDelta: toStateDelta(event, changes.map(toStateChange)),
  }
}

function toStateChange(record: StateChangeRecord): StateChange {
  return {
    type: record.type,
    stateKey: record.stateKey,
    eventId: record.eventId ?? undefined,
    sender: record.sender ?? undefined,
    membership: membershipIn(record.memberJson),
    membershipBefore: membershipIn(record.memberJsonBefore),
  }
}

function membershipIn(pduJson: string | null): string | undefined {
  const pdu: unknown = pduJson === null ? undefined : JSON.parse(pduJson)
  const content = isJsonObject(pdu) ? pdu['content'] : undefined
  const membership = isJsonObject(content) ? content['membership'] : undefined
  return typeof membership === 'string' ? membership : undefined
}

function contentTextOf(pduJson: string): string {
  const pdu: unknown = JSON.parse(pduJson)
  return JSON.stringify(isJsonObject(pdu) ? pdu['content'] : {})
}
