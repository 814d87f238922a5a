import { isJsonObject } from '../protocol/json.ts'
import type { EventRow, StateChange } from './streams.ts'

const NONE: readonly never[] = []

/** Lists what changed in the room's state at the row's event: mostly nothing, or the event's own slot. */
export function stateChangesOf(row: EventRow): readonly StateChange[] {
  if (row.stateDelta) return row.stateDelta
  if (row.stateKey === undefined) return NONE
  return [
    {
      type: row.type,
      stateKey: row.stateKey,
      eventId: row.eventId,
      sender: row.sender,
      membership: row.membership,
      get membershipBefore() {
        return membershipBefore(row)
      },
    },
  ]
}

/** Lists whose membership changed at the row's event; the state key is the user id. */
export function memberChangesOf(row: EventRow): readonly StateChange[] {
  if (row.stateDelta) return row.stateDelta.filter((change) => change.type === 'm.room.member')
  return row.membership === undefined ? NONE : stateChangesOf(row)
}

function membershipBefore(row: EventRow): string | undefined {
  const before: unknown =
    row.type === 'm.room.member' && row.replacesState ? JSON.parse(row.replacesState.contentJson) : undefined
  const membership = isJsonObject(before) ? before['membership'] : undefined
  return typeof membership === 'string' ? membership : undefined
}
