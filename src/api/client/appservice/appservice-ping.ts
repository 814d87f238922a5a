import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/**
 * Lets an application service see whether we reach it. Errors: M_FORBIDDEN, M_URL_NOT_SET, M_BAD_STATUS, M_CONNECTION_FAILED,
 * M_CONNECTION_TIMEOUT. Spec: appservice_ping.yaml.
 */
export const pingAppservice = clientEndpoint({
  operationId: 'pingAppservice',
  method: 'POST',
  path: '/_matrix/client/v1/appservice/:appserviceId/ping',
  otherPaths: ['/_matrix/client/unstable/fi.mau.msc2659/appservice/:appserviceId/ping'],
  group: 'client_reads',
  auth: 'user',
  params: Type.Object({ appserviceId: Type.String() }),
  body: Type.Object({ transaction_id: Type.Optional(Type.String()) }),
  isBodyOptional: true,
  async handler({ params, body, requester }, ctx) {
    return { duration_ms: await ctx.appserviceQueries.ping(requester, params.appserviceId, body.transaction_id) }
  },
})
