import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table account_data. Schema: migrations/0012-user-data.sql. Global items have the room id ''. */

const STREAM = STREAMS.account_data.number

/** One item of a user's account data. */
export interface AccountDataRow {
  /** '' for global data. */
  readonly roomId: string
  readonly type: string
  readonly contentJson: string
}

export interface AccountDataKey {
  readonly userId: string
  readonly roomId: string
  readonly type: string
}

/** Writes an item at the claimed position with this index. A deleted one stays with the content `{}`. */
export async function upsertAccountData(
  tx: Queryable,
  index: number,
  row: AccountDataKey & { contentJson: string; isDeleted: boolean },
): Promise<void> {
  await tx.query(
    'upsert_account_data',
    `INSERT INTO account_data (user_id, room_id, type, content, is_deleted, position)
     VALUES ($1, $2, $3, $4, $5, claimed_pos(${STREAM}, 0, $6))
     ON CONFLICT (user_id, room_id, type) DO UPDATE
       SET content = EXCLUDED.content, is_deleted = EXCLUDED.is_deleted, position = EXCLUDED.position`,
    [row.userId, row.roomId, row.type, row.contentJson, row.isDeleted, index],
  )
}

/**
 * Replaces an item only if it is still the one at `expected` (0: there is none). Returns whether it was replaced.
 * For changes that depend on what was there before.
 */
export async function replaceAccountData(
  tx: Queryable,
  index: number,
  row: AccountDataKey & { contentJson: string; expected: number },
): Promise<boolean> {
  const rows = await tx.query(
    'replace_account_data',
    `INSERT INTO account_data (user_id, room_id, type, content, position)
     SELECT $1::text, $2::text, $3::text, $4::text, claimed_pos(${STREAM}, 0, $5::int)
      WHERE COALESCE((SELECT position FROM account_data WHERE user_id = $1 AND room_id = $2 AND type = $3), 0) = $6::bigint
     ON CONFLICT (user_id, room_id, type) DO UPDATE
       SET content = EXCLUDED.content, is_deleted = false, position = EXCLUDED.position
       WHERE account_data.position = $6
     RETURNING 1`,
    [row.userId, row.roomId, row.type, row.contentJson, index, row.expected],
  )
  return rows.length > 0
}

/** Reads one item, with its position; a deleted one counts as absent but for its position. */
export async function getAccountData(
  tx: Queryable,
  key: AccountDataKey,
): Promise<{ contentJson: string; isDeleted: boolean; position: StreamPosition } | undefined> {
  const rows = await tx.query<{ contentJson: string; isDeleted: boolean; position: StreamPosition }>(
    'get_account_data',
    `SELECT content AS "contentJson", is_deleted AS "isDeleted", position FROM account_data WHERE user_id = $1 AND room_id = $2 AND type = $3`,
    [key.userId, key.roomId, key.type],
  )
  return rows[0]
}

/** Reads all that a user has, global and of every room, without deleted items. */
export async function getAllAccountData(tx: Queryable, userId: string): Promise<AccountDataRow[]> {
  return tx.query<AccountDataRow>(
    'get_all_account_data',
    `SELECT room_id AS "roomId", type, content AS "contentJson" FROM account_data WHERE user_id = $1 AND NOT is_deleted`,
    [userId],
  )
}

/** Reads what changed for a user with after < position <= upTo, in order; deleted items come as `{}`. */
export async function getChangedAccountData(
  tx: Queryable,
  range: { userId: string; after: number; upTo: number },
): Promise<AccountDataRow[]> {
  return tx.query<AccountDataRow>(
    'get_changed_account_data',
    `SELECT room_id AS "roomId", type, content AS "contentJson" FROM account_data
      WHERE user_id = $1 AND position > $2 AND position <= $3 ORDER BY position`,
    [range.userId, range.after, range.upTo],
  )
}

/** Reads the stream's rows with after < position <= upTo, for readers that missed a frame. */
export async function getAccountDataRowsSince(
  tx: Queryable,
  range: { after: number; upTo: number },
): Promise<{ position: StreamPosition; userId: string; roomId: string; type: string }[]> {
  return tx.query(
    'get_account_data_rows_since',
    `SELECT position, user_id AS "userId", room_id AS "roomId", type FROM account_data WHERE position > $1 AND position <= $2 ORDER BY position`,
    [range.after, range.upTo],
  )
}
