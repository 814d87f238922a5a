import { clientEndpoint } from '../client/client-endpoint.ts'

/**
 * Tells how the processes of the server are and who does what: members, roles with their epochs, heads, lag, queues, versions. For
 * administrators. Errors: M_FORBIDDEN.
 */
export const getTopology = clientEndpoint({
  operationId: 'getTopology',
  method: 'GET',
  path: '/_synapse/admin/v1/topology',
  group: 'admin',
  auth: 'admin',
  handler: (_input, context) => context.topology.read(),
})
