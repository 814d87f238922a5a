import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table presence. Schema: migrations/0012-user-data.sql. */

const STREAM = STREAMS.presence.number

export interface PresenceRow {
  readonly userId: string
  readonly state: string
  /** JSON of the text, because text itself can not hold U+0000. */
  readonly statusMsgJson: string | null
  readonly lastActiveTsMs: number
  readonly isCurrentlyActive: boolean
  readonly position: StreamPosition
}

const COLUMNS = `user_id AS "userId", state, status_msg AS "statusMsgJson", last_active_ts_ms AS "lastActiveTsMs",
  is_currently_active AS "isCurrentlyActive", position`

/** Writes states at the claimed positions from this index on, in the order of `rows`; each user at most once. */
export async function upsertPresences(
  tx: Queryable,
  firstIndex: number,
  rows: readonly Omit<PresenceRow, 'position'>[],
): Promise<void> {
  await tx.query(
    'upsert_presences',
    `INSERT INTO presence (user_id, state, status_msg, last_active_ts_ms, is_currently_active, position)
     SELECT r.user_id, r.state, r.status_msg, r.last_active, r.is_active, claimed_pos(${STREAM}, 0, $6::int + r.ordinal::int - 1)
       FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::boolean[])
            WITH ORDINALITY AS r(user_id, state, status_msg, last_active, is_active, ordinal)
     ON CONFLICT (user_id) DO UPDATE SET state = EXCLUDED.state, status_msg = EXCLUDED.status_msg,
       last_active_ts_ms = EXCLUDED.last_active_ts_ms, is_currently_active = EXCLUDED.is_currently_active, position = EXCLUDED.position`,
    [
      rows.map((row) => row.userId),
      rows.map((row) => row.state),
      rows.map((row) => row.statusMsgJson),
      rows.map((row) => row.lastActiveTsMs),
      rows.map((row) => row.isCurrentlyActive),
      firstIndex,
    ],
  )
}

/** Reads the states of users. */
export async function getPresences(tx: Queryable, userIds: readonly string[]): Promise<PresenceRow[]> {
  return tx.query<PresenceRow>('get_presences', `SELECT ${COLUMNS} FROM presence WHERE user_id = ANY($1)`, [userIds])
}

/** Reads who is not offline. */
export async function getActivePresences(tx: Queryable): Promise<PresenceRow[]> {
  return tx.query<PresenceRow>('get_active_presences', `SELECT ${COLUMNS} FROM presence WHERE state <> 'offline'`)
}

/** Reads the states that changed with after < position <= upTo, in order. */
export async function getPresencesSince(tx: Queryable, range: { after: number; upTo: number }): Promise<PresenceRow[]> {
  return tx.query<PresenceRow>(
    'get_presences_since',
    `SELECT ${COLUMNS} FROM presence WHERE position > $1 AND position <= $2 ORDER BY position`,
    [range.after, range.upTo],
  )
}
