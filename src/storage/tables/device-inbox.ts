import type { DeviceId, UserId } from '../../protocol/ids.ts'
import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'
import type { QueuedEdu } from './destination-queues.ts'

/** Tables device_inbox and to_device_transactions. Schema: migrations/0011-encryption.sql. */

export interface InboxMessage {
  readonly userId: UserId
  readonly deviceId: DeviceId
  /** The event as /sync hands it out. */
  readonly messageJson: string
}

/** What makes a request to /sendToDevice the same one when it comes again. */
export interface ToDeviceTransaction {
  readonly userId: UserId
  /** `d` and the device id, or `t` and the id of a token without a device. */
  readonly senderDevice: string
  readonly txnId: string
  readonly eventType: string
}

/** Tells whether the request was done before. */
export async function hasToDeviceTransaction(tx: Queryable, transaction: ToDeviceTransaction): Promise<boolean> {
  const rows = await tx.query(
    'has_to_device_transaction',
    'SELECT 1 FROM to_device_transactions WHERE user_id = $1 AND sender_device = $2 AND txn_id = $3 AND event_type = $4',
    [transaction.userId, transaction.senderDevice, transaction.txnId, transaction.eventType],
  )
  return rows.length > 0
}

/** Puts EDUs for other servers into their queues, if the common table expression `request` has a row. */
const insertRemote = (destinations: string, jsons: string): string =>
  `INSERT INTO destination_edus (destination, json)
   SELECT destination, json FROM unnest(${destinations}::text[], ${jsons}::text[]) WITH ORDINALITY AS n(destination, json, place)
    WHERE EXISTS (SELECT FROM request) ORDER BY place`

/** Notes that the request is done, where it sends nothing to devices here, and puts what it sends to others into their queues. */
export async function insertToDeviceTransaction(
  tx: Queryable,
  transaction: ToDeviceTransaction & { createdTsMs: number },
  remote: readonly QueuedEdu[],
): Promise<void> {
  await tx.query(
    'insert_to_device_transaction',
    `WITH request AS (
       INSERT INTO to_device_transactions (user_id, sender_device, txn_id, event_type, created_ts_ms) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING RETURNING 1
     )
     ${insertRemote('$6', '$7')}`,
    [
      transaction.userId,
      transaction.senderDevice,
      transaction.txnId,
      transaction.eventType,
      transaction.createdTsMs,
      remote.map((edu) => edu.destination),
      remote.map((edu) => edu.json),
    ],
  )
}

/**
 * Puts messages into inboxes at the positions that the transaction claimed, one each from `firstIndex` on, puts
 * EDUs for other servers into their queues, and notes the request. Does nothing where the request was done before. Devices that are gone get nothing.
 */
export async function insertMessages(
  tx: Queryable,
  firstIndex: number,
  transaction: ToDeviceTransaction & { readonly createdTsMs: number },
  messages: readonly InboxMessage[],
  remote: readonly QueuedEdu[],
): Promise<void> {
  await tx.query(
    'insert_messages',
    `WITH request AS (
       INSERT INTO to_device_transactions (user_id, sender_device, txn_id, event_type, created_ts_ms) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING RETURNING 1
     ), remote AS (${insertRemote('$11', '$12')})
     INSERT INTO device_inbox (user_id, device_id, position, message_json)
     SELECT m.user_id, m.device_id, claimed_pos($6, 0, $7 + m.ordinal::int - 1), m.message_json
       FROM unnest($8::text[], $9::text[], $10::text[]) WITH ORDINALITY AS m (user_id, device_id, message_json, ordinal)
       JOIN devices d ON d.user_id = m.user_id AND d.device_id = m.device_id
      WHERE EXISTS (SELECT FROM request)`,
    [
      transaction.userId,
      transaction.senderDevice,
      transaction.txnId,
      transaction.eventType,
      transaction.createdTsMs,
      STREAMS.to_device.number,
      firstIndex,
      messages.map((message) => message.userId),
      messages.map((message) => message.deviceId),
      messages.map((message) => message.messageJson),
      remote.map((edu) => edu.destination),
      remote.map((edu) => edu.json),
    ],
  )
}

/** Reads a device's messages with `after < position <= upTo`, in order. */
export async function getMessages(
  tx: Queryable,
  range: {
    readonly userId: UserId
    readonly deviceId: DeviceId
    readonly after: StreamPosition
    readonly upTo: StreamPosition
    readonly limit: number
  },
): Promise<{ position: StreamPosition; messageJson: string }[]> {
  return tx.query(
    'get_messages',
    `SELECT position, message_json AS "messageJson" FROM device_inbox
      WHERE user_id = $1 AND device_id = $2 AND position > $3 AND position <= $4 ORDER BY position LIMIT $5`,
    [range.userId, range.deviceId, range.after, range.upTo, range.limit],
  )
}

/** Deletes a device's messages with `position <= upTo`. */
export async function deleteMessages(
  tx: Queryable,
  range: { userId: UserId; deviceId: DeviceId; upTo: StreamPosition },
): Promise<void> {
  await tx.query('delete_messages', 'DELETE FROM device_inbox WHERE user_id = $1 AND device_id = $2 AND position <= $3', [
    range.userId,
    range.deviceId,
    range.upTo,
  ])
}

/** Reads for whom there are messages with `after < position <= upTo`, in order. */
export async function getInboxChanges(
  tx: Queryable,
  after: StreamPosition,
  upTo: StreamPosition,
): Promise<{ position: StreamPosition; userId: UserId; deviceId: DeviceId }[]> {
  return tx.query(
    'get_inbox_changes',
    'SELECT position, user_id AS "userId", device_id AS "deviceId" FROM device_inbox WHERE position > $1 AND position <= $2 ORDER BY position',
    [after, upTo],
  )
}

/** Forgets requests that are older, and messages for devices that are gone: at most `limit` of each. */
export async function purgeInbox(
  tx: Queryable,
  purge: { readonly createdBeforeMs: number; readonly limit: number },
): Promise<void> {
  await tx.query(
    'purge_inbox',
    `WITH old AS (
       DELETE FROM to_device_transactions WHERE ctid = ANY(ARRAY(
         SELECT ctid FROM to_device_transactions WHERE created_ts_ms < $1 ORDER BY created_ts_ms LIMIT $2))
     )
     DELETE FROM device_inbox WHERE ctid = ANY(ARRAY(
       SELECT i.ctid FROM device_inbox i
        WHERE NOT EXISTS (SELECT FROM devices d WHERE d.user_id = i.user_id AND d.device_id = i.device_id) LIMIT $2))`,
    [purge.createdBeforeMs, purge.limit],
  )
}
