import { MatrixError } from '../../protocol/errors.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getRetentionPolicies } from '../../storage/tables/retention-policies.ts'
import { deleteStreamTimesBefore, noteStreamTime } from '../../storage/tables/stream-times.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import type { HistoryPurges } from './history-purges.ts'

const ROOMS_PER_PAGE = 500
/** How exactly it is known when an event came in. */
const SAMPLE_MS = 5 * 60_000
const SAMPLES_KEPT_MS = 5 * 365 * 24 * 3600_000
const LOOK_MAX_MS = 60_000
const DAY_MS = 24 * 3600_000

/** `retention` of the configuration. */
export interface RetentionOptions {
  readonly enabled: boolean
  readonly defaultPolicy: { readonly maxLifetimeMs: number | undefined }
  readonly allowedLifetimeMinMs: number | undefined
  readonly allowedLifetimeMaxMs: number | undefined
  readonly purgeJobs: readonly PurgeJob[]
}

interface PurgeJob {
  readonly shortestMaxLifetimeMs: number | undefined
  readonly longestMaxLifetimeMs: number | undefined
  readonly intervalMs: number | undefined
}

/**
 * Deletes messages that are older than their room's `m.room.retention` or the server's default allows, and writes down when the stream
 * stood where. The work of one role. MSC1763, as Synapse's docs/message_retention_policies.md.
 */
export class Retention {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #purges: Pick<HistoryPurges, 'begin'>
  readonly #options: RetentionOptions
  #loop: Promise<void> | undefined

  constructor(deps: {
    database: Database
    hub: StreamHub
    clock: Clock
    logger: Logger
    purges: Pick<HistoryPurges, 'begin'>
    options: RetentionOptions
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#clock = deps.clock
    this.#logger = deps.logger
    this.#purges = deps.purges
    this.#options = deps.options
  }

  /** Takes the role. */
  start({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    this.#loop = this.#run(signal)
    return Promise.resolve()
  }

  /** Settles when nothing of it runs any more; the lease's signal is aborted before. */
  async stop(): Promise<void> {
    await this.#loop
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { enabled, purgeJobs } = this.#options
    const daily: PurgeJob = { shortestMaxLifetimeMs: undefined, longestMaxLifetimeMs: undefined, intervalMs: DAY_MS }
    const jobs = (enabled ? (purgeJobs.length > 0 ? purgeJobs : [daily]) : []).map((job) => {
      const everyMs = job.intervalMs ?? DAY_MS
      return { job, everyMs, dueMs: this.#clock.monotonicMs() + everyMs }
    })
    while (!signal.aborted) {
      try {
        await this.#sample()
        for (const one of jobs) {
          if (this.#clock.monotonicMs() < one.dueMs) continue
          one.dueMs = this.#clock.monotonicMs() + one.everyMs
          await this.#purge(one.job, signal)
        }
      } catch (error) {
        this.#logger.warn('looking for old messages failed', { error })
      }
      const nextMs = Math.min(LOOK_MAX_MS, ...jobs.map(({ dueMs }) => dueMs - this.#clock.monotonicMs()))
      await pause(Math.max(100, nextMs), signal)
    }
  }

  async #sample(): Promise<void> {
    const nowMs = this.#clock.nowMs()
    await noteStreamTime(this.#database, { nowMs, position: this.#hub.head('events'), everyMs: SAMPLE_MS })
    await deleteStreamTimesBefore(this.#database, nowMs - SAMPLES_KEPT_MS)
  }

  /** Begins the purges of all rooms whose messages live as long as the job is about. */
  async #purge(job: PurgeJob, signal: AbortSignal): Promise<void> {
    const { shortestMaxLifetimeMs = -1, longestMaxLifetimeMs = Infinity } = job
    const isForAll = this.#options.defaultPolicy.maxLifetimeMs !== undefined
    for (let after = 0; !signal.aborted;) {
      const rows = await getRetentionPolicies(this.#database, { after, limit: ROOMS_PER_PAGE, isForAll })
      for (const { roomId, json } of rows) {
        const lifetimeMs = lifetimeOf(json, this.#options)
        if (lifetimeMs === undefined || lifetimeMs <= shortestMaxLifetimeMs || lifetimeMs > longestMaxLifetimeMs) continue
        await this.#begin(roomId, lifetimeMs)
        if (signal.aborted) return
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < ROOMS_PER_PAGE) return
      after = last.roomNid
    }
  }

  async #begin(roomId: RoomId, lifetimeMs: number): Promise<void> {
    try {
      const beforeMs = this.#clock.nowMs() - lifetimeMs
      await this.#purges.begin(roomId, { beforeMs }, { deletesLocal: true, isForMessages: true })
    } catch (error) {
      // Nothing is that old, or a purge of the room is under way.
      if (!(error instanceof MatrixError)) throw error
    }
  }
}

/** How long messages of a room with this `m.room.retention` event live; undefined for ever. */
export function lifetimeOf(
  json: string | null,
  options: Pick<RetentionOptions, 'defaultPolicy' | 'allowedLifetimeMinMs' | 'allowedLifetimeMaxMs'>,
): number | undefined {
  const { defaultPolicy, allowedLifetimeMinMs = 0, allowedLifetimeMaxMs = Infinity } = options
  const event: unknown = json === null ? undefined : JSON.parse(json)
  const content = isJsonObject(event) && isJsonObject(event['content']) ? event['content'] : {}
  const wished = content['max_lifetime']
  const isWish = typeof wished === 'number' && Number.isSafeInteger(wished) && wished >= 0
  const lifetimeMs = isWish ? wished : defaultPolicy.maxLifetimeMs
  return lifetimeMs === undefined ? undefined : Math.min(Math.max(lifetimeMs, allowedLifetimeMinMs), allowedLifetimeMaxMs)
}
