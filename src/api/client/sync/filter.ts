import { SerializedJson } from '../../../http/endpoint.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { parseOwnUserId } from '../own-user.ts'

/** Stores a filter; the same filter has the same id. Errors: M_FORBIDDEN, M_BAD_JSON. Spec: filter.yaml. */
export const defineFilter = clientEndpoint({
  operationId: 'defineFilter',
  method: 'POST',
  path: '/_matrix/client/v3/user/:userId/filter',
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ userId: Type.String() }),
  body: Type.Object({}),
  async handler({ params, body, requester }, ctx) {
    return { filter_id: await ctx.filters.define(parseOwnUserId(params.userId, requester), body) }
  },
})

/** Reads a filter as it was posted. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: filter.yaml. */
export const getFilter = clientEndpoint({
  operationId: 'getFilter',
  method: 'GET',
  path: '/_matrix/client/v3/user/:userId/filter/:filterId',
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ userId: Type.String(), filterId: Type.String() }),
  async handler({ params, requester }, ctx) {
    const json = await ctx.filters.getJson(parseOwnUserId(params.userId, requester), params.filterId)
    if (json === undefined) throw new MatrixError('M_NOT_FOUND', 'No such filter')
    return new SerializedJson(json)
  },
})
