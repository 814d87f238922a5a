import type { HttpRequest } from '../../../http/endpoint.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const PATH = '/_matrix/client/v3/thirdparty'

const byProtocol = Type.Object({ protocol: Type.String() })
/** Who asks is no business of the application service. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['access_token', 'user_id', 'device_id'])

/** What the client wants to know of a network: fields that only its application service understands. */
function fieldsOf({ query }: HttpRequest): (readonly [string, string])[] {
  return [...query].flatMap(([name, values]) => (OWN_FIELDS.has(name) ? [] : values.map((value) => [name, value] as const)))
}

/** Lists the third-party networks that are bridged. Spec: third_party_lookup.yaml. */
export const getProtocols = clientEndpoint({
  operationId: 'getProtocols',
  method: 'GET',
  path: `${PATH}/protocols`,
  group: 'client_reads',
  auth: 'user',
  handler: (_input, ctx) => ctx.appserviceQueries.getProtocols(),
})

/** Describes a third-party network. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const getProtocolMetadata = clientEndpoint({
  operationId: 'getProtocolMetadata',
  method: 'GET',
  path: `${PATH}/protocol/:protocol`,
  group: 'client_reads',
  auth: 'user',
  params: byProtocol,
  handler: ({ params }, ctx) => ctx.appserviceQueries.getProtocol(params.protocol),
})

/** Finds the rooms of a place in a third-party network. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryLocationByProtocol = clientEndpoint({
  operationId: 'queryLocationByProtocol',
  method: 'GET',
  path: `${PATH}/location/:protocol`,
  group: 'client_reads',
  auth: 'user',
  params: byProtocol,
  handler: ({ params, request }, ctx) => ctx.appserviceQueries.findInProtocol('location', params.protocol, fieldsOf(request)),
})

/** Finds the users behind one of a third-party network. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryUserByProtocol = clientEndpoint({
  operationId: 'queryUserByProtocol',
  method: 'GET',
  path: `${PATH}/user/:protocol`,
  group: 'client_reads',
  auth: 'user',
  params: byProtocol,
  handler: ({ params, request }, ctx) => ctx.appserviceQueries.findInProtocol('user', params.protocol, fieldsOf(request)),
})

/** Finds the places in third-party networks that an alias stands for. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryLocationByAlias = clientEndpoint({
  operationId: 'queryLocationByAlias',
  method: 'GET',
  path: `${PATH}/location`,
  group: 'client_reads',
  auth: 'user',
  query: Type.Object({ alias: Type.String() }),
  handler: ({ query }, ctx) => ctx.appserviceQueries.findBehind('location', [['alias', query.alias]]),
})

/** Finds the third-party users that a user stands for. Errors: M_NOT_FOUND. Spec: third_party_lookup.yaml. */
export const queryUserByID = clientEndpoint({
  operationId: 'queryUserByID',
  method: 'GET',
  path: `${PATH}/user`,
  group: 'client_reads',
  auth: 'user',
  query: Type.Object({ userid: Type.String() }),
  handler: ({ query }, ctx) => ctx.appserviceQueries.findBehind('user', [['userid', query.userid]]),
})
