import type { Queryable } from '../database.ts'

/** Table scheduled_tasks. Schema: migrations/0035-purging.sql. */

export const TASK_STATUSES = ['scheduled', 'active', 'complete', 'cancelled', 'failed'] as const
export type TaskStatus = (typeof TASK_STATUSES)[number]

/** Work that outlives the request and the process that began it. */
export interface TaskRow {
  readonly taskId: string
  readonly action: string
  readonly status: TaskStatus
  /** When it is to begin; later, when its status changed. */
  readonly timestampMs: number
  readonly resourceId: string | null
  /** JSON texts. */
  readonly params: string
  readonly progress: string
  readonly result: string | null
  readonly error: string | null
}

const COLUMNS = `task_id AS "taskId", action, status, timestamp_ms AS "timestampMs", resource_id AS "resourceId", params, progress, result, error`

/** Who may write: the holder of the role with this epoch. */
export interface TaskFence {
  readonly role: string
  readonly epoch: number
}

const FENCE = `EXISTS (SELECT 1 FROM role_lease WHERE role = $1 AND epoch = $2)`

/** Puts a task in. Without `isAllowedBesides`, not where another task of these actions waits or runs on the resource; says whether it did. */
export async function insertTask(
  tx: Queryable,
  task: Pick<TaskRow, 'taskId' | 'action' | 'timestampMs' | 'resourceId' | 'params'> & { readonly excludes: readonly string[] },
): Promise<boolean> {
  await tx.query('lock_task_resource', `SELECT pg_advisory_xact_lock(hashtextextended('task ' || $1, 0))`, [
    task.resourceId ?? '',
  ])
  const rows = await tx.query(
    'insert_task',
    `INSERT INTO scheduled_tasks (task_id, action, status, timestamp_ms, resource_id, params)
     SELECT $1, $2, 'scheduled', $3, $4, $5
      WHERE NOT EXISTS (SELECT 1 FROM scheduled_tasks WHERE resource_id = $4 AND action = ANY($6) AND status IN ('scheduled', 'active'))
     RETURNING 1`,
    [task.taskId, task.action, task.timestampMs, task.resourceId, task.params, task.excludes],
  )
  return rows.length > 0
}

/** Reads one task. */
export async function getTask(tx: Queryable, taskId: string): Promise<TaskRow | undefined> {
  const [row] = await tx.query<TaskRow>('get_task', `SELECT ${COLUMNS} FROM scheduled_tasks WHERE task_id = $1`, [taskId])
  return row
}

/** Which tasks; everything that is given must fit. */
export interface TaskFilter {
  readonly actions?: readonly string[] | undefined
  readonly resourceId?: string | undefined
  readonly statuses?: readonly string[] | undefined
  /** Only those with a smaller timestamp. */
  readonly beforeMs?: number | undefined
  readonly limit?: number | undefined
}

/** Reads tasks, the oldest first. */
export async function getTasks(tx: Queryable, filter: TaskFilter): Promise<TaskRow[]> {
  return tx.query<TaskRow>(
    'get_tasks',
    `SELECT ${COLUMNS} FROM scheduled_tasks
      WHERE ($1::text[] IS NULL OR action = ANY($1)) AND ($2::text IS NULL OR resource_id = $2) AND ($3::text[] IS NULL OR status = ANY($3))
        AND ($4::bigint IS NULL OR timestamp_ms < $4)
      ORDER BY timestamp_ms, task_id LIMIT $5`,
    [filter.actions ?? null, filter.resourceId ?? null, filter.statuses ?? null, filter.beforeMs ?? null, filter.limit ?? 10_000],
  )
}

/**
 * Reads tasks that are due: those that run, or did when their process died, and those whose time has come; of each resource the oldest.
 */
export async function getDueTasks(
  tx: Queryable,
  query: { readonly nowMs: number; readonly actions: readonly string[]; readonly limit: number },
): Promise<TaskRow[]> {
  return tx.query<TaskRow>(
    'get_due_tasks',
    `SELECT * FROM (
       SELECT DISTINCT ON (coalesce(resource_id, task_id)) ${COLUMNS} FROM scheduled_tasks
        WHERE action = ANY($2) AND (status = 'active' OR (status = 'scheduled' AND timestamp_ms <= $1))
        ORDER BY coalesce(resource_id, task_id), status, timestamp_ms, task_id) AS due
      ORDER BY status, "timestampMs" LIMIT $3`,
    [query.nowMs, query.actions, query.limit],
  )
}

/** Writes what a task has done. Returns false where another process has its role by now. */
export async function updateTask(
  tx: Queryable,
  fence: TaskFence,
  task: {
    readonly taskId: string
    readonly status?: TaskStatus
    readonly timestampMs?: number
    readonly progress?: string
    readonly result?: string
    readonly error?: string
  },
): Promise<boolean> {
  const rows = await tx.query(
    'update_task',
    `UPDATE scheduled_tasks SET status = coalesce($4, status), timestamp_ms = coalesce($5, timestamp_ms), progress = coalesce($6, progress),
            result = coalesce($7, result), error = coalesce($8, error)
      WHERE task_id = $3 AND ${FENCE} RETURNING 1`,
    [
      fence.role,
      fence.epoch,
      task.taskId,
      task.status ?? null,
      task.timestampMs ?? null,
      task.progress ?? null,
      task.result ?? null,
      task.error ?? null,
    ],
  )
  return rows.length > 0
}

/** Takes a task back that has not begun. */
export async function cancelScheduledTasks(
  tx: Queryable,
  key: { readonly action: string; readonly resourceId: string },
): Promise<void> {
  await tx.query(
    'cancel_scheduled_tasks',
    `DELETE FROM scheduled_tasks WHERE action = $1 AND resource_id = $2 AND status = 'scheduled'`,
    [key.action, key.resourceId],
  )
}

/** Deletes tasks that ended before a time. */
export async function deleteEndedTasks(tx: Queryable, beforeMs: number): Promise<void> {
  await tx.query(
    'delete_ended_tasks',
    `DELETE FROM scheduled_tasks WHERE status IN ('complete', 'failed', 'cancelled') AND timestamp_ms < $1`,
    [beforeMs],
  )
}
