import type { Queryable } from '../database.ts'

/** Sequence typing_epoch. Schema: migrations/0012-user-data.sql. */

/** Draws the number of a new owner of the typing stream: larger than those of all owners before. */
export async function drawTypingEpoch(tx: Queryable): Promise<number> {
  const rows = await tx.query<{ epoch: number }>('draw_typing_epoch', "SELECT nextval('typing_epoch') AS epoch")
  return rows[0]?.epoch ?? 0
}
