import type { JsonObject } from '../../../protocol/json.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { HttpRequest } from '../../../http/endpoint.ts'
import { DELAYED_EVENT_ACTIONS } from '../../../services/delayed-events/delayed-events.ts'
import { Type } from '../../../util/schema.ts'
import { timestampQuery } from '../appservice/timestamp.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'

const PATH = '/_matrix/client/unstable/org.matrix.msc4140/delayed_events'
const DELAY = 'org.matrix.msc4140.delay'

/** The query of endpoints whose events may be sent later. MSC4140. */
export const sendingQuery = Type.Object({ ...timestampQuery.properties, [DELAY]: Type.Optional(Type.Integer()) })

/** The delay that is asked for, in milliseconds. */
export function delayOf(query: { readonly [DELAY]?: number }): number | undefined {
  return query[DELAY]
}

/** A request that is only repeated for its transaction id need not bring the content once more. */
export function isDelayed(request: HttpRequest): boolean {
  return request.query.has(DELAY)
}

/** Lists the user's events that wait. MSC4140. */
export const getDelayedEvents = clientEndpoint({
  operationId: 'getDelayedEvents',
  method: 'GET',
  path: PATH,
  group: 'delayed_events',
  auth: 'user',
  async handler({ requester }, ctx) {
    const waiting = await ctx.delayedEvents.getOfUser(requester.userId)
    return {
      delayed_events: waiting.map((row) => ({
        delay_id: row.delayId,
        room_id: row.roomId,
        type: row.type,
        ...(row.stateKey === null ? {} : { state_key: row.stateKey }),
        delay: row.delayMs,
        running_since: row.runningSinceMs,
        content: JSON.parse(row.contentJson) as JsonObject,
      })),
    }
  },
})

/** Cancels, restarts or sends an event that waits; its id is the right to. Errors: M_NOT_FOUND, M_LIMIT_EXCEEDED. MSC4140. */
export const updateDelayedEvent = clientEndpoint({
  operationId: 'updateDelayedEvent',
  method: 'POST',
  path: `${PATH}/:delayId/:action`,
  group: 'delayed_events',
  auth: 'none',
  params: Type.Object({ delayId: Type.String(), action: Type.String() }),
  body: Type.Object({}),
  isBodyOptional: true,
  handler: ({ params, request }, ctx) => manage(ctx, request, params.delayId, params.action),
})

/** Cancels, restarts or sends an event that waits, by an action in the body. Errors: M_NOT_FOUND, M_INVALID_PARAM, M_LIMIT_EXCEEDED. MSC4140, earlier. */
export const updateDelayedEventByBody = clientEndpoint({
  operationId: 'updateDelayedEventByBody',
  method: 'POST',
  path: `${PATH}/:delayId`,
  group: 'delayed_events',
  auth: 'none',
  params: Type.Object({ delayId: Type.String() }),
  body: Type.Object({ action: Type.Union(DELAYED_EVENT_ACTIONS.map((action) => Type.Literal(action))) }),
  handler: ({ params, body, request }, ctx) => manage(ctx, request, params.delayId, body.action),
})

async function manage(ctx: ClientContext, request: HttpRequest, delayId: string, name: string): Promise<object> {
  const action = DELAYED_EVENT_ACTIONS.find((known) => known === name)
  if (action === undefined) throw new MatrixError('M_NOT_FOUND', 'There is no such action')
  await ctx.rateLimiter.consume(`delayed_event_mgmt:${request.remoteAddress}`, ctx.config.ratelimits.rcDelayedEventMgmt)
  await ctx.delayedEvents.manage(delayId, action)
  return {}
}
