import type { Queryable } from '../database.ts'

/**
 * What notification counts are made of: events, receipts and event_push_actions. Schema: migrations/0002 and
 * 0014-receipts-and-push.sql. All positions are those of the events stream.
 */

/** A place in a room's timeline: position of an event, and the room's notifying events up to it. */
export interface ReadPoint {
  readonly position: number
  readonly ordinal: number
}

export interface RoomReadPoints {
  readonly roomId: string
  /** Notifying events of the room up to `upTo`. */
  readonly headOrdinal: number
  /** The user's join. */
  readonly joinPosition: number
  readonly joinOrdinal: number
  /** The user's newest message in the main timeline. */
  readonly sentPosition: number
  readonly sentOrdinal: number
  /** Up to where the room's history was purged: it counts as read. */
  readonly purgedPosition: number
  readonly purgedOrdinal: number
}

/** Reads, for each room, how far it has come by `upTo` and where the user's counting begins. Zeros stand for nothing. */
export async function getRoomReadPoints(
  tx: Queryable,
  of: { userId: string; roomIds: readonly string[]; upTo: number },
): Promise<RoomReadPoints[]> {
  // The conditions on what counts as a receipt are those of isImplicitReceipt (services/push/implicit-receipt.ts).
  return tx.query<RoomReadPoints>(
    'get_room_read_points',
    `SELECT r.room_id AS "roomId", coalesce(head.notify_ordinal, 0) AS "headOrdinal",
            coalesce(joined.position, 0) AS "joinPosition", coalesce(joined.notify_ordinal, 0) AS "joinOrdinal",
            coalesce(sent.position, 0) AS "sentPosition", coalesce(sent.notify_ordinal, 0) AS "sentOrdinal",
            h.purged_pos AS "purgedPosition", h.purged_ordinal AS "purgedOrdinal"
       FROM rooms r JOIN room_head h USING (room_nid)
       LEFT JOIN LATERAL (
         SELECT notify_ordinal FROM events WHERE room_nid = r.room_nid AND position <= $3 AND ordinal = 0 ORDER BY position DESC LIMIT 1) head ON true
       LEFT JOIN LATERAL (
         SELECT e.position, e.notify_ordinal FROM event_push_actions a JOIN events e ON e.event_id = a.event_id
          WHERE a.user_id = $1 AND a.room_id = r.room_id AND a.kind = 1 AND a.position <= $3 ORDER BY a.position DESC LIMIT 1) joined ON true
       LEFT JOIN LATERAL (
         SELECT position, notify_ordinal FROM events
          WHERE room_nid = r.room_nid AND sender = $1 AND state_key IS NULL AND thread_id IS NULL AND ordinal = 0 AND position <= $3
            AND type <> 'm.room.redaction' AND (relation_type IS NULL OR relation_type NOT IN ('m.annotation', 'm.replace'))
          ORDER BY position DESC LIMIT 1) sent ON true
      WHERE r.room_id = ANY($2)`,
    [of.userId, of.roomIds, of.upTo],
  )
}

/** A read receipt of the user, public or private, whichever is further. Thread id '' for unthreaded ones. */
export interface OwnReadReceipt extends ReadPoint {
  readonly roomId: string
  readonly threadId: string
}

/** Reads how far the user's read receipts have come. */
export async function getOwnReadReceipts(
  tx: Queryable,
  of: { userId: string; roomIds: readonly string[] },
): Promise<OwnReadReceipt[]> {
  return tx.query<OwnReadReceipt>(
    'get_own_read_receipts',
    `SELECT DISTINCT ON (room_id, thread_id) room_id AS "roomId", thread_id AS "threadId", event_position AS position, notify_ordinal AS ordinal
       FROM receipts WHERE room_id = ANY($2) AND user_id = $1 AND receipt_type IN ('m.read', 'm.read.private')
      ORDER BY room_id, thread_id, event_position DESC`,
    [of.userId, of.roomIds],
  )
}

/** Reads the position of the user's newest message in each thread. */
export async function getSentInThreads(
  tx: Queryable,
  of: { userId: string; roomIds: readonly string[]; upTo: number },
): Promise<{ roomId: string; threadId: string; position: number }[]> {
  return tx.query(
    'get_sent_in_threads',
    `SELECT r.room_id AS "roomId", e.thread_id AS "threadId", max(e.position) AS position
       FROM rooms r JOIN events e USING (room_nid)
      WHERE r.room_id = ANY($2) AND e.sender = $1 AND e.thread_id IS NOT NULL AND e.ordinal = 0 AND e.position <= $3
      GROUP BY r.room_id, e.thread_id`,
    [of.userId, of.roomIds, of.upTo],
  )
}

/** Sums over the push actions of one thread ('' for the main timeline) that the user has not read. */
export interface PushActionSums {
  readonly roomId: string
  readonly threadId: string
  /** For everybody on default rules. */
  readonly classNotify: number
  readonly classHighlight: number
  /** How much the user's own rows differ from that. */
  readonly deltaNotify: number
  readonly deltaHighlight: number
  /** The user's own rows by themselves. */
  readonly ownNotify: number
  readonly ownHighlight: number
  /** Notifying events of the thread after the main timeline's read point: the room's ordinal counts them too. */
  readonly classNotifyAfterMain: number
}

/**
 * Sums push actions in one query. `rooms` tell up to where everything is read, and the main timeline; `threads` where more
 * is read of one thread.
 */
export async function sumPushActions(
  tx: Queryable,
  of: {
    userId: string
    upTo: number
    rooms: readonly { roomId: string; base: number; main: number }[]
    threads: readonly { roomId: string; threadId: string; position: number }[]
  },
): Promise<PushActionSums[]> {
  return tx.query<PushActionSums>(
    'sum_push_actions',
    `SELECT room_id AS "roomId", thread_id AS "threadId",
            count(*) FILTER (WHERE is_unread AND is_class AND is_notify) AS "classNotify",
            count(*) FILTER (WHERE is_unread AND is_class AND is_highlight) AS "classHighlight",
            coalesce(sum(is_notify::int - is_class_notify::int) FILTER (WHERE is_unread AND NOT is_class), 0) AS "deltaNotify",
            coalesce(sum(is_highlight::int - is_class_highlight::int) FILTER (WHERE is_unread AND NOT is_class), 0) AS "deltaHighlight",
            count(*) FILTER (WHERE is_unread AND NOT is_class AND is_notify) AS "ownNotify",
            count(*) FILTER (WHERE is_unread AND NOT is_class AND is_highlight) AS "ownHighlight",
            count(*) FILTER (WHERE is_class AND is_notify AND thread_id <> '' AND position > main) AS "classNotifyAfterMain"
       FROM (
         SELECT a.room_id, a.thread_id, a.position, a.is_notify, a.is_highlight, a.is_class_notify, a.is_class_highlight, r.main,
                a.user_id = '' AS is_class,
                a.position > CASE WHEN a.thread_id = '' THEN r.main ELSE coalesce(t.position, 0) END AS is_unread
           FROM unnest($3::text[], $4::bigint[], $5::bigint[]) AS r(room_id, base, main)
           JOIN event_push_actions a ON a.room_id = r.room_id AND a.user_id IN ('', $1) AND a.position > r.base AND a.position <= $2
           LEFT JOIN unnest($6::text[], $7::text[], $8::bigint[]) AS t(room_id, thread_id, position)
                  ON t.room_id = a.room_id AND t.thread_id = a.thread_id
          WHERE a.kind = 0
       ) AS actions
      GROUP BY room_id, thread_id`,
    [
      of.userId,
      of.upTo,
      of.rooms.map((room) => room.roomId),
      of.rooms.map((room) => room.base),
      of.rooms.map((room) => room.main),
      of.threads.map((thread) => thread.roomId),
      of.threads.map((thread) => thread.threadId),
      of.threads.map((thread) => thread.position),
    ],
  )
}
