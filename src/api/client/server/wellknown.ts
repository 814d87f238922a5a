import { MatrixError } from '../../../protocol/errors.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Tells clients where the server is, when an admin set `public_baseurl`. Errors: M_NOT_FOUND. Spec: wellknown.yaml (client). */
export const getWellknown = clientEndpoint({
  operationId: 'getWellknown',
  method: 'GET',
  path: '/.well-known/matrix/client',
  group: 'server',
  auth: 'none',
  async handler(_input, { config }) {
    const { server, registration } = config
    if (!server.servesClientWellKnown) throw new MatrixError('M_NOT_FOUND', '.well-known not available')
    const identityServer = registration.defaultIdentityServer
    return {
      ...server.extraWellKnownClientContent,
      'm.homeserver': { base_url: server.publicBaseUrl },
      ...(identityServer === undefined ? {} : { 'm.identity_server': { base_url: identityServer } }),
    }
  },
})

/** Tells other servers to come to port 443, with `serve_server_wellknown`. Errors: M_NOT_FOUND. Spec: wellknown.yaml (server). */
export const getWellKnown = clientEndpoint({
  operationId: 'getWellKnown',
  method: 'GET',
  path: '/.well-known/matrix/server',
  group: 'server',
  auth: 'none',
  async handler(_input, { config }) {
    const { serverName, serveServerWellknown } = config.server
    if (!serveServerWellknown) throw new MatrixError('M_NOT_FOUND', '.well-known not available')
    return { 'm.server': /:[0-9]+$/.test(serverName) ? serverName : `${serverName}:443` }
  },
})
