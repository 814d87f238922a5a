import { SerializedJson } from '../../http/endpoint.ts'
import type { JsonValue } from '../../protocol/json.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Spec: server-server-api § Transactions. */
const PDUS_MAX = 50
const EDUS_MAX = 100
/** Events and EDUs of 64 kB each, and some white space. */
const BODY_BYTES_MAX = 12 * 1024 * 1024
const TXN_ID_CHARACTERS_MAX = 255

/** Takes events and EDUs; idempotent by origin and transaction id. Errors: M_BAD_JSON, M_LIMIT_EXCEEDED. Spec: transactions.yaml. */
export const sendTransaction = federationEndpoint({
  operationId: 'sendTransaction',
  method: 'PUT',
  path: '/_matrix/federation/v1/send/:txnId',
  group: 'federation_send',
  auth: 'signed',
  bodyBytesMax: BODY_BYTES_MAX,
  params: Type.Object({ txnId: Type.String({ maxLength: TXN_ID_CHARACTERS_MAX }) }),
  body: Type.Object({
    pdus: Type.Optional(Type.Array(Type.Unknown(), { maxItems: PDUS_MAX })),
    edus: Type.Optional(Type.Array(Type.Unknown(), { maxItems: EDUS_MAX })),
  }),
  async handler({ params, body, origin }, ctx) {
    const { pdus = [], edus = [] } = body as { pdus?: JsonValue[]; edus?: JsonValue[] }
    return new SerializedJson(await ctx.transactionReceiver.receive({ origin, txnId: params.txnId, pdus, edus }))
  },
})
