import type { Brand } from '../util/brand.ts'

/** A place in a stream. Within one lane, positions grow in commit order (invariant I1). */
export type StreamPosition = Brand<number, 'StreamPosition'>

/** Every stream with its number in the table stream_def. Ephemeral ones have no rows in PostgreSQL. */
export const STREAMS = {
  events: { number: 1, isPersistent: true },
  receipts: { number: 2, isPersistent: true },
  account_data: { number: 3, isPersistent: true },
  push_rules: { number: 4, isPersistent: true },
  pushers: { number: 5, isPersistent: true },
  to_device: { number: 6, isPersistent: true },
  device_lists: { number: 7, isPersistent: true },
  presence: { number: 8, isPersistent: true },
  typing: { number: 9, isPersistent: false },
  caches: { number: 10, isPersistent: true },
  thread_subscriptions: { number: 11, isPersistent: true },
  profiles: { number: 12, isPersistent: true },
} as const
export type StreamName = keyof typeof STREAMS
export const STREAM_NAMES = Object.keys(STREAMS) as readonly StreamName[]

/** What a row of each stream tells the readers, besides its position. Rows carry all that a /sync answer needs, where that is small. */
export interface StreamRows {
  events: EventRow
  receipts: ReceiptStreamRow
  account_data: { readonly userId: string; readonly roomId: string | undefined; readonly type: string }
  push_rules: { readonly userId: string }
  pushers: { readonly userId: string }
  /** Messages wait in the table device_inbox; the row only says for whom. */
  to_device: { readonly userId: string; readonly deviceId: string }
  /** A user's devices or cross-signing keys changed. With `viewerId` only that user is told: it signed the keys. */
  device_lists: { readonly userId: string; readonly viewerId?: string | undefined }
  presence: PresenceRow
  /** The whole list of who types in the room now. */
  typing: { readonly roomId: string; readonly userIds: readonly string[] }
  /** Tells every process to forget keys of a named cache; `keys` null means all of it. */
  caches: { readonly cache: string; readonly keys: readonly string[] | null }
  thread_subscriptions: { readonly userId: string; readonly roomId: string; readonly threadId: string }
  profiles: { readonly userId: string; readonly field: string }
}

/** A user's presence, whole. */
export interface PresenceRow {
  readonly userId: string
  readonly state: 'online' | 'unavailable' | 'offline'
  readonly statusMsg: string | undefined
  /** 0: never seen active. */
  readonly lastActiveTsMs: number
  readonly isCurrentlyActive: boolean
}

/** One event as readers get it. `clientJson` is the event in client format without `unsigned`, without the closing brace. */
export interface EventRow {
  readonly roomId: string
  readonly eventId: string
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  readonly depth: number
  readonly originServerTs: number
  /** The membership that an `m.room.member` event sets. */
  readonly membership: string | undefined
  /** The event that this one redacts, where the redaction took effect. */
  readonly redacts: string | undefined
  /** `m.relates_to` of the event: relation type and target. */
  readonly relation: { readonly type: string; readonly eventId: string } | undefined
  /** The event was in the room's state before (`unsigned.prev_content`, `replaces_state`); undefined where there was none. */
  readonly replacesState: { readonly eventId: string; readonly contentJson: string; readonly sender: string } | undefined
  /** The sender's own device and transaction id, for `unsigned.transaction_id`. */
  readonly transaction: { readonly deviceId: string; readonly transactionId: string } | undefined
  /** How the event counts for notifications: its class under default rules, and the users for whom it differs. */
  readonly push: EventPush
  readonly clientJson: string
  /** True for what clients do not see; it is in the timeline all the same. */
  readonly isHidden?: boolean | undefined
  /**
   * All that changed in the room's state at this event, where that is other than the event coming to stand in its own slot: forked
   * histories. Ask `memberChangesOf` and `stateChangesOf` (streams/event-rows.ts), which know both cases.
   */
  readonly stateDelta?: readonly StateChange[] | undefined
}

/** A slot of a room's state that holds another event now, or none (`eventId` undefined). */
export interface StateChange {
  readonly type: string
  readonly stateKey: string
  readonly eventId: string | undefined
  readonly sender: string | undefined
  /** Of `m.room.member` events. */
  readonly membership: string | undefined
  readonly membershipBefore: string | undefined
}

/** See services/push/push-actions.ts. A row whose user id is empty stands for everybody on default rules. */
export interface EventPush {
  readonly isNotifying: boolean
  readonly threadId: string | undefined
  readonly actions: readonly {
    readonly userId: string
    readonly kind: 'action' | 'join'
    readonly isNotify: boolean
    readonly isHighlight: boolean
    readonly isClassNotify: boolean
    readonly isClassHighlight: boolean
  }[]
}

export interface ReceiptStreamRow {
  readonly roomId: string
  readonly receiptType: string
  readonly userId: string
  readonly eventId: string
  readonly threadId: string | undefined
  readonly receivedTsMs: number
  /** Where the event stands in the events stream. */
  readonly eventPosition: number
}

/** A committed batch of one lane: what travels between processes, and what the local hub applies. */
export interface Frame<Name extends StreamName = StreamName> {
  readonly stream: Name
  readonly lane: number
  /** The lane's head before this batch; a reader whose head is smaller has a gap. */
  readonly prev: number
  /** The lane's head after this batch, where positions were claimed that got no row. */
  readonly head?: number
  readonly rows: readonly { readonly position: StreamPosition; readonly row: StreamRows[Name] }[]
}
