import type { MatrixEvent } from '../events/event.ts'
import type { JsonValue } from '../json.ts'
import { isJsonObject } from '../json.ts'
import type { PropertyPath } from '../property-path.ts'

/** The parts of an event that push rules look at. */
export type PushEvent = Pick<MatrixEvent, 'type' | 'sender' | 'roomId' | 'stateKey' | 'content' | 'originServerTs'> & {
  readonly eventId?: string
}

/** Reads a property of the event in its client format; undefined where there is none. */
export function readEventProperty(event: PushEvent, path: PropertyPath): JsonValue | undefined {
  const root = path[0]
  if (root !== 'content') return path.length === 1 && root !== undefined ? readTopLevel(event, root) : undefined
  let value: JsonValue | undefined = event.content
  for (let index = 1; index < path.length; index++) {
    const name = path[index]
    if (name === undefined || !isJsonObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

function readTopLevel(event: PushEvent, name: string): JsonValue | undefined {
  switch (name) {
    case 'type':
      return event.type
    case 'sender':
      return event.sender
    case 'room_id':
      return event.roomId
    case 'state_key':
      return event.stateKey
    case 'event_id':
      return event.eventId
    case 'origin_server_ts':
      return event.originServerTs
    default:
      return undefined
  }
}
