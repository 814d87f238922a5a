import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsToRedact, getMembershipsOfAccount } from '../../storage/tables/admin-users.ts'
import { internalRequester } from '../accounts/internal-requester.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventCreator } from '../events/event-creator.ts'
import type { ScheduledTasks } from './scheduled-tasks.ts'
import type { RunningTask } from './task-runner.ts'

/** As Synapse names it. */
export const REDACT_EVENTS = 'redact_all_events'
const LIMIT_DEFAULT = 1000
const PAGE_EVENTS = 100

/** What is to be redacted. */
export interface UserRedaction {
  /** All of the user's where it is empty. */
  readonly rooms: readonly string[]
  readonly reason: string | undefined
  /** Events for each room at the most. */
  readonly limit: number | undefined
  /** The administrator redacts, not the user. */
  readonly isByAdmin: boolean
}

/** Redacts what a user has said, one event after the other, over restarts. As Synapse's docs/admin_api/user_admin_api.md. */
export class UserRedactions {
  readonly #database: Database
  readonly #tasks: ScheduledTasks
  readonly #events: Pick<EventCreator, 'redact'>
  readonly #serverName: ServerName

  constructor(deps: { database: Database; tasks: ScheduledTasks; events: Pick<EventCreator, 'redact'>; serverName: ServerName }) {
    this.#database = deps.database
    this.#tasks = deps.tasks
    this.#events = deps.events
    this.#serverName = deps.serverName
  }

  /** Begins and returns the task's id. Throws 400 M_UNKNOWN where one is under way. */
  async begin(requester: Requester, userId: UserId, redaction: UserRedaction): Promise<string> {
    const known = (await getMembershipsOfAccount(this.#database, userId)).map(({ roomId }) => roomId)
    const params = {
      requester: requester.userId,
      rooms: redaction.rooms.length > 0 ? [...redaction.rooms] : known,
      reason: redaction.reason ?? null,
      limit: redaction.limit ?? LIMIT_DEFAULT,
      // Who is of another server cannot redact here.
      use_admin: redaction.isByAdmin || serverNameOf(userId) !== this.#serverName,
    }
    const taskId = await this.#tasks.schedule({ action: REDACT_EVENTS, resourceId: userId, params, excludes: [REDACT_EVENTS] })
    if (taskId === undefined) throw new MatrixError('M_UNKNOWN', 'Redact already in progress for user', { status: 400 })
    return taskId
  }

  /** Tells how it goes. Throws M_NOT_FOUND. */
  async getStatus(taskId: string): Promise<JsonObject> {
    const task = await this.#tasks.get(taskId)
    if (task?.action !== REDACT_EVENTS) throw new MatrixError('M_NOT_FOUND', `redact id '${taskId}' not found`)
    const result: unknown = task.result === null ? {} : JSON.parse(task.result)
    const failed = isJsonObject(result) ? (result['failed_redactions'] ?? {}) : {}
    return {
      status: task.status,
      ...(task.status === 'complete' ? { failed_redactions: failed } : {}),
      ...(task.error === null ? {} : { error: task.error }),
    }
  }

  /** Does a redaction; what is redacted already is passed over. */
  async run(task: RunningTask): Promise<JsonObject> {
    const userId = task.resourceId as UserId
    const { params } = task
    const rooms = Array.isArray(params['rooms']) ? (params['rooms'] as RoomId[]) : []
    const limit = typeof params['limit'] === 'number' ? params['limit'] : LIMIT_DEFAULT
    const requester = internalRequester(params['use_admin'] === true ? (params['requester'] as UserId) : userId)
    const content = typeof params['reason'] === 'string' ? { reason: params['reason'] } : {}
    const failed: Record<string, string> = {}
    for (const roomId of rooms) {
      let before = Number.MAX_SAFE_INTEGER
      for (let count = 0; count < limit && !task.signal.aborted;) {
        const page = { userId, roomId, before, limit: Math.min(PAGE_EVENTS, limit - count) }
        const events = await getEventsToRedact(this.#database, page)
        for (const { eventId, position } of events) {
          if (task.signal.aborted) break
          before = position
          try {
            await this.#events.redact(requester, {
              roomId,
              eventId: eventId as EventId,
              content,
              transactionId: `${task.taskId} ${eventId}`,
            })
          } catch (error) {
            if (!(error instanceof MatrixError)) throw error
            failed[eventId] = error.message
          }
        }
        count += events.length
        if (events.length < page.limit) break
      }
      await task.save({}, { failed_redactions: failed })
    }
    return { failed_redactions: failed }
  }
}
