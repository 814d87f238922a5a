import { MediaCare } from '../services/media/media-care.ts'
import { MediaJobs } from '../services/media/media-jobs.ts'
import type { MediaStore } from '../services/media/media-store.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'

const JOBS_EVERY_MS = 3600_000

/** Wires what deletes and hides media. The role `media_jobs` is only taken where the files are. */
export function assembleMediaCare(
  core: Core,
  { cluster, store }: { readonly cluster: Cluster; readonly store: MediaStore },
): { readonly mediaCare: MediaCare } {
  const { database, clock, serverName, config } = core
  const { localMediaLifetimeMs, remoteMediaLifetimeMs } = config.media.mediaRetention
  const mediaCare = new MediaCare({ database, store, serverName })
  const jobs = new MediaJobs({
    care: mediaCare,
    clock,
    logger: core.logger.child('media'),
    options: { everyMs: JOBS_EVERY_MS, localLifetimeMs: localMediaLifetimeMs, remoteLifetimeMs: remoteMediaLifetimeMs },
  })
  if (cluster.topology.servesMedia)
    cluster.addRole('media_jobs', { start: (lease) => jobs.start(lease), stop: () => jobs.stop() })
  return { mediaCare }
}
