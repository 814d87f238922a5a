import { MatrixError } from '../../../protocol/errors.ts'
import { describePolicy } from '../../../services/accounts/password-policy.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Sets a new password after confirmation. Errors: M_WEAK_PASSWORD, M_FORBIDDEN. Spec: password_management.yaml. */
export const changePassword = clientEndpoint({
  operationId: 'changePassword',
  method: 'POST',
  path: '/_matrix/client/v3/account/password',
  group: 'account',
  auth: 'user',
  body: Type.Object({
    new_password: Type.Optional(Type.String()),
    logout_devices: Type.Optional(Type.Boolean()),
    auth: Type.Optional(Type.Unknown()),
  }),
  async handler({ body, requester, request }, context) {
    const { enabled, localdbEnabled } = context.config.registration.passwordConfig
    if (enabled === false || !localdbEnabled) throw new MatrixError('M_FORBIDDEN', 'Password change disabled')
    if (body.new_password !== undefined) context.accounts.checkPassword(body.new_password)
    await context.interactiveAuth.requireOwner(requester, { method: request.method, url: request.url, auth: body.auth })
    if (body.new_password === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: new_password')
    await context.accounts.changePassword(requester, body.new_password, { logoutDevices: body.logout_devices ?? true })
    return {}
  },
})

/** Tells what passwords must have. Source: MSC2000, as Synapse serves it. */
export const getPasswordPolicy = clientEndpoint({
  operationId: 'getPasswordPolicy',
  method: 'GET',
  path: '/_matrix/client/v3/password_policy',
  group: 'account',
  auth: 'none',
  handler(_input, context) {
    return Promise.resolve(describePolicy(context.config.registration.passwordConfig.policy))
  },
})
