import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { parseOwnUserId } from '../own-user.ts'

/** Makes a token that proves to a third party who the requester is. Errors: M_FORBIDDEN. Spec: openid.yaml. */
export const requestOpenIdToken = clientEndpoint({
  operationId: 'requestOpenIdToken',
  method: 'POST',
  path: '/_matrix/client/v3/user/:userId/openid/request_token',
  group: 'account',
  auth: 'user',
  params: Type.Object({ userId: Type.String() }),
  body: Type.Object({}),
  isBodyOptional: true,
  handler({ params, requester }, context) {
    return context.openIdTokens.issue(parseOwnUserId(params.userId, requester))
  },
})
