import { STREAMS } from '../../streams/streams.ts'
import type { StreamPosition, StreamRows } from '../../streams/streams.ts'
import type { Queryable } from '../database.ts'

/** Table cache_invalidations: the rows of the stream `caches`. Schema: migrations/0010-accounts.sql. */

/** Adds a row at the position that the transaction has claimed. */
export async function insertCacheInvalidation(
  tx: Queryable,
  index: number,
  row: { readonly cache: string; readonly keys: readonly string[] | null; readonly createdTsMs: number },
): Promise<void> {
  await tx.query(
    'insert_cache_invalidation',
    'INSERT INTO cache_invalidations (position, cache, keys, created_ts_ms) VALUES (claimed_pos($1, 0, $2), $3, $4, $5)',
    [STREAMS.caches.number, index, row.cache, row.keys, row.createdTsMs],
  )
}

/** Reads the rows with `after < position <= upTo`, in order. */
export async function getCacheInvalidations(
  tx: Queryable,
  after: StreamPosition,
  upTo: StreamPosition,
): Promise<{ position: StreamPosition; row: StreamRows['caches'] }[]> {
  const rows = await tx.query<{ position: StreamPosition; cache: string; keys: string[] | null }>(
    'get_cache_invalidations',
    'SELECT position, cache, keys FROM cache_invalidations WHERE position > $1 AND position <= $2 ORDER BY position',
    [after, upTo],
  )
  return rows.map(({ position, cache, keys }) => ({ position, row: { cache, keys } }))
}

/** Forgets rows that every process has long applied: their caches keep nothing for so long. */
export async function deleteCacheInvalidationsBefore(tx: Queryable, tsMs: number): Promise<void> {
  await tx.query('delete_cache_invalidations_before', 'DELETE FROM cache_invalidations WHERE created_ts_ms < $1', [tsMs])
}
