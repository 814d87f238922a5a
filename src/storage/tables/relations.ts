import type { Queryable } from '../database.ts'

/** Relations between events, from table events. Schema: migrations/0002-rooms-and-events.sql. */

export interface RelationRow {
  readonly relatesTo: string
  readonly eventId: string
  readonly sender: string
  readonly relType: string
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
