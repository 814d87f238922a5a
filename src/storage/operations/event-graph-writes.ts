import type { Queryable } from '../database.ts'

/** Statements of appending that write the rooms' graph: slots, overlays, links. Schema: migrations/0022-foreign-events.sql. */

/** Slots that differ from a state as of some position; event number 0: empty. */
export interface NewOverlay {
  readonly overlayId: number
  readonly roomNid: number
  readonly slots: readonly { readonly type: string; readonly stateKey: string; readonly eventNid: number }[]
}

/** Links of an event in the room's graph. */
export interface NewEventLinks {
  readonly eventNid: number
  readonly eventId: string
  readonly roomNid: number
  /** Of state events only. */
  readonly authNids: readonly number[]
  readonly missingPrevIds: readonly string[]
  /** The event fills gaps: others name it in their prev_events. */
  readonly isAwaited: boolean
}

/** Numbers the slots that have no number yet. */
export function insertSlots(
  tx: Queryable,
  intervals: readonly { readonly type: string; readonly stateKey: string }[],
): Promise<unknown> {
  return tx.query(
    'insert_state_slots',
    `INSERT INTO state_slots (type, state_key)
     SELECT DISTINCT n.type, n.state_key FROM unnest($1::text[], $2::text[]) AS n(type, state_key)
      WHERE NOT EXISTS (SELECT 1 FROM state_slots s WHERE s.type = n.type AND s.state_key = n.state_key)
     ON CONFLICT DO NOTHING`,
    [intervals.map((interval) => interval.type), intervals.map((interval) => interval.stateKey)],
  )
}

/** Stores overlays; new slots among theirs get numbers. */
export function insertOverlays(tx: Queryable, overlays: readonly NewOverlay[]): Promise<unknown> {
  const entries = overlays.flatMap(({ overlayId, slots }) => slots.map((slot) => ({ overlayId, ...slot })))
  return Promise.all([
    insertSlots(tx, entries),
    tx.query(
      'insert_overlays',
      `INSERT INTO state_overlays (overlay_id, room_nid, slot_nids, event_nids)
       SELECT o.overlay_id, o.room_nid, coalesce(n.slot_nids, '{}'), coalesce(n.event_nids, '{}')
         FROM unnest($1::bigint[], $2::bigint[]) AS o(overlay_id, room_nid)
         LEFT JOIN (SELECT x.overlay_id, array_agg(s.slot_nid ORDER BY s.slot_nid) AS slot_nids, array_agg(x.event_nid ORDER BY s.slot_nid) AS event_nids
                      FROM unnest($3::bigint[], $4::text[], $5::text[], $6::bigint[]) AS x(overlay_id, type, state_key, event_nid)
                      JOIN state_slots s ON s.type = x.type AND s.state_key = x.state_key GROUP BY x.overlay_id) AS n USING (overlay_id)`,
      [
        overlays.map((overlay) => overlay.overlayId),
        overlays.map((overlay) => overlay.roomNid),
        entries.map((entry) => entry.overlayId),
        entries.map((entry) => entry.type),
        entries.map((entry) => entry.stateKey),
        entries.map((entry) => entry.eventNid),
      ],
    ),
  ])
}

/** Stores the events' links: auth chains, what is missing before them, and that they are there for those who miss them. */
export function insertLinks(tx: Queryable, links: readonly NewEventLinks[]): Promise<unknown>[] {
  const statements: Promise<unknown>[] = []
  const auth = links.flatMap(({ eventNid, authNids }) => [...new Set(authNids)].map((authNid) => ({ eventNid, authNid })))
  if (auth.length > 0) {
    statements.push(
      tx.query(
        'insert_event_auth',
        `INSERT INTO event_auth (event_nid, auth_nid) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING`,
        [auth.map((link) => link.eventNid), auth.map((link) => link.authNid)],
      ),
    )
  }
  const missing = links.flatMap(({ eventNid, roomNid, missingPrevIds }) =>
    [...new Set(missingPrevIds)].map((prevId) => ({ eventNid, roomNid, prevId })),
  )
  if (missing.length > 0) {
    statements.push(
      tx.query(
        'insert_missing_prev_events',
        `INSERT INTO missing_prev_events (event_nid, room_nid, prev_id) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])
         ON CONFLICT DO NOTHING`,
        [missing.map((link) => link.eventNid), missing.map((link) => link.roomNid), missing.map((link) => link.prevId)],
      ),
    )
  }
  const awaited = links.filter((link) => link.isAwaited)
  if (awaited.length > 0) {
    statements.push(
      tx.query(
        'fill_missing_prev_events',
        `WITH filled AS (DELETE FROM missing_prev_events m USING unnest($1::text[], $2::bigint[]) AS n(event_id, event_nid)
                          WHERE m.prev_id = n.event_id RETURNING m.event_nid, n.event_nid AS prev_nid),
              together AS (SELECT event_nid, array_agg(prev_nid) AS prev_nids FROM filled GROUP BY event_nid)
         UPDATE events e SET prev_nids = e.prev_nids || t.prev_nids FROM together t WHERE e.event_nid = t.event_nid`,
        [awaited.map((link) => link.eventId), awaited.map((link) => link.eventNid)],
      ),
    )
  }
  return statements
}
