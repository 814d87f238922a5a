import { STREAMS } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table event_push_actions. Schema: migrations/0014-receipts-and-push.sql. The counts are in tables/unread-counts.ts. */

const STREAM = STREAMS.events.number
const KINDS = { action: 0, join: 1 } as const

export interface NewPushAction {
  /** Index of the event's position for `claimed_pos`. */
  readonly positionIndex: number
  readonly roomId: string
  readonly eventId: string
  readonly threadId: string | undefined
  /** '' for everybody on default rules. */
  readonly userId: string
  readonly kind: keyof typeof KINDS
  readonly isNotify: boolean
  readonly isHighlight: boolean
  readonly isClassNotify: boolean
  readonly isClassHighlight: boolean
}

/** Stores what events mean for users, in the transaction that appends the events (lane 0). */
export async function insertPushActions(tx: Queryable, actions: readonly NewPushAction[]): Promise<void> {
  await tx.query(
    'insert_push_actions',
    `INSERT INTO event_push_actions
       (user_id, room_id, position, event_id, thread_id, kind, is_notify, is_highlight, is_class_notify, is_class_highlight)
     SELECT n.user_id, n.room_id, claimed_pos(${STREAM}, 0, n.index), n.event_id, coalesce(n.thread_id, ''), n.kind,
            n.is_notify, n.is_highlight, n.is_class_notify, n.is_class_highlight
       FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::smallint[], $7::boolean[], $8::boolean[], $9::boolean[],
                   $10::boolean[])
         AS n(user_id, room_id, index, event_id, thread_id, kind, is_notify, is_highlight, is_class_notify, is_class_highlight)`,
    [
      actions.map((action) => action.userId),
      actions.map((action) => action.roomId),
      actions.map((action) => action.positionIndex),
      actions.map((action) => action.eventId),
      actions.map((action) => action.threadId ?? null),
      actions.map((action) => KINDS[action.kind]),
      actions.map((action) => action.isNotify),
      actions.map((action) => action.isHighlight),
      actions.map((action) => action.isClassNotify),
      actions.map((action) => action.isClassHighlight),
    ],
  )
}

export interface PushActionRecord {
  readonly eventId: string
  readonly userId: string
  readonly kind: keyof typeof KINDS
  readonly isNotify: boolean
  readonly isHighlight: boolean
  readonly isClassNotify: boolean
  readonly isClassHighlight: boolean
}

/** Reads the rows of the events with after < position <= upTo. */
export async function getPushActionsSince(
  tx: Queryable,
  range: { readonly after: number; readonly upTo: number },
): Promise<PushActionRecord[]> {
  return tx.query(
    'get_push_actions_since',
    `SELECT a.event_id AS "eventId", a.user_id AS "userId", CASE a.kind WHEN 1 THEN 'join' ELSE 'action' END AS kind, a.is_notify AS "isNotify",
            a.is_highlight AS "isHighlight", a.is_class_notify AS "isClassNotify", a.is_class_highlight AS "isClassHighlight"
       FROM events e JOIN rooms r USING (room_nid) JOIN event_push_actions a ON a.room_id = r.room_id AND a.position = e.position
      WHERE e.lane = 0 AND e.position > $1 AND e.position <= $2 AND e.ordinal = 0`,
    [range.after, range.upTo],
  )
}
