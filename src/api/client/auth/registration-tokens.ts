import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Tells whether a registration token may be used. Errors: M_FORBIDDEN, M_LIMIT_EXCEEDED. Spec: registration_tokens.yaml. */
export const registrationTokenValidity = clientEndpoint({
  operationId: 'registrationTokenValidity',
  method: 'GET',
  path: '/_matrix/client/v1/register/m.login.registration_token/validity',
  group: 'login',
  auth: 'none',
  query: Type.Object({ token: Type.String() }),
  async handler({ query, request }, context) {
    return { valid: await context.registration.isTokenValid(query.token, request.remoteAddress) }
  },
})
