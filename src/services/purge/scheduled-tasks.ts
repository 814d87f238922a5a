import type { JsonObject } from '../../protocol/json.ts'
import type { ControlMessage, Transport } from '../../replication/transport.ts'
import type { Database } from '../../storage/database.ts'
import { cancelScheduledTasks, getTask, getTasks, insertTask } from '../../storage/tables/scheduled-tasks.ts'
import type { TaskFilter, TaskRow } from '../../storage/tables/scheduled-tasks.ts'
import type { Clock } from '../../util/clock.ts'
import { pause } from '../../util/pause.ts'
import type { Random } from '../../util/random.ts'

const WAKE = 'tasks_wake'
const ID_LETTERS = 16
const WAIT_FIRST_MS = 20
const WAIT_MAX_MS = 500

/** Work to be done. */
export interface NewTask {
  readonly action: string
  readonly resourceId?: string | undefined
  readonly params: JsonObject
  /** When it may begin; now by default. */
  readonly atMs?: number | undefined
  /** Not where a task of these actions waits or runs on the resource. */
  readonly excludes?: readonly string[]
}

/**
 * Work that outlives the request that asks for it: written down by any process, done by the one that has the role (TaskRunner), and
 * looked up by any.
 */
export class ScheduledTasks {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #transport: Pick<Transport, 'publishControl' | 'onControl'>
  readonly #wakers: (() => void)[] = []

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    transport: Pick<Transport, 'publishControl' | 'onControl'>
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#transport = deps.transport
    deps.transport.onControl((message: ControlMessage) => {
      if (message.kind === WAKE) this.#wakeHere()
    })
  }

  /** Registers who is told that there is something to do. A hint: it may get lost. */
  onWake(waker: () => void): void {
    this.#wakers.push(waker)
  }

  #wakeHere(): void {
    for (const waker of this.#wakers) waker()
  }

  /** Tells whoever does tasks that there is something to do. */
  wake(): void {
    this.#wakeHere()
    this.#transport.publishControl({ kind: WAKE })
  }

  /** Writes a task down and returns its id; undefined where one that it excludes is there already. */
  async schedule(task: NewTask): Promise<string | undefined> {
    const taskId = this.#random.letters(ID_LETTERS)
    const isIn = await this.#database.transaction('schedule_task', (tx) =>
      insertTask(tx, {
        taskId,
        action: task.action,
        timestampMs: task.atMs ?? this.#clock.nowMs(),
        resourceId: task.resourceId ?? null,
        params: JSON.stringify(task.params),
        excludes: task.excludes ?? [],
      }),
    )
    if (!isIn) return undefined
    this.wake()
    return taskId
  }

  get(taskId: string): Promise<TaskRow | undefined> {
    return getTask(this.#database, taskId)
  }

  /** Lists tasks, the oldest first. */
  list(filter: TaskFilter): Promise<TaskRow[]> {
    return getTasks(this.#database, filter)
  }

  /** Takes back what has not begun. */
  async cancel(key: { readonly action: string; readonly resourceId: string }): Promise<void> {
    await cancelScheduledTasks(this.#database, key)
  }

  /** Settles when the task has ended, or the signal is aborted; with what then stands. */
  async waitForEnd(taskId: string, signal: AbortSignal): Promise<TaskRow | undefined> {
    for (let waitMs = WAIT_FIRST_MS; ; waitMs = Math.min(WAIT_MAX_MS, waitMs * 2)) {
      const task = await this.get(taskId)
      if (!task || (task.status !== 'scheduled' && task.status !== 'active') || signal.aborted) return task
      await pause(waitMs, signal)
    }
  }
}
