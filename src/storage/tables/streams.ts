import type { Queryable } from '../database.ts'

/** Tables stream_def and the position sequences. Schema: migrations/0001-streams.sql. */

/** Reads the heads of all lanes. Waits for commits under way, so that every position up to a head is final. */
export async function getLaneHeads(tx: Queryable): Promise<{ name: string; lane: number; head: number }[]> {
  return tx.query(
    'get_lane_heads',
    `SELECT d.name, l.lane::int AS lane, lane_head(d.stream, l.lane::int) AS head
       FROM stream_def d CROSS JOIN LATERAL generate_series(0, d.lanes - 1) AS l(lane)`,
  )
}
