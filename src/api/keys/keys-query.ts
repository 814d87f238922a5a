import { Type } from '../../util/schema.ts'
import { parseServerName } from '../../protocol/ids.ts'
import type { NotaryQuestion } from '../../services/federation/key-notary.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const Timestamp = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** Tells another server's keys, signed by us. Errors: M_INVALID_PARAM. Spec: keys_query.yaml. */
export const perspectivesKeyQuery = clientEndpoint({
  operationId: 'perspectivesKeyQuery',
  method: 'GET',
  path: '/_matrix/key/v2/query/:serverName',
  // Historical; the key id narrows the answer.
  otherPaths: ['/_matrix/key/v2/query/:serverName/:keyId'],
  resource: 'keys',
  group: 'keys',
  auth: 'none',
  params: Type.Object({ serverName: Type.String(), keyId: Type.Optional(Type.String()) }),
  query: Type.Object({ minimum_valid_until_ts: Type.Optional(Timestamp) }),
  async handler({ params, query }, { keyNotary }) {
    const minTsMs = query.minimum_valid_until_ts
    const question: NotaryQuestion = {
      serverName: parseServerName(params.serverName),
      minValidUntilTsMs: new Map(params.keyId === undefined ? [] : [[params.keyId, minTsMs]]),
      ...(minTsMs === undefined ? {} : { minValidUntilTsMsOfAll: minTsMs }),
    }
    return { server_keys: await keyNotary.query([question]) }
  },
})

/** The same for several servers at once. Errors: M_INVALID_PARAM, M_BAD_JSON. Spec: keys_query.yaml. */
export const bulkPerspectivesKeyQuery = clientEndpoint({
  operationId: 'bulkPerspectivesKeyQuery',
  method: 'POST',
  path: '/_matrix/key/v2/query',
  resource: 'keys',
  group: 'keys',
  auth: 'none',
  body: Type.Object({
    server_keys: Type.Record(
      Type.String(),
      Type.Record(Type.String(), Type.Object({ minimum_valid_until_ts: Type.Optional(Timestamp) })),
    ),
  }),
  async handler({ body }, { keyNotary }) {
    const questions = Object.entries(body.server_keys).map(([serverName, keys]) => ({
      serverName: parseServerName(serverName),
      minValidUntilTsMs: new Map(Object.entries(keys).map(([keyId, criteria]) => [keyId, criteria.minimum_valid_until_ts])),
    }))
    return { server_keys: await keyNotary.query(questions) }
  },
})
