import { MatrixError } from '../../../protocol/errors.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const PATH = '/_matrix/client/v3/thirdparty'

// Third-party networks are what application services bridge to; without any, there is nothing to find.
function nothingFound(): never {
  throw new MatrixError('M_NOT_FOUND', 'No third-party network knows this')
}

/** Lists the third-party networks that are bridged. Spec: third_party_lookup.yaml. */
export const getProtocols = clientEndpoint({
  operationId: 'getProtocols',
  method: 'GET',
  path: `${PATH}/protocols`,
  group: 'client_reads',
  auth: 'user',
  async handler() {
    return {}
  },
})

/** Describes a third-party network. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const getProtocolMetadata = clientEndpoint({
  operationId: 'getProtocolMetadata',
  method: 'GET',
  path: `${PATH}/protocol/:protocol`,
  group: 'client_reads',
  auth: 'user',
  handler: async () => nothingFound(),
})

/** Finds the rooms of a place in a third-party network. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryLocationByProtocol = clientEndpoint({
  operationId: 'queryLocationByProtocol',
  method: 'GET',
  path: `${PATH}/location/:protocol`,
  group: 'client_reads',
  auth: 'user',
  handler: async () => nothingFound(),
})

/** Finds the users behind one of a third-party network. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryUserByProtocol = clientEndpoint({
  operationId: 'queryUserByProtocol',
  method: 'GET',
  path: `${PATH}/user/:protocol`,
  group: 'client_reads',
  auth: 'user',
  handler: async () => nothingFound(),
})

/** Finds the places in third-party networks that an alias stands for. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryLocationByAlias = clientEndpoint({
  operationId: 'queryLocationByAlias',
  method: 'GET',
  path: `${PATH}/location`,
  group: 'client_reads',
  auth: 'user',
  query: Type.Object({ alias: Type.String() }),
  handler: async () => nothingFound(),
})

/** Finds the third-party users that a user stands for. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryUserByID = clientEndpoint({
  operationId: 'queryUserByID',
  method: 'GET',
  path: `${PATH}/user`,
  group: 'client_reads',
  auth: 'user',
  query: Type.Object({ userid: Type.String() }),
  handler: async () => nothingFound(),
})
