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

/**
 * Reads the newest position drawn in each lane's stream, without waiting for anybody. Where it is not above what a reader has,
 * there is nothing new; where it is, `getLaneHead` tells what is final.
 */
export async function getDrawnPositions(tx: Queryable): Promise<{ name: string; lane: number; drawn: number }[]> {
  return tx.query(
    'get_drawn_positions',
    // Read as stream_last_value() does, without a statement to plan for each stream: every process asks every few seconds.
    `SELECT d.name, l.lane::int AS lane, COALESCE(pg_sequence_last_value(('stream_' || d.stream || '_pos')::regclass), 0) AS drawn
       FROM stream_def d CROSS JOIN LATERAL generate_series(0, d.lanes - 1) AS l(lane)`,
  )
}

/** Reads the head of one lane. Waits for the commit under way there, so that every position up to it is final. */
export async function getLaneHead(tx: Queryable, lane: { stream: number; lane: number }): Promise<number> {
  const rows = await tx.query<{ head: number }>('get_lane_head', 'SELECT lane_head($1, $2) AS head', [lane.stream, lane.lane])
  return rows[0]?.head ?? 0
}
