import type { EventId, ServerName } from '../../protocol/ids.ts'
import type { Queryable } from '../database.ts'

/** Table event_relays: member events that are told to other servers otherwise than usual. Schema: migrations/0024-federation-outbound.sql. */

export interface EventRelay {
  readonly eventId: EventId
  /** True: the sender's server gave it to us to tell the others. False: it is ours, and another server tells the others. */
  readonly isToldByUs: boolean
  /** The server that has it already. */
  readonly peer: ServerName
}

/** Notes who tells of an event; before it is appended, so that whoever sends it knows. Idempotent. */
export async function insertEventRelay(tx: Queryable, relay: EventRelay & { readonly createdTsMs: number }): Promise<void> {
  await tx.query(
    'insert_event_relay',
    `INSERT INTO event_relays (event_id, is_told_by_us, peer, created_ts_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
    [relay.eventId, relay.isToldByUs, relay.peer, relay.createdTsMs],
  )
}

/** Reads who tells of events; those without a note are left out. */
export async function getEventRelays(tx: Queryable, eventIds: readonly string[]): Promise<EventRelay[]> {
  return tx.query(
    'get_event_relays',
    `SELECT event_id AS "eventId", is_told_by_us AS "isToldByUs", peer FROM event_relays WHERE event_id = ANY($1)`,
    [eventIds],
  )
}

/** Forgets notes whose events are on their way, and such whose events never came. */
export async function deleteEventRelays(
  tx: Queryable,
  done: { readonly eventIds: readonly string[]; readonly createdBeforeMs: number },
): Promise<void> {
  await tx.query('delete_event_relays', `DELETE FROM event_relays WHERE event_id = ANY($1) OR created_ts_ms < $2`, [
    done.eventIds,
    done.createdBeforeMs,
  ])
}
