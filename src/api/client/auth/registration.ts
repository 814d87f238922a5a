import { operationPath } from '../../../services/accounts/interactive-auth.ts'
import type { Registered } from '../../../services/accounts/registration.ts'
import { Type } from '../../../util/schema.ts'
import { accessTokenOf, clientEndpoint } from '../client-endpoint.ts'
import { DEVICE_FIELDS, readDevice, sessionResponse } from './session-response.ts'

/**
 * Makes an account after user-interactive authentication, or a guest account. Errors: M_USER_IN_USE, M_INVALID_USERNAME,
 * M_WEAK_PASSWORD, M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN, M_LIMIT_EXCEEDED. Spec: registration.yaml.
 */
export const register = clientEndpoint({
  operationId: 'register',
  method: 'POST',
  path: '/_matrix/client/v3/register',
  group: 'login',
  auth: 'none',
  query: Type.Object({ kind: Type.Union([Type.Literal('user'), Type.Literal('guest')], { default: 'user' }) }),
  body: Type.Object({
    auth: Type.Optional(Type.Unknown()),
    username: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    password: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    inhibit_login: Type.Optional(Type.Boolean()),
    type: Type.Optional(Type.String()),
    ...DEVICE_FIELDS,
  }),
  isBodyOptional: true,
  async handler({ query, body, request }, context) {
    if (query.kind === 'guest') {
      const displayName = body.initial_device_display_name ?? undefined
      return registeredResponse(await context.registration.registerGuest({ displayName, remoteAddress: request.remoteAddress }))
    }
    if (body.type === 'm.login.application_service') {
      const wanted = {
        username: body.username ?? undefined,
        device: readDevice(body),
        inhibitsLogin: body.inhibit_login ?? false,
      }
      return registeredResponse(await context.appserviceAccounts.register(accessTokenOf(request), wanted))
    }
    return registeredResponse(
      await context.registration.register({
        username: body.username ?? undefined,
        password: body.password ?? undefined,
        device: readDevice(body),
        inhibitsLogin: body.inhibit_login ?? false,
        auth: body.auth,
        method: request.method,
        path: operationPath(request.url),
        remoteAddress: request.remoteAddress,
      }),
    )
  },
})

function registeredResponse({ userId, session }: Registered): Record<string, unknown> {
  return session ? sessionResponse(session) : { user_id: userId }
}

/** Tells whether a user name is free. Errors: M_USER_IN_USE, M_INVALID_USERNAME, M_FORBIDDEN. Spec: registration.yaml. */
export const checkUsernameAvailability = clientEndpoint({
  operationId: 'checkUsernameAvailability',
  method: 'GET',
  path: '/_matrix/client/v3/register/available',
  group: 'login',
  auth: 'none',
  query: Type.Object({ username: Type.String() }),
  async handler({ query, request }, context) {
    await context.registration.checkAvailable(query.username, request.remoteAddress)
    return { available: true }
  },
})
