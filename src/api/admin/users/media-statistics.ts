import { invalidParam } from '../../../protocol/errors.ts'
import { MEDIA_USER_ORDERS } from '../../../storage/tables/media-statistics.ts'
import type { MediaUserOrder } from '../../../storage/tables/media-statistics.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'

const LIMIT_MAX = 1000
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** Tells how much each user has uploaded. Errors: M_FORBIDDEN, M_INVALID_PARAM. Source: Synapse docs/admin_api/statistics.md. */
export const getUserMediaStatistics = clientEndpoint({
  operationId: 'admin.getUserMediaStatistics',
  method: 'GET',
  path: '/_synapse/admin/v1/statistics/users/media',
  group: 'admin',
  auth: 'admin',
  query: Type.Object({
    from: Type.Optional(count),
    limit: Type.Optional(count),
    order_by: Type.Union(
      Object.keys(MEDIA_USER_ORDERS).map((order) => Type.Literal(order)),
      { default: 'user_id' },
    ),
    dir: Type.Union([Type.Literal('b'), Type.Literal('f')], { default: 'f' }),
    from_ts: Type.Optional(count),
    until_ts: Type.Optional(count),
    search_term: Type.Optional(Type.String()),
  }),
  async handler({ query }, ctx) {
    const { from = 0, limit = 100, from_ts: fromMs = 0, until_ts: untilMs, search_term: term } = query
    if (term === '') throw invalidParam('Query parameter search_term cannot be an empty string.')
    if (untilMs !== undefined && untilMs <= fromMs) throw invalidParam('Query parameter until_ts must be greater than from_ts.')
    const { users, total } = await ctx.accountFacts.getMediaUsers(
      { fromMs, untilMs, term },
      {
        orderBy: query.order_by as MediaUserOrder,
        isReversed: query.dir === 'b',
        offset: from,
        limit: Math.min(limit, LIMIT_MAX),
      },
    )
    const next = from + users.length
    return {
      users: users.map((user) => ({
        user_id: user.userId,
        displayname: user.displayName,
        media_count: user.mediaCount,
        media_length: user.totalBytes,
      })),
      total,
      ...(users.length > 0 && next < total ? { next_token: next } : {}),
    }
  },
})
