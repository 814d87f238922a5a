import { MatrixError } from '../../protocol/errors.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Tells third parties whose OpenID token it is. Errors: M_MISSING_TOKEN, M_UNKNOWN_TOKEN. Spec: openid.yaml. */
export const exchangeOpenIdToken = federationEndpoint({
  operationId: 'exchangeOpenIdToken',
  method: 'GET',
  path: '/_matrix/federation/v1/openid/userinfo',
  resource: 'openid',
  group: 'federation_reads',
  auth: 'none',
  query: Type.Object({ access_token: Type.Optional(Type.String()) }),
  async handler({ query }, ctx) {
    if (query.access_token === undefined) throw new MatrixError('M_MISSING_TOKEN', 'Access token required')
    const userId = await ctx.openIdTokens.getOwner(query.access_token)
    if (userId === undefined) throw new MatrixError('M_UNKNOWN_TOKEN', 'Access token unknown or expired')
    return { sub: userId }
  },
})
