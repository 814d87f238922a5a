import { MatrixError } from '../../protocol/errors.ts'
import type { Database } from '../../storage/database.ts'
import { getSwitch, setSwitch } from '../../storage/tables/server-switches.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { Clock } from '../../util/clock.ts'
import type { ScheduledTasks } from './scheduled-tasks.ts'

const SWITCH = 'background_updates'
const DIRECTORY_CACHE = 'user_directory_index'

/** Jobs that an administrator may ask for, as Synapse names them. Figures of rooms are counted when asked for: there is nothing to make anew. */
export const BACKGROUND_JOBS = ['populate_stats_process_rooms', 'regenerate_directory'] as const

/** Long changes to what is derived from the database. As Synapse's docs: Background Updates API. */
export class BackgroundUpdates {
  readonly #database: Database
  readonly #tasks: ScheduledTasks
  readonly #caches: CacheInvalidation
  readonly #clock: Clock

  constructor(deps: {
    database: Database
    tasks: ScheduledTasks
    caches: CacheInvalidation
    clock: Clock
    /** Makes the directory anew where this process keeps it. */
    rebuildDirectory: () => void
  }) {
    this.#database = deps.database
    this.#tasks = deps.tasks
    this.#caches = deps.caches
    this.#clock = deps.clock
    deps.caches.onForget(DIRECTORY_CACHE, deps.rebuildDirectory)
  }

  isEnabled(): Promise<boolean> {
    return getSwitch(this.#database, SWITCH)
  }

  /** Lets jobs begin, or keeps them waiting. */
  async setEnabled(isEnabled: boolean): Promise<void> {
    await setSwitch(this.#database, SWITCH, isEnabled)
    this.#tasks.wake()
  }

  /** The jobs that run now. */
  async getRunning(): Promise<{ readonly name: string; readonly durationMs: number }[]> {
    const tasks = await this.#tasks.list({ actions: BACKGROUND_JOBS, statuses: ['active'] })
    return tasks.map((task) => ({ name: task.action, durationMs: Math.max(0, this.#clock.nowMs() - task.timestampMs) }))
  }

  /** Asks for a job. Throws 400 M_UNKNOWN for one that is not known or asked for already. */
  async begin(jobName: string): Promise<void> {
    const action = BACKGROUND_JOBS.find((name) => name === jobName)
    if (action === undefined) throw new MatrixError('M_UNKNOWN', 'Invalid job_name', { status: 400 })
    const taskId = await this.#tasks.schedule({ action, resourceId: `job ${action}`, params: {}, excludes: [action] })
    if (taskId === undefined)
      throw new MatrixError('M_UNKNOWN', `Job ${jobName} is already in queue of background updates.`, { status: 400 })
  }

  /** Does a job. */
  async run(action: (typeof BACKGROUND_JOBS)[number]): Promise<undefined> {
    if (action === 'regenerate_directory') await this.#caches.forget(DIRECTORY_CACHE, [action])
    return undefined
  }
}
