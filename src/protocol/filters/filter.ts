import type { JsonObject, JsonValue } from '../json.ts'
import { isJsonObject } from '../json.ts'
import type { FieldProjection } from './event-fields.ts'
import { compileEventFields } from './event-fields.ts'
import { EventFilter } from './event-filter.ts'

/** A client's filter made ready for use. Compile once, keep by filter id. Spec: sync_filter.yaml. */
export interface Filter {
  readonly eventFormat: 'client' | 'federation'
  /** Undefined where the client wants all fields. */
  readonly projectFields: FieldProjection | undefined
  readonly presence: EventFilter
  readonly accountData: EventFilter
  readonly room: RoomFilter
}

export interface RoomFilter {
  readonly includeLeave: boolean
  /** Asked before the four filters below. */
  matchesRoom(roomId: string): boolean
  readonly matchesNoRoom: boolean
  readonly state: EventFilter
  readonly timeline: EventFilter
  readonly ephemeral: EventFilter
  readonly accountData: EventFilter
}

export interface FilterOptions {
  /** Upper bound for each `limit`. Option `filter_timeline_limit`. */
  readonly limitMax: number
}

/** Makes a filter ready that `parseFilter` has checked. */
export function compileFilter(json: JsonObject, options: FilterOptions): Filter {
  const fields = json['event_fields']
  const room = objectAt(json, 'room')
  const rooms = new EventFilter({ ...pick(room, 'rooms'), ...pick(room, 'not_rooms') }, options)
  const part = (of: JsonObject, key: string): EventFilter => new EventFilter(objectAt(of, key), options)
  return {
    eventFormat: json['event_format'] === 'federation' ? 'federation' : 'client',
    projectFields: compileEventFields(Array.isArray(fields) ? fields.filter((field) => typeof field === 'string') : undefined),
    presence: part(json, 'presence'),
    accountData: part(json, 'account_data'),
    room: {
      includeLeave: room['include_leave'] === true,
      matchesRoom: (roomId) => rooms.matchesRoom(roomId),
      matchesNoRoom: rooms.matchesNothing,
      state: part(room, 'state'),
      timeline: part(room, 'timeline'),
      ephemeral: part(room, 'ephemeral'),
      accountData: part(room, 'account_data'),
    },
  }
}

function objectAt(json: JsonObject, key: string): JsonObject {
  const value: JsonValue | undefined = json[key]
  return isJsonObject(value) ? value : {}
}

function pick(json: JsonObject, key: string): JsonObject {
  const value = json[key]
  return value === undefined ? {} : { [key]: value }
}
