import type { Queryable } from '../database.ts'

/** Table consumer_cursor: how far followers of streams have come. Schema: migrations/0001-streams.sql. */

/** One cursor: a consumer's (or its shard's) place in a lane. */
export interface CursorKey {
  readonly consumer: string
  /** Default 0. */
  readonly shard?: number
  readonly stream: number
  /** Default 0. */
  readonly lane?: number
}

/** A holder of an older epoch tried to write: another process has its role. The SQLSTATE is that of lane_claim(). */
export class FencedError extends Error {
  override readonly name = 'FencedError'
  readonly code = 'MX001'
}

/** Reads how far a consumer has come in a lane; 0 where it has not begun. */
export async function getCursor(tx: Queryable, key: CursorKey): Promise<number> {
  const [row] = await tx.query<{ pos: number }>(
    'get_cursor',
    `SELECT pos FROM consumer_cursor WHERE consumer = $1 AND shard = $2 AND stream = $3 AND lane = $4`,
    [key.consumer, key.shard ?? 0, key.stream, key.lane ?? 0],
  )
  return row?.pos ?? 0
}

/**
 * Remembers how far a consumer has come; never backwards. `epoch` is that of the role under which it works. Throws FencedError,
 * which must fail the transaction, where a newer epoch has written already.
 */
export async function advanceCursor(
  tx: Queryable,
  cursor: CursorKey & { readonly pos: number; readonly epoch: number },
): Promise<void> {
  const rows = await tx.query(
    'advance_cursor',
    `INSERT INTO consumer_cursor (consumer, shard, stream, lane, pos, epoch) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (consumer, shard, stream, lane) DO UPDATE
       SET pos = GREATEST(consumer_cursor.pos, EXCLUDED.pos), epoch = EXCLUDED.epoch
       WHERE consumer_cursor.epoch <= EXCLUDED.epoch
     RETURNING 1`,
    [cursor.consumer, cursor.shard ?? 0, cursor.stream, cursor.lane ?? 0, cursor.pos, cursor.epoch],
  )
  if (rows.length === 0) throw new FencedError(`The cursor of ${cursor.consumer} has a newer epoch than ${cursor.epoch}`)
}
