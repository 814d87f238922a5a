import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'
import { sessionResponse } from '../client/auth/session-response.ts'

const PATH = '/_synapse/admin/v1/register'

/** Makes a nonce for registration with the shared secret. Source: Synapse's docs/admin_api/register_api.md. */
export const getRegistrationNonce = clientEndpoint({
  operationId: 'admin.getRegistrationNonce',
  method: 'GET',
  path: PATH,
  group: 'admin',
  auth: 'none',
  async handler(_input, context) {
    return { nonce: await context.sharedSecretRegistration.makeNonce() }
  },
})

/**
 * Makes an account for whoever knows the shared secret. Errors: M_FORBIDDEN for a wrong MAC, M_UNKNOWN (400) for a used nonce,
 * M_BAD_JSON, M_INVALID_USERNAME, M_USER_IN_USE. Source: Synapse's docs/admin_api/register_api.md.
 */
export const registerWithSharedSecret = clientEndpoint({
  operationId: 'admin.registerWithSharedSecret',
  method: 'POST',
  path: PATH,
  group: 'admin',
  auth: 'none',
  body: Type.Object({}),
  async handler({ body }, context) {
    const { userId, session } = await context.sharedSecretRegistration.register(body)
    return session ? sessionResponse(session) : { user_id: userId }
  },
})
