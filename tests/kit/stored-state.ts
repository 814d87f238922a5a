import { stateSlotKey } from '../../src/protocol/events/event.ts'
import type { Queryable } from '../../src/storage/database.ts'

interface Row {
  readonly type: string
  readonly state_key: string
  readonly event_id: string
}

/** The current state of a room by its intervals: slot key to event id. */
export async function readCurrentState(tx: Queryable, roomId: string): Promise<Map<string, string>> {
  return toMap(
    await tx.query<Row>(
      'test_current_state',
      `SELECT s.type, s.state_key, e.event_id FROM state_intervals i JOIN rooms r USING (room_nid) JOIN state_slots s USING (slot_nid)
         JOIN events e USING (event_nid) WHERE r.room_id = $1 AND i.to_pos = 9223372036854775807`,
      [roomId],
    ),
  )
}

/** The state before an event as it is stored: base and overlay. */
export async function readStateBefore(tx: Queryable, eventId: string): Promise<Map<string, string>> {
  return toMap(
    await tx.query<Row>(
      'test_state_before',
      `WITH o AS (SELECT n.slot_nid, n.event_nid FROM events e JOIN state_overlays USING (overlay_id)
                    CROSS JOIN LATERAL unnest(slot_nids, event_nids) AS n(slot_nid, event_nid) WHERE e.event_id = $1),
            f AS (SELECT i.slot_nid, i.event_nid FROM events e JOIN state_intervals i ON i.room_nid = e.room_nid
                     AND i.from_pos <= e.base_pos AND i.to_pos > e.base_pos
                   WHERE e.event_id = $1 AND i.slot_nid NOT IN (SELECT slot_nid FROM o) UNION ALL SELECT * FROM o)
       SELECT s.type, s.state_key, e.event_id FROM f JOIN state_slots s USING (slot_nid) JOIN events e USING (event_nid)`,
      [eventId],
    ),
  )
}

/** The ids of a room's forward extremities, sorted. */
export async function readExtremities(tx: Queryable, roomId: string): Promise<string[]> {
  const rows = await tx.query<{ event_id: string }>(
    'test_extremities',
    `SELECT e.event_id FROM room_head h JOIN rooms r USING (room_nid) JOIN events e ON e.event_nid = ANY(h.extremities) WHERE r.room_id = $1`,
    [roomId],
  )
  return rows.map((row) => row.event_id).sort()
}

function toMap(rows: readonly Row[]): Map<string, string> {
  return new Map(rows.map((row) => [stateSlotKey(row.type, row.state_key), row.event_id]))
}
