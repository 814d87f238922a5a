import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoomVersionId } from '../../protocol/room-versions/room-version.ts'
import type { StreamPosition } from '../../streams/streams.ts'

/** Which device sent an event with which transaction id, at which endpoint. */
export interface EventTransaction {
  /** The device id, or the access token's number for tokens without a device. */
  readonly device: string
  readonly id: string
  /** Tells endpoints apart that may use one id twice: the event type, or the redacted event. */
  readonly scope: string
}

/** What a user wants to happen in a room. The room's owner makes an event of it. */
export interface EventIntent {
  readonly type: string
  readonly sender: UserId
  readonly stateKey?: string | undefined
  readonly content: JsonObject
  /** Application services may choose it; the clock otherwise. */
  readonly originServerTs?: number | undefined
  readonly redacts?: EventId | undefined
  readonly transaction?: EventTransaction | undefined
}

export interface AppendedEvent {
  readonly eventId: EventId
  /** Undefined where the event was there before (repeated transaction, unchanged state). */
  readonly position: StreamPosition | undefined
}

/** Appends events to rooms. The local implementation is EventPersister; its remote twin forwards to the room's owner. */
export interface EventsWriter {
  /**
   * Appends the intents in order, all or none, in one commit. Settles after the commit.
   * Throws M_FORBIDDEN (auth rules), M_NOT_FOUND (no such room), M_TOO_LARGE, M_BAD_JSON.
   */
  append(request: { readonly roomId: RoomId; readonly intents: readonly EventIntent[] }): Promise<readonly AppendedEvent[]>
  /** Makes a room; the first intent is its create event. */
  createRoom(request: {
    readonly roomVersion: RoomVersionId
    readonly intents: readonly EventIntent[]
  }): Promise<{ readonly roomId: RoomId; readonly events: readonly AppendedEvent[] }>
}
