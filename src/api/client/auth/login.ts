import type { Config } from '../../../config/config.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { accessTokenOf, clientEndpoint } from '../client-endpoint.ts'
import { DEVICE_FIELDS, readDevice, sessionResponse } from './session-response.ts'

/** Lists the ways to log in. Spec: login.yaml. */
export const getLoginFlows = clientEndpoint({
  operationId: 'getLoginFlows',
  method: 'GET',
  path: '/_matrix/client/v3/login',
  otherPaths: ['/_matrix/client/api/v1/login'],
  group: 'login',
  auth: 'none',
  async handler(_input, context) {
    return { flows: context.login.getFlows() }
  },
})

/** Logs in. Errors: M_FORBIDDEN, M_USER_LOCKED, M_USER_DEACTIVATED, M_UNKNOWN (400), M_LIMIT_EXCEEDED. Spec: login.yaml. */
export const login = clientEndpoint({
  operationId: 'login',
  method: 'POST',
  path: '/_matrix/client/v3/login',
  otherPaths: ['/_matrix/client/api/v1/login'],
  group: 'login',
  auth: 'none',
  body: Type.Object({ type: Type.String(), ...DEVICE_FIELDS }),
  async handler({ body, request }, context) {
    const credentials = body as unknown as JsonObject
    const session =
      body.type === 'm.login.application_service'
        ? await context.appserviceAccounts.login(accessTokenOf(request), credentials, readDevice(body))
        : await context.login.login(credentials, readDevice(body), request.remoteAddress)
    const wellKnown = wellKnownOf(context.config)
    return { ...sessionResponse(session), ...(wellKnown ? { well_known: wellKnown } : {}) }
  },
})

/** What `.well-known/matrix/client` says of the server, where an admin has given its URL. */
function wellKnownOf(config: Config): JsonObject | undefined {
  if (!config.server.servesClientWellKnown) return undefined
  const identityServer = config.registration.defaultIdentityServer
  return {
    'm.homeserver': { base_url: config.server.publicBaseUrl },
    ...(identityServer === undefined ? {} : { 'm.identity_server': { base_url: identityServer } }),
  }
}
