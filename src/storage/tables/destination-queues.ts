import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Tables destination_queue, destination_edus, destination_transactions. Schema: migrations/0024-federation-outbound.sql. */

/** An event that a destination is to get. */
export interface QueuedEvent {
  readonly destination: ServerName
  readonly position: number
  readonly roomId: RoomId
}

/** Puts events into queues. Idempotent as long as they have not arrived. */
export async function insertQueuedEvents(tx: Queryable, events: readonly QueuedEvent[]): Promise<void> {
  await tx.query(
    'insert_queued_events',
    `INSERT INTO destination_queue (destination, position, room_nid)
     SELECT n.destination, n.position, r.room_nid FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n(destination, position, room_id)
       JOIN rooms r USING (room_id)
     ON CONFLICT DO NOTHING`,
    [events.map((one) => one.destination), events.map((one) => one.position), events.map((one) => one.roomId)],
  )
}

/** Leaves of each room's waiting events only the newest, in the queues of the destinations. */
export async function keepNewestOfRooms(tx: Queryable, destinations: readonly ServerName[]): Promise<void> {
  await tx.query(
    'keep_newest_of_rooms',
    `DELETE FROM destination_queue q WHERE q.destination = ANY($1)
        AND EXISTS (SELECT FROM destination_queue n WHERE n.destination = q.destination AND n.room_nid = q.room_nid AND n.position > q.position)`,
    [destinations],
  )
}

/** An EDU that must arrive. `key`: of those with the same one only the newest matters in the long run; '' where each does. */
export interface QueuedEdu {
  readonly destination: ServerName
  readonly key: string
  readonly json: string
}

/** Puts EDUs into queues, in their order. */
export async function insertQueuedEdus(tx: Queryable, edus: readonly QueuedEdu[]): Promise<void> {
  await tx.query(
    'insert_queued_edus',
    `INSERT INTO destination_edus (destination, edu_key, json)
     SELECT destination, edu_key, json FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n(destination, edu_key, json, place) ORDER BY place`,
    [edus.map((edu) => edu.destination), edus.map((edu) => edu.key), edus.map((edu) => edu.json)],
  )
}

/** Leaves of the EDUs with a key only the newest of each, in the queues of the destinations. */
export async function keepNewestEdus(tx: Queryable, destinations: readonly ServerName[]): Promise<void> {
  await tx.query(
    'keep_newest_edus',
    `DELETE FROM destination_edus q WHERE q.destination = ANY($1) AND q.edu_key <> ''
        AND EXISTS (SELECT FROM destination_edus n WHERE n.destination = q.destination AND n.edu_key = q.edu_key AND n.seq > q.seq)`,
    [destinations],
  )
}

/** An event as it is sent. The text is missing where the event is gone, with its room. */
export interface OutgoingPdu {
  readonly position: number
  readonly eventId: EventId | null
  readonly json: string | null
  readonly redactedBy: EventId | null
  readonly roomVersion: string | null
}

const PDU_COLUMNS = `e.event_id AS "eventId", e.json, e.redacted_by AS "redactedBy", r.room_version AS "roomVersion"`

/**
 * Reads the events that wait longest for a destination. OFFSET 0 keeps the planner from reading all events for each of them, as it does
 * in a young database, before the tables were analysed.
 */
export async function getQueuedEvents(tx: Queryable, destination: ServerName, limit: number): Promise<OutgoingPdu[]> {
  return tx.query(
    'get_queued_events',
    `SELECT q.position, ${PDU_COLUMNS} FROM (SELECT position FROM destination_queue WHERE destination = $1 ORDER BY position LIMIT $2) q
       LEFT JOIN LATERAL (SELECT * FROM events WHERE lane = 0 AND position = q.position AND ordinal = 0 OFFSET 0) e ON true
       LEFT JOIN rooms r USING (room_nid) ORDER BY q.position`,
    [destination, limit],
  )
}

/** Reads the EDUs that wait longest for a destination. */
export async function getQueuedEdus(
  tx: Queryable,
  destination: ServerName,
  limit: number,
): Promise<{ readonly seq: number; readonly json: string }[]> {
  return tx.query('get_queued_edus', 'SELECT seq, json FROM destination_edus WHERE destination = $1 ORDER BY seq LIMIT $2', [
    destination,
    limit,
  ])
}

/** A transaction that a destination has not taken yet. */
export interface StoredTransaction {
  readonly txnId: string
  readonly createdTsMs: number
  readonly positions: readonly number[]
  readonly eduSeqs: readonly number[]
  /** JSON array of further EDUs. */
  readonly edus: string
}

/** Reads the transaction under way. */
export async function getStoredTransaction(tx: Queryable, destination: ServerName): Promise<StoredTransaction | undefined> {
  const rows = await tx.query<StoredTransaction>(
    'get_stored_transaction',
    `SELECT txn_id AS "txnId", created_ts_ms AS "createdTsMs", positions, edu_seqs AS "eduSeqs", edus FROM destination_transactions WHERE destination = $1`,
    [destination],
  )
  return rows[0]
}

/** Reads what is in a stored transaction, in its order. EDUs that something newer took the place of are left out. */
export async function getTransactionContent(
  tx: Queryable,
  destination: ServerName,
  transaction: StoredTransaction,
): Promise<{ readonly pdus: OutgoingPdu[]; readonly edus: { readonly seq: number; readonly json: string }[] }> {
  const [pdus, edus] = await Promise.all([
    tx.query<OutgoingPdu>(
      'get_transaction_events',
      `SELECT e.position, ${PDU_COLUMNS} FROM events e JOIN rooms r USING (room_nid)
        WHERE e.lane = 0 AND e.position = ANY($1) AND e.ordinal = 0 ORDER BY e.position`,
      [transaction.positions],
    ),
    tx.query<{ seq: number; json: string }>(
      'get_transaction_edus',
      'SELECT seq, json FROM destination_edus WHERE destination = $1 AND seq = ANY($2) ORDER BY seq',
      [destination, transaction.eduSeqs],
    ),
  ])
  return { pdus, edus }
}

/**
 * Stores a transaction before it is sent, in place of one that was given up. Returns false where a sender with a newer epoch is at
 * work: then nothing may be sent.
 */
export async function insertTransaction(
  tx: Queryable,
  destination: ServerName,
  transaction: StoredTransaction & { readonly epoch: number },
): Promise<boolean> {
  const rows = await tx.query(
    'insert_transaction',
    `WITH fence AS (
       INSERT INTO destinations AS d (destination, txn_id, epoch) VALUES ($1, 1, $7)
       ON CONFLICT (destination) DO UPDATE SET txn_id = d.txn_id + 1, epoch = EXCLUDED.epoch WHERE d.epoch <= EXCLUDED.epoch
       RETURNING 1)
     INSERT INTO destination_transactions (destination, txn_id, created_ts_ms, positions, edu_seqs, edus)
     SELECT $1, $2, $3, $4, $5, $6 FROM fence
     ON CONFLICT (destination) DO UPDATE SET txn_id = EXCLUDED.txn_id, created_ts_ms = EXCLUDED.created_ts_ms,
       positions = EXCLUDED.positions, edu_seqs = EXCLUDED.edu_seqs, edus = EXCLUDED.edus
     RETURNING 1`,
    [
      destination,
      transaction.txnId,
      transaction.createdTsMs,
      transaction.positions,
      transaction.eduSeqs,
      transaction.edus,
      transaction.epoch,
    ],
  )
  return rows.length > 0
}

/** Takes a transaction that has arrived, and what was in it, out of the queues. */
export async function finishTransaction(tx: Queryable, destination: ServerName, txnId: string): Promise<void> {
  await tx.query(
    'finish_transaction',
    `WITH done AS (DELETE FROM destination_transactions WHERE destination = $1 AND txn_id = $2 RETURNING positions, edu_seqs),
          pdus AS (DELETE FROM destination_queue q USING done d WHERE q.destination = $1 AND q.position = ANY(d.positions)),
          edus AS (DELETE FROM destination_edus q USING done d WHERE q.destination = $1 AND q.seq = ANY(d.edu_seqs))
     UPDATE destinations SET last_pos = greatest(last_pos, (SELECT max(p) FROM done, unnest(positions) AS p)) WHERE destination = $1`,
    [destination, txnId],
  )
}

/** Takes events out of a queue that are nowhere any more. */
export async function deleteQueuedEvents(tx: Queryable, destination: ServerName, positions: readonly number[]): Promise<void> {
  await tx.query('delete_queued_events', 'DELETE FROM destination_queue WHERE destination = $1 AND position = ANY($2)', [
    destination,
    positions,
  ])
}

/** Counts what waits for a destination, up to `limit`. */
export async function countQueuedEvents(tx: Queryable, destination: ServerName, limit: number): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    'count_queued_events',
    'SELECT count(*)::int AS count FROM (SELECT FROM destination_queue WHERE destination = $1 LIMIT $2) AS q',
    [destination, limit],
  )
  return row?.count ?? 0
}

/** Lists the destinations for which anything waits: a few index probes for each. */
export async function getWaitingDestinations(tx: Queryable): Promise<ServerName[]> {
  const skip = (table: string): string => `(WITH RECURSIVE d(name) AS (
       (SELECT destination FROM ${table} ORDER BY destination LIMIT 1)
       UNION ALL
       SELECT (SELECT q.destination FROM ${table} q WHERE q.destination > d.name ORDER BY q.destination LIMIT 1) FROM d WHERE d.name IS NOT NULL
     ) SELECT name FROM d WHERE name IS NOT NULL)`
  const rows = await tx.query<{ name: ServerName }>(
    'get_waiting_destinations',
    `SELECT name FROM ${skip('destination_queue')} a UNION SELECT name FROM ${skip('destination_edus')} b
      UNION SELECT destination FROM destination_transactions`,
  )
  return rows.map((row) => row.name)
}

/** A local or foreign event as the router sees it. */
export interface RoutedEventRecord {
  readonly position: number
  readonly eventId: EventId
  readonly roomId: RoomId
  readonly sender: string
  readonly type: string
  readonly stateKey: string | null
}

/** Reads the events of the stream after a position that may have to be told: those of the server's users, and all member events. */
export async function getEventsToRoute(
  tx: Queryable,
  range: { readonly after: number; readonly upTo: number; readonly serverName: ServerName; readonly limit: number },
): Promise<RoutedEventRecord[]> {
  return tx.query(
    'get_events_to_route',
    `SELECT e.position, e.event_id AS "eventId", r.room_id AS "roomId", e.sender, e.type, e.state_key AS "stateKey"
       FROM events e JOIN rooms r USING (room_nid)
      WHERE e.lane = 0 AND e.position > $1 AND e.position <= $2 AND e.ordinal = 0
        AND (e.type = 'm.room.member' OR substr(e.sender, strpos(e.sender, ':') + 1) = $3)
      ORDER BY e.position LIMIT $4`,
    [range.after, range.upTo, range.serverName, range.limit],
  )
}

/** A change of who is joined to a room. */
export interface MemberChangeRecord {
  readonly position: number
  readonly roomId: RoomId
  readonly userId: string
  /** The member event that stood in the state before; null where there was none. */
  readonly jsonBefore: string | null
}

/** Reads what the memberships of rooms were before they changed at `from` or later, in order. */
export async function getMemberChangesFrom(
  tx: Queryable,
  roomIds: readonly RoomId[],
  from: number,
): Promise<MemberChangeRecord[]> {
  return tx.query(
    'get_member_changes_from',
    `SELECT i.from_pos AS position, r.room_id AS "roomId", s.state_key AS "userId", p.json AS "jsonBefore"
       FROM rooms r JOIN state_intervals i USING (room_nid) JOIN state_slots s USING (slot_nid)
       LEFT JOIN state_intervals b ON b.room_nid = i.room_nid AND b.slot_nid = i.slot_nid AND b.to_pos = i.from_pos AND b.from_pos < i.from_pos
       LEFT JOIN events p ON p.event_nid = b.event_nid
      WHERE r.room_id = ANY($1) AND i.from_pos >= $2 AND s.type = 'm.room.member' ORDER BY i.from_pos`,
    [roomIds, from],
  )
}

/** Forgets a transaction that is not to be sent as it is; what is in it waits as before. */
export async function deleteTransaction(tx: Queryable, destination: ServerName, txnId: string): Promise<void> {
  await tx.query('delete_transaction', 'DELETE FROM destination_transactions WHERE destination = $1 AND txn_id = $2', [
    destination,
    txnId,
  ])
}
