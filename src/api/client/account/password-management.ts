import { MatrixError } from '../../../protocol/errors.ts'
import type { HttpRequest } from '../../../http/endpoint.ts'
import { operationPath } from '../../../services/accounts/interactive-auth.ts'
import { describePolicy } from '../../../services/accounts/password-policy.ts'
import { EMAIL_STAGE, MSISDN_STAGE, provenIn } from '../../../services/accounts/threepid-validation.ts'
import type { ProvenThreepid } from '../../../services/accounts/threepid-validation.ts'
import { assert } from '../../../util/assert.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'

/**
 * Sets a new password after confirmation: by the old one, or, without a token, by a proven address of the account. Errors:
 * M_WEAK_PASSWORD, M_FORBIDDEN, M_THREEPID_NOT_FOUND. Spec: password_management.yaml.
 */
export const changePassword = clientEndpoint({
  operationId: 'changePassword',
  method: 'POST',
  path: '/_matrix/client/v3/account/password',
  group: 'account',
  auth: 'optional',
  body: Type.Object({
    new_password: Type.Optional(Type.String()),
    logout_devices: Type.Optional(Type.Boolean()),
    auth: Type.Optional(Type.Unknown()),
  }),
  async handler({ body, requester, request }, context) {
    const { enabled, localdbEnabled } = context.config.registration.passwordConfig
    if (enabled === false || !localdbEnabled) throw new MatrixError('M_FORBIDDEN', 'Password change disabled')
    if (requester?.isGuest) throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 'Guest access not allowed')
    const { accounts, interactiveAuth } = context
    if (body.new_password !== undefined) accounts.checkPassword(body.new_password)
    const logoutDevices = body.logout_devices ?? true
    if (requester) {
      await interactiveAuth.requireOwner(requester, { method: request.method, url: request.url, auth: body.auth })
      await accounts.changePassword(requester, requirePassword(body.new_password), { logoutDevices })
    } else {
      const { sessionId, proven } = await proveAddress(context, request, body.auth)
      await accounts.resetPassword(proven, requirePassword(body.new_password), { logoutDevices })
      if (sessionId !== undefined) await interactiveAuth.end(sessionId)
    }
    return {}
  },
})

/** Has who lost the password prove an address. Throws InteractiveAuthRequired until that is done. */
async function proveAddress(
  { interactiveAuth, threepidValidation }: ClientContext,
  request: HttpRequest,
  auth: unknown,
): Promise<{ sessionId: string | undefined; proven: ProvenThreepid }> {
  const { verifies } = threepidValidation
  const flows = [...(verifies.email ? [[EMAIL_STAGE]] : []), ...(verifies.msisdn ? [[MSISDN_STAGE]] : [])]
  if (flows.length === 0) throw new MatrixError('M_MISSING_TOKEN', 'Missing access token')
  const { sessionId, completed } = await interactiveAuth.confirm({
    method: request.method,
    path: operationPath(request.url),
    userId: undefined,
    flows,
    checks: threepidValidation.stages('password_reset'),
    auth,
  })
  const [proven] = provenIn(completed)
  assert(proven, 'each flow proves an address')
  return { sessionId, proven }
}

function requirePassword(password: string | undefined): string {
  if (password === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: new_password')
  return password
}

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
