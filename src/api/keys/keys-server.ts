import { SerializedJson } from '../../http/endpoint.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

/** Publishes this server's signing keys. Spec: keys_server.yaml. */
export const getServerKey = clientEndpoint({
  operationId: 'getServerKey',
  method: 'GET',
  path: '/_matrix/key/v2/server',
  // Deprecated: the answer never depended on the key id.
  otherPaths: ['/_matrix/key/v2/server/:keyId'],
  resource: 'keys',
  group: 'keys',
  auth: 'none',
  async handler(_input, { ownKeys }) {
    return new SerializedJson(ownKeys.text())
  },
})
