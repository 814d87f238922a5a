import { totalmem } from 'node:os'

const MEGABYTE = 1024 * 1024
const CACHE_MEGABYTES_MIN = 256

/** What a new cluster's `postgresql.conf` says; an admin may change it there. */
export function computeClusterSettings(memoryBytes: number = totalmem()): Readonly<Record<string, string>> {
  return {
    // Everything that was acknowledged survives a power failure. These are PostgreSQL's defaults: written down because we promise it.
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    max_connections: '200',
    shared_buffers: '128MB',
    effective_cache_size: `${Math.max(CACHE_MEGABYTES_MIN, Math.floor(memoryBytes / 2 / MEGABYTE))}MB`,
    work_mem: '8MB',
    maintenance_work_mem: '64MB',
    // Fewer checkpoints: each one makes every page expensive that is changed for the first time after it.
    checkpoint_timeout: '15min',
    max_wal_size: '2GB',
    random_page_cost: '1.1',
    // Our statements are short: compiling them or spreading them over processes costs more than it saves.
    jit: 'off',
    max_parallel_workers_per_gather: '0',
    autovacuum_vacuum_scale_factor: '0.05',
    autovacuum_analyze_scale_factor: '0.05',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] ',
    log_checkpoints: 'off',
  }
}
