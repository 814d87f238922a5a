import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** A room key for some hundred devices, one ciphertext each. */
const BODY_BYTES_MAX = 8 * 1024 * 1024

/**
 * Sends messages to devices. The same transaction id again sends nothing. Errors: M_BAD_JSON, M_TOO_LARGE. Spec: to_device.yaml.
 */
export const sendToDevice = clientEndpoint({
  operationId: 'sendToDevice',
  method: 'PUT',
  path: '/_matrix/client/v3/sendToDevice/:eventType/:txnId',
  otherPaths: ['/_matrix/client/unstable/sendToDevice/:eventType/:txnId'],
  group: 'to_device',
  auth: 'guest',
  bodyBytesMax: BODY_BYTES_MAX,
  params: Type.Object({ eventType: Type.String(), txnId: Type.String() }),
  body: Type.Object({
    messages: Type.Object({}, { additionalProperties: Type.Object({}, { additionalProperties: Type.Object({}) }) }),
  }),
  async handler({ params, body, requester }, ctx) {
    await ctx.toDevice.send({
      requester,
      eventType: params.eventType,
      txnId: params.txnId,
      messages: body.messages as JsonObject,
    })
    return {}
  },
})
