import { MatrixError } from '../../protocol/errors.ts'
import { parseEventId, parseRoomId } from '../../protocol/ids.ts'
import type { PurgePoint } from '../../services/purge/history-purges.ts'
import { PURGE_HISTORY } from '../../services/purge/history-purges.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'
import type { ClientContext } from '../client/context.ts'

const PATH = '/_synapse/admin/v1/purge_history/:roomId'
const body = Type.Object({
  delete_local_events: Type.Optional(Type.Boolean()),
  purge_up_to_event_id: Type.Optional(Type.String()),
  purge_up_to_ts: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
})

/** Begins to purge a room's history up to an event or a time. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON, M_UNKNOWN. As Synapse: docs/admin_api/purge_history_api.md. */
export const purgeHistory = clientEndpoint({
  operationId: 'admin.purgeHistory',
  method: 'POST',
  path: PATH,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ roomId: Type.String() }),
  body,
  isBodyOptional: true,
  handler: ({ params, body: wish }, ctx) => begin(ctx, params.roomId, wish),
})

/** Begins to purge a room's history up to the event of the path. Errors: M_FORBIDDEN, M_NOT_FOUND, M_UNKNOWN. As Synapse. */
export const purgeHistoryToEvent = clientEndpoint({
  operationId: 'admin.purgeHistoryToEvent',
  method: 'POST',
  path: `${PATH}/:eventId`,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  body,
  isBodyOptional: true,
  handler: ({ params, body: wish }, ctx) => begin(ctx, params.roomId, { ...wish, purge_up_to_event_id: params.eventId }),
})

/** Tells how a purge goes. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getPurgeHistoryStatus = clientEndpoint({
  operationId: 'admin.getPurgeHistoryStatus',
  method: 'GET',
  path: '/_synapse/admin/v1/purge_history_status/:purgeId',
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ purgeId: Type.String() }),
  async handler({ params: { purgeId } }, ctx) {
    const task = await ctx.scheduledTasks.get(purgeId)
    if (task?.action !== PURGE_HISTORY) throw new MatrixError('M_NOT_FOUND', `purge id '${purgeId}' not found`)
    const isOver = task.status === 'complete' || task.status === 'failed'
    return { status: isOver ? task.status : 'active', ...(task.error === null ? {} : { error: task.error }) }
  },
})

async function begin(
  ctx: ClientContext,
  roomId: string,
  wish: { delete_local_events?: boolean; purge_up_to_event_id?: string; purge_up_to_ts?: number },
): Promise<{ purge_id: string }> {
  const options = { deletesLocal: wish.delete_local_events === true }
  return { purge_id: await ctx.historyPurges.begin(parseRoomId(roomId), pointOf(wish), options) }
}

function pointOf(wish: { purge_up_to_event_id?: string; purge_up_to_ts?: number }): PurgePoint {
  if (wish.purge_up_to_event_id !== undefined) return { eventId: parseEventId(wish.purge_up_to_event_id) }
  if (wish.purge_up_to_ts === undefined)
    throw new MatrixError('M_BAD_JSON', 'must specify purge_up_to_event_id or purge_up_to_ts')
  return { beforeMs: wish.purge_up_to_ts }
}
