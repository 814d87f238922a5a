import type { EventId, RoomId, UserId } from '../ids.ts'
import type { JsonObject } from '../json.ts'
import type { RoomVersionId } from '../room-versions/room-version.ts'

/** A PDU with its JSON keys as on the wire, hashed and signed. Room versions 1 and 2 carry `event_id`. */
export interface Pdu {
  readonly type: string
  readonly sender: string
  /** Absent on `m.room.create` since room version 12. */
  readonly room_id?: string
  readonly state_key?: string
  readonly content: JsonObject
  readonly depth: number
  readonly origin_server_ts: number
  /** Event ids; in room versions 1 and 2 pairs of event id and hashes. */
  readonly prev_events: readonly (string | readonly [string, JsonObject])[]
  readonly auth_events: readonly (string | readonly [string, JsonObject])[]
  readonly hashes: { readonly sha256: string }
  readonly signatures: { readonly [serverName: string]: { readonly [keyId: string]: string } }
  readonly unsigned?: JsonObject
  /** Top level up to room version 10; inside `content` since 11. */
  readonly redacts?: string
  readonly event_id?: string
  readonly origin?: string
}

/**
 * A parsed event, immutable: what auth rules, state resolution and services work on.
 * `pdu` is the whole wire form without `unsigned`; the other fields are read from it once.
 */
export interface MatrixEvent {
  readonly eventId: EventId
  readonly roomId: RoomId
  readonly roomVersion: RoomVersionId
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: UserId
  readonly content: JsonObject
  readonly depth: number
  readonly originServerTs: number
  readonly prevEventIds: readonly EventId[]
  readonly authEventIds: readonly EventId[]
  /** The event that a redaction asks to redact, from wherever this room version keeps it. */
  readonly redacts: EventId | undefined
  readonly pdu: Pdu
}

/** Room state by slot; the key comes from `stateSlotKey`. */
export type StateMap<T> = ReadonlyMap<string, T>

/** Joins type and state key to one map key. U+0000 cannot stand in an identifier of ours, so it separates them safely. */
export function stateSlotKey(type: string, stateKey: string): string {
  return `${type}\u0000${stateKey}`
}
