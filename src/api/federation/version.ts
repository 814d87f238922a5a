import { readVersion } from '../../util/version.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const VERSION = readVersion()

/** Tells the name and the version of this server. Spec: version.yaml. */
export const getVersion = clientEndpoint({
  operationId: 'getVersion',
  method: 'GET',
  path: '/_matrix/federation/v1/version',
  resource: 'federation',
  group: 'federation_reads',
  auth: 'none',
  async handler() {
    return { server: { name: 'Ganglion', version: VERSION } }
  },
})
