import { TASK_STATUSES } from '../../storage/tables/scheduled-tasks.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const status = Type.Optional(Type.Union(TASK_STATUSES.map((one) => Type.Literal(one))))

/** Lists work that outlives requests: deletions and purges, waiting, running and done. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/scheduled_tasks.md. */
export const listScheduledTasks = clientEndpoint({
  operationId: 'admin.listScheduledTasks',
  method: 'GET',
  path: '/_synapse/admin/v1/scheduled_tasks',
  group: 'admin',
  auth: 'admin',
  query: Type.Object({
    action_name: Type.Optional(Type.String()),
    resource_id: Type.Optional(Type.String()),
    status,
    // The name that Synapse had before.
    job_status: status,
    max_timestamp: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  }),
  async handler({ query }, ctx) {
    const wanted = query.status ?? query.job_status
    const tasks = await ctx.scheduledTasks.list({
      actions: query.action_name === undefined ? undefined : [query.action_name],
      resourceId: query.resource_id,
      statuses: wanted === undefined ? undefined : [wanted],
      beforeMs: query.max_timestamp,
    })
    return {
      scheduled_tasks: tasks.map((task) => ({
        id: task.taskId,
        action: task.action,
        status: task.status,
        timestamp_ms: task.timestampMs,
        resource_id: task.resourceId,
        result: task.result === null ? null : (JSON.parse(task.result) as unknown),
        error: task.error,
      })),
    }
  },
})
