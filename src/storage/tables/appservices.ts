import type { Queryable } from '../database.ts'

/** Tables of application services. Schema: migrations/0026-push-and-appservices.sql. */

export interface StoredAppserviceTransaction {
  readonly txnId: number
  readonly body: string
}

/** Reads the oldest transaction that the application service has not taken. */
export async function getOldestAppserviceTransaction(
  tx: Queryable,
  appserviceId: string,
): Promise<StoredAppserviceTransaction | undefined> {
  const rows = await tx.query<StoredAppserviceTransaction>(
    'get_oldest_appservice_transaction',
    'SELECT txn_id AS "txnId", body FROM appservice_transactions WHERE appservice_id = $1 ORDER BY txn_id LIMIT 1',
    [appserviceId],
  )
  return rows[0]
}

/** Stores a transaction under the next id of the application service. */
export async function insertAppserviceTransaction(
  tx: Queryable,
  transaction: { readonly appserviceId: string; readonly body: string; readonly createdTsMs: number },
): Promise<void> {
  await tx.query(
    'insert_appservice_transaction',
    `WITH next AS (
       INSERT INTO appservice_state (appservice_id, last_txn_id) VALUES ($1, 1)
       ON CONFLICT (appservice_id) DO UPDATE SET last_txn_id = appservice_state.last_txn_id + 1
       RETURNING last_txn_id
     )
     INSERT INTO appservice_transactions (appservice_id, txn_id, body, created_ts_ms) SELECT $1, last_txn_id, $2, $3 FROM next`,
    [transaction.appserviceId, transaction.body, transaction.createdTsMs],
  )
}

/** Takes away a transaction that was taken, and ends the back-off. Idempotent. */
export async function finishAppserviceTransaction(tx: Queryable, of: { appserviceId: string; txnId: number }): Promise<void> {
  await tx.query(
    'finish_appservice_transaction',
    `WITH taken AS (DELETE FROM appservice_transactions WHERE appservice_id = $1 AND txn_id = $2)
     UPDATE appservice_state SET retry_ms = 0, retry_at_ts_ms = 0 WHERE appservice_id = $1`,
    [of.appserviceId, of.txnId],
  )
}

/** Tells how the application service's outage goes: zeros where there is none. */
export async function getAppserviceRetry(tx: Queryable, appserviceId: string): Promise<{ retryMs: number; retryAtTsMs: number }> {
  const rows = await tx.query<{ retryMs: number; retryAtTsMs: number }>(
    'get_appservice_retry',
    'SELECT retry_ms AS "retryMs", retry_at_ts_ms AS "retryAtTsMs" FROM appservice_state WHERE appservice_id = $1',
    [appserviceId],
  )
  return rows[0] ?? { retryMs: 0, retryAtTsMs: 0 }
}

/** Remembers when to try again. */
export async function setAppserviceRetry(
  tx: Queryable,
  retry: { readonly appserviceId: string; readonly retryMs: number; readonly retryAtTsMs: number },
): Promise<void> {
  await tx.query(
    'set_appservice_retry',
    'UPDATE appservice_state SET retry_ms = $2, retry_at_ts_ms = $3 WHERE appservice_id = $1',
    [retry.appserviceId, retry.retryMs, retry.retryAtTsMs],
  )
}

/** A room in the list of a third-party network. */
export interface AppserviceRoom {
  readonly appserviceId: string
  readonly networkId: string
  readonly roomId: string
}

/** Shows a room in the list of a network. Idempotent. */
export async function insertAppserviceRoom(tx: Queryable, room: AppserviceRoom): Promise<void> {
  await tx.query(
    'insert_appservice_room',
    'INSERT INTO appservice_published_rooms (appservice_id, network_id, room_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
    [room.appserviceId, room.networkId, room.roomId],
  )
}

/** Takes a room out of the list of a network. Idempotent. */
export async function deleteAppserviceRoom(tx: Queryable, room: AppserviceRoom): Promise<void> {
  await tx.query(
    'delete_appservice_room',
    'DELETE FROM appservice_published_rooms WHERE appservice_id = $1 AND network_id = $2 AND room_id = $3',
    [room.appserviceId, room.networkId, room.roomId],
  )
}

export interface WaitingMessage {
  readonly position: number
  readonly userId: string
  readonly deviceId: string
  readonly messageJson: string
}

/** Reads messages that wait for devices, oldest first, as /sync would hand them out. */
export async function getWaitingMessages(
  tx: Queryable,
  range: { readonly after: number; readonly upTo: number; readonly limit: number },
): Promise<WaitingMessage[]> {
  return tx.query<WaitingMessage>(
    'get_waiting_messages',
    `SELECT position, user_id AS "userId", device_id AS "deviceId", message_json AS "messageJson" FROM device_inbox
      WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3`,
    [range.after, range.upTo, range.limit],
  )
}

/** Takes messages away from the devices that they waited for. */
export async function deleteWaitingMessages(tx: Queryable, messages: readonly WaitingMessage[]): Promise<void> {
  await tx.query(
    'delete_waiting_messages',
    `DELETE FROM device_inbox USING unnest($1::text[], $2::text[], $3::bigint[]) AS n(user_id, device_id, position)
      WHERE device_inbox.user_id = n.user_id AND device_inbox.device_id = n.device_id AND device_inbox.position = n.position`,
    [
      messages.map((message) => message.userId),
      messages.map((message) => message.deviceId),
      messages.map((message) => message.position),
    ],
  )
}

/** Lists the users whose devices changed with after < position <= upTo. */
export async function getUsersWithChangedDevices(
  tx: Queryable,
  range: { readonly after: number; readonly upTo: number },
): Promise<string[]> {
  const rows = await tx.query<{ userId: string }>(
    'get_users_with_changed_devices',
    `SELECT DISTINCT user_id AS "userId" FROM device_list_changes WHERE position > $1 AND position <= $2 AND viewer_id = ''`,
    [range.after, range.upTo],
  )
  return rows.map((row) => row.userId)
}

/** Lists who had a member event in the room's state as of the position, with that event's number. */
export async function getMembersAsOf(
  tx: Queryable,
  of: { readonly roomId: string; readonly position: number },
): Promise<{ userId: string; eventNid: number }[]> {
  return tx.query(
    'get_members_as_of',
    `SELECT s.state_key AS "userId", i.event_nid AS "eventNid" FROM rooms r
       JOIN state_intervals i ON i.room_nid = r.room_nid AND i.from_pos <= $2 AND i.to_pos > $2
       JOIN state_slots s ON s.slot_nid = i.slot_nid AND s.type = 'm.room.member'
      WHERE r.room_id = $1`,
    [of.roomId, of.position],
  )
}
