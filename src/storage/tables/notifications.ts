import type { Queryable } from '../database.ts'

/** An event of which a user was notified, read from events and event_push_actions. Schema: migrations/0002, 0014. */
export interface NotificationRow {
  readonly position: number
  readonly roomId: string
  readonly eventId: string
  /** '' for the main timeline. */
  readonly threadId: string
  readonly isHighlight: boolean
}

export interface NotificationRange {
  readonly userId: string
  /** Rooms whose messages notify the user unless a row of his says otherwise. */
  readonly classRoomIds: readonly string[]
  /** Only events before this position. */
  readonly before: number
  readonly limit: number
}

/** Reads what notified the user alone: rows of his own, newest first. */
export async function getOwnNotifications(
  tx: Queryable,
  range: NotificationRange & { onlyHighlights: boolean },
): Promise<NotificationRow[]> {
  return tx.query<NotificationRow>(
    'get_own_notifications',
    `SELECT position, room_id AS "roomId", event_id AS "eventId", thread_id AS "threadId", is_highlight AS "isHighlight"
       FROM event_push_actions
      WHERE user_id = $1 AND kind = 0 AND is_notify AND (is_highlight OR NOT $4) AND position < $2
      ORDER BY position DESC LIMIT $3`,
    [range.userId, range.before, range.limit, range.onlyHighlights],
  )
}

/** Reads what highlights for everybody (`@room`), newest first, since the user's join of each room. */
export async function getClassHighlights(tx: Queryable, range: NotificationRange): Promise<NotificationRow[]> {
  return tx.query<NotificationRow>(
    'get_class_highlights',
    `SELECT a.position, a.room_id AS "roomId", a.event_id AS "eventId", a.thread_id AS "threadId", true AS "isHighlight"
       FROM unnest($2::text[]) AS r(room_id)
      CROSS JOIN LATERAL (
        SELECT * FROM event_push_actions a
         WHERE a.user_id = '' AND a.room_id = r.room_id AND a.is_highlight AND a.position < $3
           AND a.position > (SELECT max(position) FROM event_push_actions WHERE user_id = $1 AND room_id = r.room_id AND kind = 1)
           AND NOT EXISTS (SELECT FROM event_push_actions o WHERE o.user_id = $1 AND o.room_id = r.room_id AND o.position = a.position)
           AND NOT EXISTS (SELECT FROM events e WHERE e.event_id = a.event_id AND e.sender = $1)
         ORDER BY a.position DESC LIMIT $4) a
      ORDER BY a.position DESC LIMIT $4`,
    [range.userId, range.classRoomIds, range.before, range.limit],
  )
}

/**
 * Reads what notifies under default rules, newest first, since the user's join of each room, without what a row of his own
 * decides. An event notifies where the room's running count rises at it.
 */
export async function getClassNotifications(tx: Queryable, range: NotificationRange): Promise<NotificationRow[]> {
  return tx.query<NotificationRow>(
    'get_class_notifications',
    `SELECT n.position, r.room_id AS "roomId", n.event_id AS "eventId", coalesce(n.thread_id, '') AS "threadId",
            EXISTS (SELECT FROM event_push_actions c WHERE c.user_id = '' AND c.room_id = r.room_id AND c.position = n.position AND c.is_highlight)
              AS "isHighlight"
       FROM rooms r
      CROSS JOIN LATERAL (
        SELECT e.position, e.event_id, e.thread_id FROM events e
         WHERE e.room_nid = r.room_nid AND e.position < $3 AND e.ordinal = 0 AND e.sender <> $1
           AND e.position > (SELECT max(position) FROM event_push_actions WHERE user_id = $1 AND room_id = r.room_id AND kind = 1)
           AND e.notify_ordinal > coalesce((
             SELECT p.notify_ordinal FROM events p WHERE p.room_nid = e.room_nid AND p.position < e.position AND p.ordinal = 0 ORDER BY p.position DESC LIMIT 1), 0)
           AND NOT EXISTS (SELECT FROM event_push_actions o WHERE o.user_id = $1 AND o.room_id = r.room_id AND o.position = e.position)
         ORDER BY e.position DESC LIMIT $4) n
      WHERE r.room_id = ANY($2)
      ORDER BY n.position DESC LIMIT $4`,
    [range.userId, range.classRoomIds, range.before, range.limit],
  )
}
