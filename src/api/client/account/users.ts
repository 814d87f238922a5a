import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Finds users by id and name. Errors: M_LIMIT_EXCEEDED. Spec: users.yaml. */
export const searchUserDirectory = clientEndpoint({
  operationId: 'searchUserDirectory',
  method: 'POST',
  path: '/_matrix/client/v3/user_directory/search',
  group: 'user_directory',
  auth: 'user',
  body: Type.Object({ search_term: Type.String(), limit: Type.Optional(Type.Integer()) }),
  async handler({ body, requester }, ctx) {
    if (requester.isRateLimited)
      await ctx.rateLimiter.consume(`user_directory ${requester.userId}`, ctx.config.ratelimits.rcUserDirectory)
    return ctx.userDirectory.search(requester.userId, { term: body.search_term, limit: body.limit })
  },
})
