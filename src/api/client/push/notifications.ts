import { SerializedJson } from '../../../http/endpoint.ts'
import { viewerOf } from '../../../services/events/client-events.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Lists events of which the user was notified, newest first. Errors: M_INVALID_PARAM. Spec: notifications.yaml. */
export const getNotifications = clientEndpoint({
  operationId: 'getNotifications',
  method: 'GET',
  path: '/_matrix/client/v3/notifications',
  group: 'client_reads',
  auth: 'user',
  query: Type.Object({
    from: Type.Optional(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
    only: Type.Optional(Type.String()),
  }),
  async handler({ query, requester }, ctx) {
    return new SerializedJson(
      await ctx.notifications.list(viewerOf(requester), {
        from: query.from,
        limit: query.limit,
        onlyHighlights: query.only === 'highlight',
      }),
    )
  },
})
