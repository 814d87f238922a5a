import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import { EVENT_COLUMNS } from './events.ts'
import type { EventRecord } from './events.ts'

/** Relations between events, from table events. Schema: migrations/0002-rooms-and-events.sql, 0016-room-directory.sql. */

export interface RelationRow {
  readonly relatesTo: string
  readonly eventId: string
  readonly sender: string
  readonly relType: string
}

/** An event whose children are wanted, of which only those up to a position count. */
export interface ParentEvent {
  readonly eventNid: number
  readonly upTo: number
}

/** Finds those of the events that others relate to in a way that is bundled. Most pages have few or none. */
export async function getParentsWithChildren(tx: Queryable, eventNids: readonly number[]): Promise<Set<number>> {
  const rows = await tx.query<{ eventNid: number }>(
    'get_parents_with_children',
    `SELECT p.event_nid AS "eventNid" FROM events p WHERE p.event_nid = ANY($1) AND EXISTS (
        SELECT 1 FROM events c WHERE c.room_nid = p.room_nid AND c.relates_to = p.event_id
           AND c.relation_type IN ('m.replace', 'm.thread', 'm.reference'))`,
    [eventNids],
  )
  return new Set(rows.map((row) => row.eventNid))
}

/** What relates to one event, summed up. */
export interface ChildSummary {
  readonly parentId: string
  readonly threadCount: number
  readonly hasParticipated: boolean | null
  readonly latestThreadNid: number | null
  /** Event ids, oldest first. */
  readonly references: readonly string[] | null
}

/** Lists what relates to the events, redacted and rejected events left out. */
export async function getRelationsOf(tx: Queryable, eventIds: readonly string[]): Promise<RelationRow[]> {
  if (eventIds.length === 0) return []
  return tx.query<RelationRow>(
    'get_relations_of',
    `SELECT e.relates_to AS "relatesTo", e.event_id AS "eventId", e.sender, e.relation_type AS "relType"
       FROM events p JOIN events e ON e.room_nid = p.room_nid AND e.relates_to = p.event_id
      WHERE p.event_id = ANY($1) AND e.relation_type IS NOT NULL AND e.redacted_by IS NULL AND e.flags = 0 AND e.position IS NOT NULL`,
    [eventIds],
  )
}

/** Sums up threads and references of events in one query; what ignored users sent does not count. */
export async function getChildSummaries(
  tx: Queryable,
  query: { readonly parents: readonly ParentEvent[]; readonly userId: string; readonly ignoredUsers: readonly string[] },
): Promise<ChildSummary[]> {
  return tx.query<ChildSummary>(
    'get_child_summaries',
    `WITH summed AS (
       SELECT p.event_id AS parent_id, p.lane, count(*) FILTER (WHERE e.relation_type = 'm.thread') AS thread_count,
              bool_or(e.relation_type = 'm.thread' AND e.sender = $3) AS has_participated,
              max(e.position) FILTER (WHERE e.relation_type = 'm.thread') AS latest,
              array_agg(e.event_id ORDER BY e.position) FILTER (WHERE e.relation_type = 'm.reference') AS refs
         FROM unnest($1::bigint[], $2::bigint[]) AS n(event_nid, up_to)
         JOIN events p USING (event_nid)
         JOIN events e ON e.room_nid = p.room_nid AND e.relates_to = p.event_id
        WHERE e.relation_type IN ('m.thread', 'm.reference') AND e.redacted_by IS NULL AND e.flags = 0 AND e.position <= n.up_to
          AND NOT e.sender = ANY($4)
        GROUP BY p.event_id, p.lane)
     SELECT s.parent_id AS "parentId", s.thread_count AS "threadCount", s.has_participated AS "hasParticipated", s.refs AS "references",
            l.event_nid AS "latestThreadNid"
       FROM summed s LEFT JOIN events l ON l.lane = s.lane AND l.position = s.latest AND l.ordinal = 0`,
    [
      query.parents.map((parent) => parent.eventNid),
      query.parents.map((parent) => parent.upTo),
      query.userId,
      query.ignoredUsers,
    ],
  )
}

/** Reads for each event its latest valid edit. Spec: client-server-api § Validity of replacement events. */
export async function getLatestEdits(
  tx: Queryable,
  parents: readonly ParentEvent[],
): Promise<(EventRecord & { readonly relatesTo: string })[]> {
  return tx.query(
    'get_latest_edits',
    `SELECT DISTINCT ON (e.relates_to) ${EVENT_COLUMNS}, e.relates_to AS "relatesTo"
       FROM unnest($1::bigint[], $2::bigint[]) AS n(event_nid, up_to)
       JOIN events p USING (event_nid)
       JOIN rooms r USING (room_nid)
       JOIN events e ON e.room_nid = p.room_nid AND e.relates_to = p.event_id
      WHERE e.relation_type = 'm.replace' AND e.sender = p.sender AND e.type = p.type AND e.redacted_by IS NULL AND e.flags = 0
        AND e.position <= n.up_to AND e.state_key IS NULL AND p.state_key IS NULL AND p.redacted_by IS NULL
        AND (e.type = 'm.room.encrypted' OR strpos(e.json, '"m.new_content":{') > 0)
      ORDER BY e.relates_to, e.origin_server_ts DESC, e.event_id DESC`,
    [parents.map((parent) => parent.eventNid), parents.map((parent) => parent.upTo)],
  )
}

/** Which children of an event are wanted. */
export interface ChildrenQuery {
  readonly roomId: RoomId
  readonly parentId: string
  readonly relType: string | undefined
  readonly eventType: string | undefined
  /** How far relations of relations are followed; 1 for direct ones only. */
  readonly depthMax: number
  readonly low: number
  readonly high: number
  readonly direction: 'b' | 'f'
  readonly limit: number
}

/** Reads a page of what relates to an event. Type and relation type are asked of the results, not of the way to them. */
export async function getChildren(tx: Queryable, query: ChildrenQuery): Promise<(EventRecord & { readonly position: number })[]> {
  return tx.query(
    `get_children_${query.direction}`,
    `WITH RECURSIVE related (event_nid, event_id, depth) AS (
       SELECT e.event_nid, e.event_id, 1 FROM events e
        WHERE e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.relates_to = $2 AND e.relation_type IS NOT NULL AND e.redacted_by IS NULL
       UNION ALL
       SELECT e.event_nid, e.event_id, f.depth + 1 FROM related f
         JOIN events e ON e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.relates_to = f.event_id
        WHERE f.depth < $5 AND e.relation_type IS NOT NULL AND e.redacted_by IS NULL)
     SELECT ${EVENT_COLUMNS} FROM related JOIN events e USING (event_nid) JOIN rooms r USING (room_nid)
      WHERE e.position BETWEEN $6 AND $7 AND e.flags = 0 AND ($3::text IS NULL OR e.relation_type = $3) AND ($4::text IS NULL OR e.type = $4)
      ORDER BY e.position ${query.direction === 'b' ? 'DESC' : 'ASC'} LIMIT $8`,
    [
      query.roomId,
      query.parentId,
      query.relType ?? null,
      query.eventType ?? null,
      query.depthMax,
      query.low,
      query.high,
      query.limit,
    ],
  )
}

/** Lists a room's threads, that with the newest event first, whose newest event is at or below a position. */
export async function getThreads(
  tx: Queryable,
  query: {
    readonly roomId: RoomId
    readonly high: number
    readonly limit: number
    readonly ignoredUsers: readonly string[]
    /** With it only threads in which this user takes part. */
    readonly participant: string | undefined
  },
): Promise<{ readonly rootId: string; readonly position: number }[]> {
  return tx.query(
    'get_threads',
    `SELECT e.relates_to AS "rootId", e.position FROM events e
      WHERE e.room_nid = (SELECT room_nid FROM rooms WHERE room_id = $1) AND e.relation_type = 'm.thread' AND e.position <= $2
        AND e.redacted_by IS NULL AND e.flags = 0 AND NOT e.sender = ANY($4)
        AND NOT EXISTS (
          SELECT 1 FROM events n
           WHERE n.room_nid = e.room_nid AND n.relates_to = e.relates_to AND n.relation_type = 'm.thread' AND n.position > e.position
             AND n.redacted_by IS NULL AND n.flags = 0 AND NOT n.sender = ANY($4))
        AND ($5::text IS NULL
          OR EXISTS (SELECT 1 FROM events o WHERE o.event_id = e.relates_to AND o.sender = $5)
          OR EXISTS (
            SELECT 1 FROM events o
             WHERE o.room_nid = e.room_nid AND o.relates_to = e.relates_to AND o.relation_type = 'm.thread' AND o.sender = $5 AND o.redacted_by IS NULL))
      ORDER BY e.position DESC LIMIT $3`,
    [query.roomId, query.high, query.limit, query.ignoredUsers, query.participant ?? null],
  )
}
