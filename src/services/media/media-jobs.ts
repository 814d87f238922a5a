import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import type { MediaCare } from './media-care.ts'

const DAY_MS = 24 * 3600_000
const PREVIEW_IMAGES_KEPT_MS = 2 * DAY_MS

/** Deletes what is old, as `media_retention` says, and previews. The work of one role, where `media_instance_running_background_jobs` says. */
export class MediaJobs {
  readonly #care: MediaCare
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #options: {
    readonly everyMs: number
    readonly localLifetimeMs: number | undefined
    readonly remoteLifetimeMs: number | undefined
  }
  #loop: Promise<void> | undefined

  constructor(deps: {
    care: MediaCare
    clock: Clock
    logger: Logger
    options: { everyMs: number; localLifetimeMs: number | undefined; remoteLifetimeMs: number | undefined }
  }) {
    this.#care = deps.care
    this.#clock = deps.clock
    this.#logger = deps.logger
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
    while (!signal.aborted) {
      try {
        await this.tidy(signal)
      } catch (error) {
        this.#logger.error('old media could not be deleted', { error })
      }
      await pause(this.#options.everyMs, signal)
    }
  }

  /** Deletes once what is old now. */
  async tidy(signal: AbortSignal): Promise<void> {
    const { localLifetimeMs, remoteLifetimeMs } = this.#options
    const nowMs = this.#clock.nowMs()
    await this.#care.deleteOldPreviews({ nowMs, imagesBeforeMs: nowMs - PREVIEW_IMAGES_KEPT_MS }, signal)
    if (remoteLifetimeMs !== undefined) await this.#care.deleteOldRemote(nowMs - remoteLifetimeMs, signal)
    if (localLifetimeMs === undefined) return
    const old = { beforeMs: nowMs - localLifetimeMs, largerThanBytes: -1, keepsAvatars: true, keepsJudged: true }
    await this.#care.deleteOldLocal(old, signal)
  }
}
