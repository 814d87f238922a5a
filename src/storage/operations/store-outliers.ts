import type { Queryable } from '../database.ts'

/** Operation: stores events for their own sake, and the room's row where there is none. Schema: migrations/0022-foreign-events.sql. */

export interface NewOutlier {
  readonly eventNid: number
  readonly eventId: string
  readonly depth: number
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  readonly originServerTs: number
  readonly relationType: string | undefined
  readonly relatesTo: string | undefined
  readonly redacts: string | undefined
  readonly flags: number
  readonly authIds: readonly string[]
  readonly json: string
}

/** Stores the events that are not stored yet, with their auth events, which must be among them or stored. Idempotent. */
export async function insertOutliers(
  tx: Queryable,
  room: { roomNid: number; roomId: string; roomVersion: string; creator: string; createdTsMs: number },
  events: readonly NewOutlier[],
): Promise<void> {
  await Promise.all([
    tx.query(
      'insert_room_of_outliers',
      `INSERT INTO rooms (room_nid, room_id, room_version, creator, created_ts_ms) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (room_id) DO NOTHING`,
      [room.roomNid, room.roomId, room.roomVersion, room.creator, room.createdTsMs],
    ),
    tx.query(
      'insert_room_head_of_outliers',
      `INSERT INTO room_head (room_nid, version, extremities, depth, joined_count, invited_count)
       SELECT room_nid, 0, '{}', 0, 0, 0 FROM rooms WHERE room_id = $1 ON CONFLICT DO NOTHING`,
      [room.roomId],
    ),
    tx.query(
      'insert_outliers',
      `INSERT INTO events (event_nid, room_nid, event_id, lane, depth, type, state_key, sender, origin_server_ts, relation_type, relates_to,
                           redacts, base_pos, flags, json)
       SELECT n.event_nid, r.room_nid, n.event_id, 0, n.depth, n.type, n.state_key, n.sender, n.ts, n.relation_type, n.relates_to,
              n.redacts, 0, n.flags, n.json
         FROM rooms r, unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[],
                             $11::text[], $12::smallint[], $13::text[])
              AS n(event_nid, event_id, depth, type, state_key, sender, ts, relation_type, relates_to, redacts, flags, json)
        WHERE r.room_id = $1
       ON CONFLICT (event_id) DO NOTHING`,
      [
        room.roomId,
        events.map((event) => event.eventNid),
        events.map((event) => event.eventId),
        events.map((event) => event.depth),
        events.map((event) => event.type),
        events.map((event) => event.stateKey),
        events.map((event) => event.sender),
        events.map((event) => event.originServerTs),
        events.map((event) => event.relationType),
        events.map((event) => event.relatesTo),
        events.map((event) => event.redacts),
        events.map((event) => event.flags),
        events.map((event) => event.json),
      ],
    ),
    insertAuth(tx, events),
  ])
}

function insertAuth(tx: Queryable, events: readonly NewOutlier[]): Promise<unknown> {
  const links = events.flatMap(({ eventId, authIds }) => authIds.map((authId) => ({ eventId, authId })))
  return tx.query(
    'insert_outlier_auth',
    `INSERT INTO event_auth (event_nid, auth_nid)
     SELECT e.event_nid, a.event_nid FROM unnest($1::text[], $2::text[]) AS n(event_id, auth_id)
       JOIN events e ON e.event_id = n.event_id JOIN events a ON a.event_id = n.auth_id
     ON CONFLICT DO NOTHING`,
    [links.map((link) => link.eventId), links.map((link) => link.authId)],
  )
}
