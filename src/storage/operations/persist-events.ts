import type { Queryable } from '../database.ts'
import { insertLinks, insertOverlays, insertSlots } from './event-graph-writes.ts'
import type { NewEventLinks, NewOverlay } from './event-graph-writes.ts'

/**
 * Operation: appends built events of several rooms in one tail. Schema: migrations/0002-rooms-and-events.sql,
 * 0022-foreign-events.sql.
 */

/** One event as its row. */
export interface NewEvent {
  /** Its place in the claim, `claimed_pos(1, lane, index)`; undefined where it is not part of the timeline. */
  readonly index: number | undefined
  readonly eventNid: number
  readonly roomNid: number
  readonly eventId: string
  readonly depth: number
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  readonly originServerTs: number
  readonly relationType: string | undefined
  readonly relatesTo: string | undefined
  readonly redacts: string | undefined
  readonly notifyOrdinal: number
  readonly threadId: string | undefined
  readonly replacesNid: number | undefined
  readonly txnDevice: string | undefined
  readonly txnId: string | undefined
  readonly txnScope: string | undefined
  readonly json: string
  /** State before the event; undefined: as of the position before its own. */
  readonly basePos: number | undefined
  readonly overlayId: number | undefined
  readonly flags: number
  readonly prevNids: readonly number[]
  /** The row is there already: the event was stored for its own sake before. */
  readonly isPromoted: boolean
  /** Place of an event from before what was here; the index is undefined then. */
  readonly position: number | undefined
  readonly ordinal: number
}

/** A state change of the batch; event number 0 empties the slot. `endIndex` names the event of the same batch that ends it, if any. */
export interface NewInterval {
  readonly roomNid: number
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number
  readonly index: number
  readonly endIndex: number | undefined
  /** The slot was filled before the batch: its open interval ends here. */
  readonly isReplacing: boolean
}

export interface NewMembership {
  readonly roomNid: number
  readonly userId: string
  readonly membership: string
  readonly eventId: string
  readonly index: number
  readonly sender: string
}

export interface NewRoom {
  readonly roomNid: number
  readonly roomId: string
  readonly roomVersion: string
  readonly creator: string
  readonly createdTsMs: number
}

export interface RoomHeadAdvance {
  readonly roomNid: number
  readonly version: number
  readonly extremities: readonly number[]
  readonly depth: number
  readonly joinedCount: number
  readonly invitedCount: number
  readonly notifyOrdinal: number
}

export interface EventBatch {
  readonly lane: number
  readonly rooms: readonly NewRoom[]
  readonly heads: readonly RoomHeadAdvance[]
  readonly events: readonly NewEvent[]
  readonly intervals: readonly NewInterval[]
  readonly memberships: readonly NewMembership[]
  /** Pairs of redacted event and redaction. */
  readonly redactions: readonly { readonly target: string; readonly redaction: string; readonly roomNid: number }[]
  readonly overlays: readonly NewOverlay[]
  readonly links: readonly NewEventLinks[]
  /** Users whose membership vanished from the state. */
  readonly goneMembers: readonly { readonly roomNid: number; readonly userId: string }[]
}

/**
 * Issues the statements that append the batch, one for each table, after the lane was claimed. All are issued at once;
 * the promise settles when all have. Fails with MX002 when a room's version has moved, 23505 when a transaction id is taken.
 */
export function persistEvents(tx: Queryable, batch: EventBatch): Promise<unknown>[] {
  const statements: Promise<unknown>[] = []
  if (batch.rooms.length > 0) statements.push(insertRooms(tx, batch.rooms))
  statements.push(advanceRoomHeads(tx, batch.heads))
  const [promoted, added] = [batch.events.filter((event) => event.isPromoted), batch.events.filter((event) => !event.isPromoted)]
  if (added.length > 0) statements.push(insertEvents(tx, batch.lane, added))
  if (promoted.length > 0) statements.push(promoteEvents(tx, batch.lane, promoted))
  if (batch.overlays.length > 0) statements.push(insertOverlays(tx, batch.overlays))
  statements.push(...insertLinks(tx, batch.links))
  if (batch.intervals.length > 0) {
    statements.push(insertSlots(tx, batch.intervals))
    if (batch.intervals.some((interval) => interval.isReplacing)) statements.push(closeIntervals(tx, batch))
    statements.push(insertIntervals(tx, batch))
  }
  if (batch.goneMembers.length > 0) statements.push(deleteMemberships(tx, batch.goneMembers))
  if (batch.memberships.length > 0) statements.push(upsertMemberships(tx, batch))
  if (batch.redactions.length > 0) statements.push(markRedacted(tx, batch.redactions))
  return statements
}

function insertRooms(tx: Queryable, rooms: readonly NewRoom[]): Promise<unknown> {
  return Promise.all([
    tx.query(
      'insert_rooms',
      `INSERT INTO rooms (room_nid, room_id, room_version, creator, created_ts_ms)
       SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])`,
      [
        rooms.map((room) => room.roomNid),
        rooms.map((room) => room.roomId),
        rooms.map((room) => room.roomVersion),
        rooms.map((room) => room.creator),
        rooms.map((room) => room.createdTsMs),
      ],
    ),
    tx.query(
      'insert_room_heads',
      `INSERT INTO room_head (room_nid, version, extremities, depth, joined_count, invited_count)
       SELECT nid, 0, '{}', 0, 0, 0 FROM unnest($1::bigint[]) AS nid`,
      [rooms.map((room) => room.roomNid)],
    ),
  ])
}

function advanceRoomHeads(tx: Queryable, heads: readonly RoomHeadAdvance[]): Promise<unknown> {
  return tx.query('advance_room_heads', 'SELECT advance_room_heads($1, $2, $3, $4, $5, $6, $7)', [
    heads.map((head) => head.roomNid),
    heads.map((head) => head.version),
    heads.map((head) => `{${head.extremities.join(',')}}`),
    heads.map((head) => head.depth),
    heads.map((head) => head.joinedCount),
    heads.map((head) => head.invitedCount),
    heads.map((head) => head.notifyOrdinal),
  ])
}

function insertEvents(tx: Queryable, lane: number, events: readonly NewEvent[]): Promise<unknown> {
  return tx.query(
    'insert_events',
    `INSERT INTO events (event_nid, room_nid, event_id, lane, position, depth, type, state_key, sender, origin_server_ts, relation_type,
                         relates_to, redacts, base_pos, notify_ordinal, thread_id, replaces_nid, txn_device, txn_id, txn_scope, json,
                         overlay_id, flags, prev_nids, ordinal)
     SELECT n.event_nid, n.room_nid, n.event_id, $1::int, coalesce(n.position, claimed_pos(1, $1, n.index)), n.depth, n.type, n.state_key, n.sender, n.ts, n.relation_type,
            n.relates_to, n.redacts, coalesce(n.base_pos, claimed_pos(1, $1, n.index) - 1), n.ordinal, n.thread_id, n.replaces_nid, n.txn_device,
            n.txn_id, n.txn_scope, n.json, n.overlay_id, n.flags, n.prev_nids::bigint[], n.place
       FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[],
                   $12::text[], $13::text[], $14::bigint[], $15::text[], $16::bigint[], $17::text[], $18::text[], $19::text[], $20::text[],
                   $21::bigint[], $22::bigint[], $23::smallint[], $24::text[], $25::bigint[], $26::bigint[])
            AS n(index, event_nid, room_nid, event_id, depth, type, state_key, sender, ts, relation_type,
                 relates_to, redacts, ordinal, thread_id, replaces_nid, txn_device, txn_id, txn_scope, json,
                 base_pos, overlay_id, flags, prev_nids, position, place)`,
    [
      lane,
      events.map((event) => event.index),
      events.map((event) => event.eventNid),
      events.map((event) => event.roomNid),
      events.map((event) => event.eventId),
      events.map((event) => event.depth),
      events.map((event) => event.type),
      events.map((event) => event.stateKey),
      events.map((event) => event.sender),
      events.map((event) => event.originServerTs),
      events.map((event) => event.relationType),
      events.map((event) => event.relatesTo),
      events.map((event) => event.redacts),
      events.map((event) => event.notifyOrdinal),
      events.map((event) => event.threadId),
      events.map((event) => event.replacesNid),
      events.map((event) => event.txnDevice),
      events.map((event) => event.txnId),
      events.map((event) => event.txnScope),
      events.map((event) => event.json),
      events.map((event) => event.basePos),
      events.map((event) => event.overlayId),
      events.map((event) => event.flags),
      events.map((event) => `{${event.prevNids.join(',')}}`),
      events.map((event) => event.position),
      events.map((event) => event.ordinal),
    ],
  )
}

/** Makes full events of such that were stored for their own sake. */
function promoteEvents(tx: Queryable, lane: number, events: readonly NewEvent[]): Promise<unknown> {
  return tx.query(
    'promote_events',
    `UPDATE events e SET lane = $1::int, position = coalesce(n.position, claimed_pos(1, $1, n.index)), ordinal = n.place, base_pos = coalesce(n.base_pos, claimed_pos(1, $1, n.index) - 1),
            overlay_id = n.overlay_id, flags = n.flags, prev_nids = n.prev_nids::bigint[], notify_ordinal = n.ordinal, thread_id = n.thread_id,
            replaces_nid = n.replaces_nid
       FROM unnest($2::bigint[], $3::int[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[], $8::bigint[], $9::text[], $10::bigint[],
                   $11::bigint[], $12::bigint[])
            AS n(event_nid, index, base_pos, overlay_id, flags, prev_nids, ordinal, thread_id, replaces_nid, position, place)
      WHERE e.event_nid = n.event_nid`,
    [
      lane,
      events.map((event) => event.eventNid),
      events.map((event) => event.index),
      events.map((event) => event.basePos),
      events.map((event) => event.overlayId),
      events.map((event) => event.flags),
      events.map((event) => `{${event.prevNids.join(',')}}`),
      events.map((event) => event.notifyOrdinal),
      events.map((event) => event.threadId),
      events.map((event) => event.replacesNid),
      events.map((event) => event.position),
      events.map((event) => event.ordinal),
    ],
  )
}

function closeIntervals(tx: Queryable, { lane, intervals }: EventBatch): Promise<unknown> {
  const replacing = intervals.filter((interval) => interval.isReplacing)
  return tx.query(
    'close_state_intervals',
    `UPDATE state_intervals i SET to_pos = claimed_pos(1, $1, n.index)
       FROM unnest($2::bigint[], $3::text[], $4::text[], $5::int[]) AS n(room_nid, type, state_key, index)
       JOIN state_slots s ON s.type = n.type AND s.state_key = n.state_key
      WHERE i.room_nid = n.room_nid AND i.slot_nid = s.slot_nid AND i.to_pos = 9223372036854775807`,
    [
      lane,
      replacing.map((interval) => interval.roomNid),
      replacing.map((interval) => interval.type),
      replacing.map((interval) => interval.stateKey),
      replacing.map((interval) => interval.index),
    ],
  )
}

function insertIntervals(tx: Queryable, { lane, intervals }: EventBatch): Promise<unknown> {
  return tx.query(
    'insert_state_intervals',
    `INSERT INTO state_intervals (room_nid, slot_nid, event_nid, from_pos, to_pos)
     SELECT n.room_nid, s.slot_nid, n.event_nid, claimed_pos(1, $1, n.index), coalesce(claimed_pos(1, $1, n.end_index), 9223372036854775807)
       FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::int[], $7::int[]) AS n(room_nid, type, state_key, event_nid, index, end_index)
       JOIN state_slots s ON s.type = n.type AND s.state_key = n.state_key`,
    [
      lane,
      intervals.map((interval) => interval.roomNid),
      intervals.map((interval) => interval.type),
      intervals.map((interval) => interval.stateKey),
      intervals.map((interval) => interval.eventNid),
      intervals.map((interval) => interval.index),
      intervals.map((interval) => interval.endIndex),
    ],
  )
}

function upsertMemberships(tx: Queryable, { lane, memberships }: EventBatch): Promise<unknown> {
  return tx.query(
    'upsert_memberships',
    `INSERT INTO memberships (room_nid, user_id, membership, event_id, position, sender)
     SELECT n.room_nid, n.user_id, n.membership, n.event_id, claimed_pos(1, $1, n.index), n.sender
       FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[]) AS n(room_nid, user_id, membership, event_id, index, sender)
     ON CONFLICT (room_nid, user_id) DO UPDATE SET membership = EXCLUDED.membership, event_id = EXCLUDED.event_id, position = EXCLUDED.position,
       sender = EXCLUDED.sender, is_forgotten = false`,
    [
      lane,
      memberships.map((membership) => membership.roomNid),
      memberships.map((membership) => membership.userId),
      memberships.map((membership) => membership.membership),
      memberships.map((membership) => membership.eventId),
      memberships.map((membership) => membership.index),
      memberships.map((membership) => membership.sender),
    ],
  )
}

function deleteMemberships(tx: Queryable, gone: EventBatch['goneMembers']): Promise<unknown> {
  return tx.query(
    'delete_memberships',
    `DELETE FROM memberships m USING unnest($1::bigint[], $2::text[]) AS n(room_nid, user_id)
      WHERE m.room_nid = n.room_nid AND m.user_id = n.user_id`,
    [gone.map((member) => member.roomNid), gone.map((member) => member.userId)],
  )
}

function markRedacted(tx: Queryable, redactions: EventBatch['redactions']): Promise<unknown> {
  return tx.query(
    'mark_events_redacted',
    `UPDATE events e SET redacted_by = n.redaction FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(target, redaction, room_nid)
      WHERE e.event_id = n.target AND e.room_nid = n.room_nid AND e.redacted_by IS NULL`,
    [
      redactions.map((redaction) => redaction.target),
      redactions.map((redaction) => redaction.redaction),
      redactions.map((redaction) => redaction.roomNid),
    ],
  )
}
