import { MatrixError } from '../../protocol/errors.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoleLease } from '../../replication/working-role.ts'
import { isConnectionLost } from '../../storage/database.ts'
import type { Database } from '../../storage/database.ts'
import { deleteEndedTasks, getDueTasks, updateTask } from '../../storage/tables/scheduled-tasks.ts'
import type { TaskFence, TaskRow } from '../../storage/tables/scheduled-tasks.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import type { ScheduledTasks } from './scheduled-tasks.ts'

/** Tasks that run at a time. */
const AT_ONCE = 4
/** A wake-up may get lost: so often the database is asked. */
const LOOK_MS = 5000
const RETRY_MS = 1000
/** How long it is told how a task ended. */
const KEPT_MS = 7 * 24 * 3600_000

/** A task at work. */
export interface RunningTask {
  readonly taskId: string
  readonly resourceId: string
  /** When it was to begin, or began. */
  readonly timestampMs: number
  readonly params: JsonObject
  /** How far whoever had it before has come. */
  readonly progress: JsonObject
  readonly signal: AbortSignal
  /** Remembers how far it has come, and tells whoever asks what it did until now. Throws where another process has the role by now. */
  save(progress: JsonObject, result?: JsonObject): Promise<void>
}

/** Does a task and returns its result. Must be able to go on from any progress that it saved, and do a step again. */
export type TaskWork = (task: RunningTask) => Promise<JsonObject | undefined>

/** The role is another process's by now, or this one is stopping: the task goes on elsewhere. */
class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

/** Does what is written down in scheduled_tasks, in the process that has the role; of each room one task at a time. */
export class TaskRunner {
  readonly #database: Database
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #waiting: () => Promise<readonly string[]>
  readonly #works = new Map<string, TaskWork>()
  readonly #running = new Map<string, Promise<void>>()
  #loop: Promise<void> | undefined
  #wake: () => void = () => undefined

  constructor(deps: {
    database: Database
    tasks: ScheduledTasks
    clock: Clock
    logger: Logger
    /** Actions that have to wait, as an administrator wants. */
    waiting: () => Promise<readonly string[]>
  }) {
    this.#waiting = deps.waiting
    this.#database = deps.database
    this.#clock = deps.clock
    this.#logger = deps.logger
    deps.tasks.onWake(() => this.#wake())
  }

  /** Says who does tasks of an action. */
  register(action: string, work: TaskWork): void {
    this.#works.set(action, work)
  }

  /** Takes the role. */
  start(lease: RoleLease): Promise<void> {
    this.#loop = this.#run(lease)
    return Promise.resolve()
  }

  /** Settles when nothing of it runs any more; the lease's signal is aborted before. */
  async stop(): Promise<void> {
    await this.#loop
    await Promise.all(this.#running.values())
  }

  async #run({ role, epoch, signal }: RoleLease): Promise<void> {
    while (!signal.aborted) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve))
      let waitMs = LOOK_MS
      try {
        const nowMs = this.#clock.nowMs()
        await deleteEndedTasks(this.#database, nowMs - KEPT_MS)
        const waiting = await this.#waiting()
        const actions = [...this.#works.keys()].filter((action) => !waiting.includes(action))
        const due = await getDueTasks(this.#database, { nowMs, actions, limit: 2 * AT_ONCE })
        for (const row of due)
          if (this.#running.size < AT_ONCE && !this.#running.has(row.taskId)) this.#begin(row, { role, epoch }, signal)
      } catch (error) {
        this.#logger.warn('looking for tasks failed', { error })
        waitMs = RETRY_MS
      }
      await Promise.race([woken, pause(waitMs, signal)])
    }
  }

  #begin(row: TaskRow, fence: TaskFence, signal: AbortSignal): void {
    const running = this.#do(row, fence, signal)
      .catch(async (error: unknown) => {
        if (!(error instanceof Interrupted))
          this.#logger.warn('a task is tried again', { task: row.taskId, action: row.action, error })
        await pause(RETRY_MS, signal)
      })
      .finally(() => {
        this.#running.delete(row.taskId)
        this.#wake()
      })
    this.#running.set(row.taskId, running)
  }

  async #do(row: TaskRow, fence: TaskFence, signal: AbortSignal): Promise<void> {
    const write = async (change: Omit<Parameters<typeof updateTask>[2], 'taskId'>): Promise<void> => {
      if (signal.aborted || !(await updateTask(this.#database, fence, { taskId: row.taskId, ...change }))) throw new Interrupted()
    }
    const ends = (status: 'complete' | 'failed'): { status: typeof status; timestampMs: number } => ({
      status,
      timestampMs: this.#clock.nowMs(),
    })
    if (row.status === 'scheduled') await write({ status: 'active', timestampMs: this.#clock.nowMs() })
    const work = this.#works.get(row.action)
    try {
      const result = await work?.({
        taskId: row.taskId,
        resourceId: row.resourceId ?? '',
        timestampMs: row.timestampMs,
        params: parseObject(row.params),
        progress: parseObject(row.progress),
        signal,
        save: (progress, known) =>
          write({ progress: JSON.stringify(progress), ...(known === undefined ? {} : { result: JSON.stringify(known) }) }),
      })
      await write({ ...ends('complete'), ...(result === undefined ? {} : { result: JSON.stringify(result) }) })
    } catch (error) {
      if (error instanceof Interrupted || signal.aborted || isConnectionLost(error)) throw error
      if (!(error instanceof MatrixError)) this.#logger.error('a task failed', { task: row.taskId, action: row.action, error })
      await write({ ...ends('failed'), error: error instanceof Error ? error.message : String(error) })
    }
  }
}

function parseObject(text: string): JsonObject {
  const value: unknown = JSON.parse(text)
  return isJsonObject(value) ? value : {}
}
