import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Operation: takes old messages out of a room, a batch at a time. Schema: migrations/0002, 0022-foreign-events.sql, 0035-purging.sql. */

/** A place in a room's history; see streams/history-place.ts. */
export interface Place {
  readonly position: number
  readonly ordinal: number
}

/** What goes: messages before a place, of other servers only or ours too. State stays. */
export interface HistoryCut {
  readonly roomNid: number
  readonly roomId: RoomId
  readonly before: Place
  /** Events that have no place go where they are less deep. */
  readonly beforeDepth: number
  readonly deletesLocal: boolean
  readonly serverName: string
}

export interface PurgedBatch {
  readonly eventIds: readonly EventId[]
  /** How far the batch has looked; undefined where nothing is left. */
  readonly upTo: Place | undefined
}

const IS_LOCAL = `right(e.sender, length($5)) = $5`

/** Notes up to where a room's history is purged: what stands there counts as read. */
export async function raisePurgeFloor(tx: Queryable, cut: Pick<HistoryCut, 'roomNid' | 'before'>): Promise<number> {
  const [row] = await tx.query<{ position: number }>(
    'raise_purge_floor',
    `UPDATE room_head h SET purged_pos = greatest(h.purged_pos, f.position), purged_ordinal = greatest(h.purged_ordinal, f.notify_ordinal)
       FROM (SELECT position, notify_ordinal FROM events WHERE room_nid = $1 AND position < $2 AND ordinal = 0 ORDER BY position DESC LIMIT 1) AS f
      WHERE h.room_nid = $1 RETURNING h.purged_pos AS position`,
    [cut.roomNid, cut.before.position],
  )
  return row?.position ?? 0
}

/** Deletes what users are told of events that count as read now, of some users at a time; '' stands for everybody. */
export async function deletePushActions(
  tx: Queryable,
  key: { readonly roomId: RoomId; readonly userIds: readonly string[]; readonly upTo: number },
): Promise<void> {
  await tx.query(
    'delete_purged_push_actions',
    `DELETE FROM event_push_actions WHERE user_id = ANY($2) AND room_id = $1 AND position <= $3 AND kind = 0`,
    [key.roomId, key.userIds, key.upTo],
  )
}

/**
 * Looks at the next events and deletes what may go, within one transaction. The room's version is raised, so that an owner who was
 * about to append after one of them has to look again. What ends a room's graph stays, and redactions of what stays.
 */
export async function purgeHistoryBatch(tx: Queryable, cut: HistoryCut, after: Place, limit: number): Promise<PurgedBatch> {
  const looked = await tx.query<Place & { eventNid: number; isDoomed: boolean }>(
    'find_purged_events',
    `SELECT e.event_nid AS "eventNid", e.position, e.ordinal,
            e.state_key IS NULL AND ($6 OR NOT ${IS_LOCAL}) AND NOT e.event_nid = ANY(h.extremities)
            AND NOT EXISTS (SELECT 1 FROM events t WHERE t.event_id = e.redacts AND t.redacted_by = e.event_id AND t.room_nid = e.room_nid
                              AND (t.state_key IS NOT NULL OR (t.position, t.ordinal) >= ($2, $3) OR NOT ($6 OR right(t.sender, length($5)) <> $5)))
              AS "isDoomed"
       FROM events e JOIN room_head h USING (room_nid)
      WHERE e.room_nid = $1 AND (e.position, e.ordinal) < ($2, $3) AND (e.position, e.ordinal) > ($7, $8)
      ORDER BY e.position, e.ordinal LIMIT $4`,
    [
      cut.roomNid,
      cut.before.position,
      cut.before.ordinal,
      limit,
      `:${cut.serverName}`,
      cut.deletesLocal,
      after.position,
      after.ordinal,
    ],
  )
  const doomed = looked.filter((one) => one.isDoomed).map((one) => one.eventNid)
  const last = looked.length < limit ? undefined : looked.at(-1)
  return {
    eventIds: doomed.length === 0 ? [] : await deleteEventsOfRoom(tx, cut.roomNid, doomed),
    upTo: last && { position: last.position, ordinal: last.ordinal },
  }
}

/** Deletes messages that never were part of the timeline: rejected ones, and such that were stored for their own sake. */
export async function purgePlacelessBatch(tx: Queryable, cut: HistoryCut, limit: number): Promise<readonly EventId[]> {
  const rows = await tx.query<{ eventNid: number }>(
    'find_purged_placeless_events',
    `SELECT e.event_nid AS "eventNid" FROM events e
      WHERE e.room_nid = $1 AND e.position IS NULL AND e.state_key IS NULL AND e.depth < $2 AND ($4 OR NOT ${IS_LOCAL}) LIMIT $3`,
    [cut.roomNid, cut.beforeDepth, limit, cut.deletesLocal, `:${cut.serverName}`],
  )
  return rows.length === 0
    ? []
    : deleteEventsOfRoom(
        tx,
        cut.roomNid,
        rows.map((row) => row.eventNid),
      )
}

async function deleteEventsOfRoom(tx: Queryable, roomNid: number, eventNids: readonly number[]): Promise<readonly EventId[]> {
  const [head] = await tx.query<{ extremities: number[] }>(
    'lock_purged_room',
    `UPDATE room_head SET version = version + 1 WHERE room_nid = $1 RETURNING extremities`,
    [roomNid],
  )
  if (!head) return []
  const spared = new Set(head.extremities)
  return deleteEvents(
    tx,
    eventNids.filter((nid) => !spared.has(nid)),
  )
}

/** Deletes events and all that hangs on them alone. The room's links to them are mended by `mendLinks`. */
export async function deleteEvents(tx: Queryable, eventNids: readonly number[]): Promise<readonly EventId[]> {
  const rows = await tx.query<{ eventId: EventId; overlayId: number | null }>(
    'delete_events',
    `DELETE FROM events WHERE event_nid = ANY($1) RETURNING event_id AS "eventId", overlay_id AS "overlayId"`,
    [eventNids],
  )
  const eventIds = rows.map((row) => row.eventId)
  const overlayIds = [...new Set(rows.flatMap((row) => (row.overlayId === null ? [] : [row.overlayId])))]
  await Promise.all([
    tx.query('delete_search_of_events', `DELETE FROM event_search WHERE event_nid = ANY($1)`, [eventNids]),
    tx.query('delete_auth_of_events', `DELETE FROM event_auth WHERE event_nid = ANY($1)`, [eventNids]),
    tx.query('delete_missing_of_events', `DELETE FROM missing_prev_events WHERE event_nid = ANY($1)`, [eventNids]),
    tx.query('delete_relays_of_events', `DELETE FROM event_relays WHERE event_id = ANY($1)`, [eventIds]),
    overlayIds.length === 0
      ? undefined
      : tx.query(
          'delete_unused_overlays',
          `DELETE FROM state_overlays o WHERE o.overlay_id = ANY($1) AND NOT EXISTS (SELECT 1 FROM events e WHERE e.overlay_id = o.overlay_id)`,
          [overlayIds],
        ),
  ])
  return eventIds
}

/**
 * Mends the links of the next events of a room to events that are gone: those are missing now, so that other servers can be asked for
 * them. Returns how far it has looked; undefined where nothing is left.
 */
export async function mendLinks(
  tx: Queryable,
  range: { readonly roomNid: number; readonly after: Place; readonly limit: number },
): Promise<Place | undefined> {
  const looked = await tx.query<Place & { eventNid: number; isBroken: boolean }>(
    'find_broken_links',
    `SELECT e.event_nid AS "eventNid", e.position, e.ordinal,
            EXISTS (SELECT 1 FROM unnest(e.prev_nids) AS p(nid) WHERE NOT EXISTS (SELECT 1 FROM events s WHERE s.event_nid = p.nid)) AS "isBroken"
       FROM events e WHERE e.room_nid = $1 AND (e.position, e.ordinal) > ($2, $3) ORDER BY e.position, e.ordinal LIMIT $4`,
    [range.roomNid, range.after.position, range.after.ordinal, range.limit],
  )
  const broken = looked.filter((one) => one.isBroken).map((one) => one.eventNid)
  if (broken.length > 0) {
    // Nobody fills a gap while it is noted.
    await tx.query('lock_mended_room', `UPDATE room_head SET version = version + 1 WHERE room_nid = $1`, [range.roomNid])
    await tx.query(
      'note_purged_prev_events',
      `INSERT INTO missing_prev_events (event_nid, room_nid, prev_id)
       SELECT e.event_nid, e.room_nid, p.id FROM events e
        CROSS JOIN LATERAL (SELECT CASE json_typeof(x.value) WHEN 'array' THEN x.value ->> 0 ELSE x.value #>> '{}' END AS id
                              FROM json_array_elements(e.json::json -> 'prev_events') AS x(value)) AS p
        WHERE e.event_nid = ANY($1) AND NOT EXISTS (SELECT 1 FROM events s WHERE s.event_id = p.id AND s.event_nid = ANY(e.prev_nids))
       ON CONFLICT DO NOTHING`,
      [broken],
    )
    await tx.query(
      'drop_purged_prev_nids',
      `UPDATE events e SET prev_nids = ARRAY(SELECT p.nid FROM unnest(e.prev_nids) AS p(nid) JOIN events s ON s.event_nid = p.nid)
        WHERE e.event_nid = ANY($1)`,
      [broken],
    )
  }
  const last = looked.length < range.limit ? undefined : looked.at(-1)
  return last && { position: last.position, ordinal: last.ordinal }
}

/** Deletes what the search index took in while its events went. */
export async function deleteOrphanedSearch(tx: Queryable, cut: Pick<HistoryCut, 'roomNid' | 'before'>): Promise<void> {
  await tx.query(
    'delete_orphaned_search',
    `DELETE FROM event_search s WHERE s.room_nid = $1 AND s.position < $2 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_nid = s.event_nid)`,
    [cut.roomNid, cut.before.position],
  )
}

/** Where a room's history may be cut at an event, or undefined where it is not part of the room's timeline. */
export async function getCutAtEvent(
  tx: Queryable,
  roomId: RoomId,
  eventId: string,
): Promise<(Place & { roomNid: number; depth: number }) | undefined> {
  const [row] = await tx.query<Place & { roomNid: number; depth: number }>(
    'get_cut_at_event',
    `SELECT e.room_nid AS "roomNid", e.position, e.ordinal, e.depth FROM events e JOIN rooms r USING (room_nid)
      WHERE r.room_id = $1 AND e.event_id = $2 AND e.position IS NOT NULL`,
    [roomId, eventId],
  )
  return row
}

/** Where a room's history is cut so that what was received before a time goes: at the first event of the stream that is as new. */
export async function getCutAtTime(
  tx: Queryable,
  query: {
    readonly roomId: RoomId
    readonly timestampMs: number
    /** Everything up to here was received before, whatever it says of itself. */
    readonly receivedUpTo: number
    /** Not where there is only what is never purged: state, and what ends the room's graph. */
    readonly isForMessages: boolean
  },
): Promise<(Place & { roomNid: number; depth: number }) | undefined> {
  const [row] = await tx.query<Place & { roomNid: number; depth: number }>(
    'get_cut_at_time',
    `SELECT r.room_nid AS "roomNid", c.position, c.ordinal, coalesce(c.depth, h.depth) AS depth
       FROM rooms r JOIN room_head h USING (room_nid)
       CROSS JOIN LATERAL (
         SELECT * FROM (
           (SELECT e.position, e.ordinal, e.depth FROM events e
             WHERE e.room_nid = r.room_nid AND e.ordinal = 0 AND e.position > $3 AND e.origin_server_ts >= $2 ORDER BY e.position LIMIT 1)
           UNION ALL (SELECT max(e.position) + 1, -9007199254740991, NULL FROM events e WHERE e.room_nid = r.room_nid)) AS candidate
          WHERE position IS NOT NULL ORDER BY position LIMIT 1) AS c
      WHERE r.room_id = $1
        AND EXISTS (SELECT 1 FROM events e WHERE e.room_nid = r.room_nid AND (e.position, e.ordinal) < (c.position, c.ordinal)
                       AND (NOT $4 OR e.state_key IS NULL AND NOT e.event_nid = ANY(h.extremities)))`,
    [query.roomId, query.timestampMs, query.receivedUpTo, query.isForMessages],
  )
  return row
}
