import type { Queryable } from '../database.ts'

/** Table stream_times: where the events stream stood at some times by our own clock. Schema: migrations/0035-purging.sql. */

/** Notes where the stream stands now, unless the last note is younger than `everyMs`. */
export async function noteStreamTime(
  tx: Queryable,
  note: { readonly nowMs: number; readonly position: number; readonly everyMs: number },
): Promise<void> {
  await tx.query(
    'note_stream_time',
    `INSERT INTO stream_times (sampled_ts_ms, position)
     SELECT $1::bigint, $2::bigint WHERE NOT EXISTS (SELECT 1 FROM stream_times WHERE sampled_ts_ms > $1::bigint - $3::bigint) ON CONFLICT DO NOTHING`,
    [note.nowMs, note.position, note.everyMs],
  )
}

/** Up to where everything had been received before a time; 0 where it is not known. */
export async function getPositionAt(tx: Queryable, tsMs: number): Promise<number> {
  const [row] = await tx.query<{ position: number }>(
    'get_position_at',
    `SELECT position FROM stream_times WHERE sampled_ts_ms <= $1 ORDER BY sampled_ts_ms DESC LIMIT 1`,
    [tsMs],
  )
  return row?.position ?? 0
}

/** Deletes notes from before a time, but for the newest of them. */
export async function deleteStreamTimesBefore(tx: Queryable, tsMs: number): Promise<void> {
  await tx.query(
    'delete_stream_times',
    `DELETE FROM stream_times WHERE sampled_ts_ms < (SELECT max(sampled_ts_ms) FROM stream_times WHERE sampled_ts_ms < $1)`,
    [tsMs],
  )
}
