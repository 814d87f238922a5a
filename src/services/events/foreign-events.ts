import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoomVersionId } from '../../protocol/room-versions/room-version.ts'

/**
 * An event that another server made: parsed for its room version, size and shape checked, signatures and hash verified.
 * Where the hash did not fit, both `event` and `json` are the redacted form.
 */
export interface ForeignEvent {
  readonly event: MatrixEvent
  /** Canonical JSON without `unsigned`: what is stored. */
  readonly json: string
  readonly isRedacted?: boolean | undefined
  /**
   * The room's state before the event as another server told it (`/state_ids`, `send_join`): ids of events that are stored
   * here, outliers included. Needed where not all prev_events are known here; otherwise it is not looked at.
   */
  readonly stateBefore?: readonly EventId[] | undefined
}

/**
 * What became of a foreign event. `known`: it was stored before. `missing`: it was not stored, because these prev or auth
 * events (or events of `stateBefore`) are not. Spec: server-server-api § Checks performed on receipt of a PDU.
 */
export type ForeignResult = 'accepted' | 'softFailed' | 'rejected' | 'known' | { readonly missing: readonly EventId[] }

/** What came of storing an event for its own sake. */
export type OutlierResult = 'stored' | 'rejected' | 'known' | { readonly missing: readonly EventId[] }

/** A room that a local user joined over another server: its answer to send_join. */
export interface RoomImport {
  readonly roomId: RoomId
  readonly roomVersion: RoomVersionId
  /** The state before the join; not looked at where the join has `stateBefore`. */
  readonly stateEvents: readonly ForeignEvent[]
  readonly authChain: readonly ForeignEvent[]
  readonly join: ForeignEvent
}

/** A local user's place in a room that nobody here is joined to: an invite, a knock, or the end of them. */
export interface OutsideMembership {
  readonly roomId: RoomId
  readonly roomVersion: RoomVersionId
  /** The `m.room.member` event, which nothing here can judge. */
  readonly event: ForeignEvent
  /** What the user is shown of the room: stripped state. Without it, what was shown before stays. */
  readonly strippedState?: readonly JsonObject[] | undefined
}

/** Appends finished events. The local implementation is EventPersister; its remote twin forwards to the room's owner. */
export interface ForeignEventsWriter {
  /**
   * Appends events of other servers in their order, which must be topological, in one commit; the room must be known. A result
   * for each event, in order. Idempotent by event id.
   */
  appendForeign(request: { readonly roomId: RoomId; readonly events: readonly ForeignEvent[] }): Promise<readonly ForeignResult[]>
  /**
   * Stores events for their own sake (auth chains, state), checked against their auth events; makes the room's row where there
   * is none. Any order. A result for each event, in order. Idempotent.
   */
  storeOutliers(request: {
    readonly roomId: RoomId
    readonly roomVersion: RoomVersionId
    readonly events: readonly ForeignEvent[]
  }): Promise<readonly OutlierResult[]>
  /**
   * Takes a room over as it is after the join: its first join from here, or one after all local users had left. With local
   * users in the room the join is appended as any other event. Returns what became of the join.
   */
  importRoom(request: RoomImport): Promise<ForeignResult>
  /**
   * Sets the place of a local user in a room that nobody here is joined to; makes the room's row where there is none. The event
   * becomes part of the user's syncs and of no graph. Returns `accepted`, or `known` where it was stored before.
   */
  setOutsideMembership(request: OutsideMembership): Promise<ForeignResult>
  /**
   * Stores events from before `before`, an event of the room whose prev_events were not known, in topological order; the last
   * ones fill the gap. They are not told to /sync and change no current state.
   */
  appendHistory(request: {
    readonly roomId: RoomId
    readonly before: EventId
    readonly events: readonly ForeignEvent[]
  }): Promise<readonly ForeignResult[]>
}
