import { parseUserId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const PATH = '/_matrix/client/v3/presence/:userId/status'

/** Sets the user's presence and status message. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_LIMIT_EXCEEDED. Spec: presence.yaml. */
export const setPresence = clientEndpoint({
  operationId: 'setPresence',
  method: 'PUT',
  path: PATH,
  group: 'presence',
  auth: 'user',
  params: Type.Object({ userId: Type.String() }),
  body: Type.Object({
    presence: Type.Union([Type.Literal('online'), Type.Literal('offline'), Type.Literal('unavailable')]),
    status_msg: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  }),
  async handler({ params, body, requester }, ctx) {
    await ctx.presence.set(requester, {
      userId: parseUserId(params.userId),
      state: body.presence,
      statusMsg: body.status_msg ?? undefined,
    })
    return {}
  },
})

/** Reads the presence of a user who shares a room. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: presence.yaml. */
export const getPresence = clientEndpoint({
  operationId: 'getPresence',
  method: 'GET',
  path: PATH,
  group: 'presence',
  auth: 'user',
  params: Type.Object({ userId: Type.String() }),
  async handler({ params, requester }, ctx) {
    return ctx.presence.get(requester, parseUserId(params.userId))
  },
})
