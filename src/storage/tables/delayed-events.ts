import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table delayed_events. Schema: migrations/0031-delayed-events.sql. */

/** An event that waits. */
export interface DelayedEventRow {
  readonly delayId: string
  readonly userId: UserId
  readonly txnDevice: string
  /** '' where there was none. */
  readonly txnId: string
  readonly roomId: RoomId
  readonly type: string
  readonly stateKey: string | null
  readonly originServerTsMs: number | null
  readonly contentJson: string
  readonly delayMs: number
  readonly runningSinceMs: number
}

const COLUMNS = `delay_id AS "delayId", user_id AS "userId", txn_device AS "txnDevice", txn_id AS "txnId", room_id AS "roomId", type,
  state_key AS "stateKey", origin_server_ts_ms AS "originServerTsMs", content AS "contentJson", delay_ms AS "delayMs", running_since_ms AS "runningSinceMs"`

/**
 * Adds a delayed event, unless the transaction has made one. Returns its id, or undefined where the user has `waitingMax` already.
 */
export async function insertDelayedEvent(tx: Queryable, row: DelayedEventRow, waitingMax: number): Promise<string | undefined> {
  const rows = await tx.query<{ delayId: string }>(
    'insert_delayed_event',
    `INSERT INTO delayed_events (delay_id, user_id, txn_device, txn_id, room_id, type, state_key, origin_server_ts_ms, content, delay_ms, running_since_ms)
     SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::bigint, $9::text, $10::bigint, $11::bigint
      WHERE (SELECT count(*) FROM delayed_events WHERE user_id = $2 AND ended_ms IS NULL) < $12
         OR EXISTS (SELECT FROM delayed_events WHERE user_id = $2 AND txn_device = $3 AND txn_id = $4 AND room_id = $5 AND type = $6 AND txn_id <> '')
     ON CONFLICT (user_id, txn_device, txn_id, room_id, type) WHERE txn_id <> '' DO UPDATE SET txn_id = EXCLUDED.txn_id
     RETURNING delay_id AS "delayId"`,
    [
      row.delayId,
      row.userId,
      row.txnDevice,
      row.txnId,
      row.roomId,
      row.type,
      row.stateKey,
      row.originServerTsMs,
      row.contentJson,
      row.delayMs,
      row.runningSinceMs,
      waitingMax,
    ],
  )
  return rows[0]?.delayId
}

/** Reads what waits of a user, in the order in which it is due. */
export async function getDelayedEventsOfUser(tx: Queryable, userId: UserId): Promise<DelayedEventRow[]> {
  return tx.query<DelayedEventRow>(
    'get_delayed_events_of_user',
    `SELECT ${COLUMNS} FROM delayed_events WHERE user_id = $1 AND ended_ms IS NULL ORDER BY running_since_ms + delay_ms, delay_id LIMIT 1000`,
    [userId],
  )
}

/** Reads one that waits. */
export async function getDelayedEvent(tx: Queryable, delayId: string): Promise<DelayedEventRow | undefined> {
  const [row] = await tx.query<DelayedEventRow>(
    'get_delayed_event',
    `SELECT ${COLUMNS} FROM delayed_events WHERE delay_id = $1 AND ended_ms IS NULL`,
    [delayId],
  )
  return row
}

/** Reads those that are due, in their order. */
export async function getDueDelayedEvents(
  tx: Queryable,
  page: { readonly nowMs: number; readonly limit: number },
): Promise<DelayedEventRow[]> {
  return tx.query<DelayedEventRow>(
    'get_due_delayed_events',
    `SELECT ${COLUMNS} FROM delayed_events WHERE ended_ms IS NULL AND running_since_ms + delay_ms <= $1 ORDER BY running_since_ms + delay_ms, delay_id LIMIT $2`,
    [page.nowMs, page.limit],
  )
}

/** When the next one is due; undefined where none waits. */
export async function getNextDueMs(tx: Queryable): Promise<number | undefined> {
  const [row] = await tx.query<{ dueMs: number }>(
    'get_next_due_ms',
    `SELECT running_since_ms + delay_ms AS "dueMs" FROM delayed_events WHERE ended_ms IS NULL ORDER BY running_since_ms + delay_ms LIMIT 1`,
  )
  return row?.dueMs
}

/** Lets the time of one run anew. Returns whether it waited still. */
export async function restartDelayedEvent(tx: Queryable, delayId: string, nowMs: number): Promise<boolean> {
  const rows = await tx.query(
    'restart_delayed_event',
    'UPDATE delayed_events SET running_since_ms = $2 WHERE delay_id = $1 AND ended_ms IS NULL RETURNING 1',
    [delayId, nowMs],
  )
  return rows.length > 0
}

/** Marks those that are sent, cancelled or refused. Returns how many waited still. */
export async function endDelayedEvents(tx: Queryable, delayIds: readonly string[], nowMs: number): Promise<number> {
  const rows = await tx.query(
    'end_delayed_events',
    'UPDATE delayed_events SET ended_ms = $2 WHERE delay_id = ANY($1) AND ended_ms IS NULL RETURNING 1',
    [delayIds, nowMs],
  )
  return rows.length
}

/** Cancels the state events for a slot that others than the sender wait with. */
export async function endDelayedStateOfOthers(
  tx: Queryable,
  slot: { readonly roomId: string; readonly type: string; readonly stateKey: string; readonly sender: string },
  nowMs: number,
): Promise<void> {
  await tx.query(
    'end_delayed_state_of_others',
    `UPDATE delayed_events SET ended_ms = $5
      WHERE room_id = $1 AND type = $2 AND state_key = $3 AND user_id <> $4 AND ended_ms IS NULL`,
    [slot.roomId, slot.type, slot.stateKey, slot.sender, nowMs],
  )
}

/** Forgets those that ended before a time. */
export async function deleteEndedDelayedEvents(tx: Queryable, beforeMs: number): Promise<void> {
  await tx.query('delete_ended_delayed_events', 'DELETE FROM delayed_events WHERE ended_ms < $1', [beforeMs])
}
