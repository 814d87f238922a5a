import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'
import { EVENT_COLUMNS } from './events.ts'
import type { EventRecord } from './events.ts'

/** Table event_search. Schema: migrations/0016-room-directory.sql. */

/** An event that may have text to be found, or that takes such text away. */
export interface SearchableRow {
  readonly eventNid: number
  readonly roomNid: number
  readonly position: number
  readonly type: string
  readonly sender: string
  readonly originServerTs: number
  readonly redacts: string | null
  readonly redactedBy: string | null
  readonly json: string
}

/** One text that can be found. */
export interface SearchDocument {
  readonly eventNid: number
  readonly roomNid: number
  readonly position: number
  readonly key: string
  readonly sender: string
  readonly originServerTs: number
  readonly body: string
  /** Its words, as a tsvector is written. */
  readonly document: string
}

/** Reads the next events of some types after a position, oldest first. */
export async function getSearchableEvents(
  tx: Queryable,
  range: {
    readonly lane: number
    readonly after: number
    readonly upTo: number
    readonly types: readonly string[]
    readonly limit: number
  },
): Promise<SearchableRow[]> {
  return tx.query<SearchableRow>(
    'get_searchable_events',
    `SELECT event_nid AS "eventNid", room_nid AS "roomNid", position, type, sender, origin_server_ts AS "originServerTs", redacts,
            redacted_by AS "redactedBy", json
       FROM events WHERE lane = $1 AND position > $2 AND position <= $3 AND type = ANY($4) AND flags = 0 AND ordinal = 0 ORDER BY position LIMIT $5`,
    [range.lane, range.after, range.upTo, range.types, range.limit],
  )
}

/** Stores texts. Idempotent. */
export async function insertSearchDocuments(tx: Queryable, documents: readonly SearchDocument[]): Promise<void> {
  if (documents.length === 0) return
  await tx.query(
    'insert_search_documents',
    `INSERT INTO event_search (event_nid, room_nid, position, key, sender, origin_server_ts, body, document)
     SELECT n.event_nid, n.room_nid, n.position, n.key, n.sender, n.origin_server_ts, n.body, n.document::tsvector
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
            AS n(event_nid, room_nid, position, key, sender, origin_server_ts, body, document)
     ON CONFLICT DO NOTHING`,
    [
      documents.map((one) => one.eventNid),
      documents.map((one) => one.roomNid),
      documents.map((one) => one.position),
      documents.map((one) => one.key),
      documents.map((one) => one.sender),
      documents.map((one) => one.originServerTs),
      documents.map((one) => one.body),
      documents.map((one) => one.document),
    ],
  )
}

/** Removes the texts of redacted events. */
export async function deleteSearchDocuments(tx: Queryable, eventIds: readonly string[]): Promise<void> {
  if (eventIds.length === 0) return
  await tx.query(
    'delete_search_documents',
    `DELETE FROM event_search s USING events e WHERE e.event_id = ANY($1) AND e.redacted_by IS NOT NULL AND s.event_nid = e.event_nid`,
    [eventIds],
  )
}

/** Tells whether parts of words can be found quickly. */
export async function hasTrigrams(tx: Queryable): Promise<boolean> {
  return (await tx.query('has_trigrams', `SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'`)).length > 0
}

/** What is looked for. */
export interface SearchQuery {
  /** As a tsquery is written. */
  readonly query: string
  /** Patterns of which all must occur; none for no such search. */
  readonly patterns: readonly string[]
  readonly roomIds: readonly RoomId[]
  readonly keys: readonly string[]
  readonly senders: readonly string[] | null
}

const MATCHES = `r.room_id = ANY($3) AND s.key = ANY($4) AND ($5::text[] IS NULL OR s.sender = ANY($5))
        AND (s.document @@ $1::tsquery OR (cardinality($2::text[]) > 0 AND s.body ILIKE ALL($2)))`

function matchValues(search: SearchQuery): unknown[] {
  return [search.query, search.patterns, search.roomIds, search.keys, search.senders]
}

/** Reads hits, newest first, below a position. */
export async function findRecentTexts(
  tx: Queryable,
  search: SearchQuery,
  page: { readonly below: number; readonly limit: number },
): Promise<(EventRecord & { readonly rank: number })[]> {
  return tx.query(
    'find_recent_texts',
    `SELECT ${EVENT_COLUMNS}, ts_rank_cd(s.document, $1::tsquery)::float8 AS rank
       FROM event_search s JOIN rooms r USING (room_nid) JOIN events e USING (event_nid)
      WHERE ${MATCHES} AND s.position < $6 AND e.redacted_by IS NULL ORDER BY s.position DESC LIMIT $7`,
    [...matchValues(search), page.below, page.limit],
  )
}

/** Reads hits, best first. */
export async function findBestTexts(
  tx: Queryable,
  search: SearchQuery,
  page: { readonly offset: number; readonly limit: number },
): Promise<(EventRecord & { readonly rank: number })[]> {
  return tx.query(
    'find_best_texts',
    `SELECT ${EVENT_COLUMNS}, ts_rank_cd(s.document, $1::tsquery)::float8 AS rank
       FROM event_search s JOIN rooms r USING (room_nid) JOIN events e USING (event_nid)
      WHERE ${MATCHES} AND e.redacted_by IS NULL ORDER BY rank DESC, s.position DESC LIMIT $7 OFFSET $6`,
    [...matchValues(search), page.offset, page.limit],
  )
}

/** Counts hits, up to a bound. */
export async function countTexts(tx: Queryable, search: SearchQuery, countMax: number): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'count_texts',
    `SELECT count(*) AS count FROM (
       SELECT 1 FROM event_search s JOIN rooms r USING (room_nid) JOIN events e USING (event_nid)
        WHERE ${MATCHES} AND e.redacted_by IS NULL LIMIT $6) AS hits`,
    [...matchValues(search), countMax],
  )
  return row?.count ?? 0
}

/** Reads what stands directly before and after each of some events, nearest first. */
export async function getNeighbours(
  tx: Queryable,
  query: { readonly eventNids: readonly number[]; readonly before: number; readonly after: number },
): Promise<(EventRecord & { readonly aroundNid: number; readonly isBefore: boolean })[]> {
  return tx.query(
    'get_neighbours',
    `SELECT ${EVENT_COLUMNS}, c.event_nid AS "aroundNid", (e.position, e.ordinal) < (c.position, c.ordinal) AS "isBefore"
       FROM events c JOIN rooms r USING (room_nid)
       CROSS JOIN LATERAL (
         (SELECT * FROM events b WHERE b.room_nid = c.room_nid AND (b.position, b.ordinal) < (c.position, c.ordinal) AND b.flags = 0
          ORDER BY b.position DESC, b.ordinal DESC LIMIT $2)
         UNION ALL
         (SELECT * FROM events a WHERE a.room_nid = c.room_nid AND (a.position, a.ordinal) > (c.position, c.ordinal) AND a.flags = 0
          ORDER BY a.position, a.ordinal LIMIT $3)) AS e
      WHERE c.event_nid = ANY($1) ORDER BY c.event_nid, abs(e.position - c.position), abs(e.ordinal - c.ordinal)`,
    [query.eventNids, query.before, query.after],
  )
}
