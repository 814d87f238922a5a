import { MatrixError } from '../../../protocol/errors.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/**
 * Makes a token that logs in once on a further device. Errors: M_UNRECOGNIZED where it is switched off. Spec:
 * login_token.yaml.
 */
export const generateLoginToken = clientEndpoint({
  operationId: 'generateLoginToken',
  method: 'POST',
  path: '/_matrix/client/v1/login/get_token',
  group: 'login',
  auth: 'user',
  body: Type.Object({ auth: Type.Optional(Type.Unknown()) }),
  isBodyOptional: true,
  async handler({ body, requester, request }, context) {
    const options = context.config.registration.loginViaExistingSession
    if (!options.enabled) throw new MatrixError('M_UNRECOGNIZED', 'Logging in further devices by token is disabled')
    if (options.requireUiAuth) {
      await context.interactiveAuth.requireOwner(requester, { method: request.method, url: request.url, auth: body.auth })
    }
    const { token, expiresInMs } = await context.login.makeLoginToken(requester)
    return { login_token: token, expires_in_ms: expiresInMs }
  },
})
