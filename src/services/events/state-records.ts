import { toClientEventJson, toStrippedEventJson } from '../../protocol/events/client-event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { RoomId } from '../../protocol/ids.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { StateRecord } from '../../storage/tables/room-state.ts'
import { assert } from '../../util/assert.ts'
import { parseStateRecord } from './room-model.ts'

/** A state row that tells its room. */
export type RoomStateRecord = StateRecord & { readonly roomId: RoomId; readonly roomVersion: string }

/** Parses a state row. */
export function stateRecordToEvent(record: RoomStateRecord): MatrixEvent {
  const roomVersion = getRoomVersion(record.roomVersion)
  assert(roomVersion, 'only events of known room versions are stored')
  return parseStateRecord(record, record.roomId, roomVersion)
}

/** Writes a state row as a client event without room id and `unsigned`, as the state sections of /sync have it. */
export function stateRecordToClientJson(record: RoomStateRecord): string {
  return toClientEventJson(stateRecordToEvent(record), { omitRoomId: true })
}

/** Writes a state row as stripped state. */
export function stateRecordToStrippedJson(record: RoomStateRecord): string {
  return toStrippedEventJson(stateRecordToEvent(record))
}
