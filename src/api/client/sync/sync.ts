import { SerializedJson } from '../../../http/endpoint.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { Filter } from '../../../protocol/filters/filter.ts'
import type { UserId } from '../../../protocol/ids.ts'
import { parseSyncToken } from '../../../streams/sync-token.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'

/** Tells what happened since a token, and waits for it. Errors: M_INVALID_PARAM. Spec: sync.yaml. */
export const sync = clientEndpoint({
  operationId: 'sync',
  method: 'GET',
  path: '/_matrix/client/v3/sync',
  group: 'sync',
  auth: 'guest',
  query: Type.Object({
    filter: Type.Optional(Type.String({ maxLength: 65_536 })),
    since: Type.Optional(Type.String({ maxLength: 1000 })),
    full_state: Type.Optional(Type.Boolean()),
    set_presence: Type.Optional(Type.Union([Type.Literal('online'), Type.Literal('offline'), Type.Literal('unavailable')])),
    timeout: Type.Optional(Type.Integer({ minimum: 0 })),
    use_state_after: Type.Optional(Type.Boolean()),
    'org.matrix.msc4222.use_state_after': Type.Optional(Type.Boolean()),
  }),
  async handler({ query, requester, request }, context) {
    return new SerializedJson(
      await context.sync.sync({
        requester,
        since: query.since === undefined || query.since === '' ? undefined : parseSyncToken(query.since),
        filter: await readFilter(query.filter, requester.userId, context),
        timeoutMs: query.timeout ?? 0,
        isFullState: query.full_state ?? false,
        usesStateAfter: query.use_state_after ?? query['org.matrix.msc4222.use_state_after'] ?? false,
        setPresence: query.set_presence ?? 'online',
        signal: request.signal,
      }),
    )
  },
})

/** A filter is given as JSON or by the id of a stored one. */
async function readFilter(text: string | undefined, userId: UserId, context: ClientContext): Promise<Filter> {
  if (text === undefined || text.startsWith('{')) return context.filters.getInline(text ?? '{}')
  const filter = await context.filters.get(userId, text)
  if (!filter) throw new MatrixError('M_INVALID_PARAM', 'No such filter')
  return filter
}
