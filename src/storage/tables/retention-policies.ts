import type { RoomId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** How long rooms keep their messages. Schema: migrations/0002-events-and-state.sql. */

const OPEN_END = '9223372036854775807'

/** A room's retention event; null where it has none. */
export interface RetentionPolicyRow {
  readonly roomNid: number
  readonly roomId: RoomId
  readonly json: string | null
}

/** Reads a page of rooms after a room's number, with their `m.room.retention`; without `isForAll` only those that have one. */
export async function getRetentionPolicies(
  tx: Queryable,
  page: { readonly after: number; readonly limit: number; readonly isForAll: boolean },
): Promise<RetentionPolicyRow[]> {
  return tx.query<RetentionPolicyRow>(
    'get_retention_policies',
    `SELECT r.room_nid AS "roomNid", r.room_id AS "roomId", p.json FROM rooms r JOIN room_head h USING (room_nid)
       LEFT JOIN LATERAL (
         SELECT e.json FROM state_slots s
           JOIN state_intervals i ON i.slot_nid = s.slot_nid AND i.room_nid = r.room_nid AND i.to_pos = ${OPEN_END} JOIN events e USING (event_nid)
          WHERE s.type = 'm.room.retention' AND s.state_key = '' AND e.redacted_by IS NULL) p ON true
      WHERE r.room_nid > $1 AND ($3 OR p.json IS NOT NULL) ORDER BY r.room_nid LIMIT $2`,
    [page.after, page.limit, page.isForAll],
  )
}
