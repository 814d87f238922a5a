import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'

/** What push rules need to know about a room at the moment when an event is added to it. All of it comes from memory. */
export interface RoomPushView {
  readonly roomId: RoomId
  /** Joined members, the event's own effect not counted. */
  readonly memberCount: number
  /** Joined users of this server, with their display names in the room. Walked only when the room's word index is built. */
  localMembers(): Iterable<readonly [UserId, { readonly displayName: string | undefined }]>
  /** The display name in the room of one joined user; undefined where there is none. */
  getDisplayName(userId: UserId): string | undefined
  /** Tells whether the user has an account here. */
  isLocal(userId: string): boolean
  /** The power level of the event's sender; Infinity for creators since room version 12. */
  readonly senderPowerLevel: number
  /** `notifications` of the room's power levels, integers only. */
  readonly notificationPowerLevels: Readonly<Record<string, number>>
  /** Content of the room's state before the event. */
  getStateContent(type: string, stateKey: string): JsonObject | undefined
}

/**
 * What an event means for notification counts.
 *
 * The persister raises the room's running ordinal (room_head.notify_ordinal) by one when `isNotifying`, stores the ordinal
 * after that in events.notify_ordinal of EVERY event (so it is the number of notifying events up to and including this
 * one), and stores `threadId` in events.thread_id. `actions` go to `insertPushActions` with the event's position index.
 */
export interface PushOutcome {
  /** The event notifies users on default rules. */
  readonly isNotifying: boolean
  /** Root of the thread that the event is in by its own relation; undefined for the main timeline. */
  readonly threadId: EventId | undefined
  /** Rows to store: few, whatever the number of members. */
  readonly actions: readonly PushActionRow[]
}

/** Stands for every user on default rules in a row of push actions. */
export const EVERYBODY = ''

/** `join` rows mark where a user's counting in the room begins. */
export type PushActionKind = 'action' | 'join'

/** How an event differs, for one user, from what his baseline says; or for everybody, from a plain message of the main timeline. */
export interface PushActionRow {
  readonly userId: UserId | typeof EVERYBODY
  readonly kind: PushActionKind
  readonly isNotify: boolean
  readonly isHighlight: boolean
  /** What users on default rules get, so that a count can be corrected without looking at another row. */
  readonly isClassNotify: boolean
  readonly isClassHighlight: boolean
}

/**
 * What users on average get of an event. `class`: what default rules say; `none`: nothing. It predicts; wherever an event
 * turns out otherwise for a user, a row is stored. It depends on the user's rules and the room alone, never on the event.
 */
export type PushBaseline = 'class' | 'none'

/** Finds out for whom an event notifies, with no work per member. Implemented by PushActionEvaluator. */
export interface PushActionCalculator {
  /**
   * Loads what `evaluate` needs to know about the room: the rules of its members that have rules of their own, and the
   * word index of display names. Await it before `evaluate`; it costs nothing while the room stays loaded.
   */
  prepare(roomId: RoomId, view: RoomPushView): Promise<void>
  /** Synchronous; the room's last `prepare` counts: rules that changed since are seen with the next one. */
  evaluate(event: MatrixEvent, view: RoomPushView): PushOutcome
}
