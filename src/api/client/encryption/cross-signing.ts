import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const BODY_BYTES_MAX = 1024 * 1024
const key = Type.Optional(Type.Union([Type.Object({}), Type.Null()]))

/**
 * Stores the user's cross-signing keys; asks for user-interactive authentication where keys are there already and differ
 * (MSC3967).
 * Idempotent. Errors: M_INVALID_PARAM, M_INVALID_SIGNATURE, M_MISSING_PARAM, M_FORBIDDEN. Spec: cross_signing.yaml.
 */
export const uploadCrossSigningKeys = clientEndpoint({
  operationId: 'uploadCrossSigningKeys',
  method: 'POST',
  path: '/_matrix/client/v3/keys/device_signing/upload',
  otherPaths: ['/_matrix/client/unstable/keys/device_signing/upload'],
  group: 'encryption',
  auth: 'user',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({ master_key: key, self_signing_key: key, user_signing_key: key, auth: Type.Optional(Type.Unknown()) }),
  async handler({ body, requester, request }, ctx) {
    await ctx.crossSigning.upload(requester.userId, body as JsonObject, () =>
      ctx.interactiveAuth.requireOwner(requester, { method: request.method, url: request.url, auth: body.auth }),
    )
    return {}
  },
})

/**
 * Stores signatures on keys; says in `failures` what is wrong with the others. Idempotent. Errors: M_BAD_JSON. Spec:
 * cross_signing.yaml.
 */
export const uploadCrossSigningSignatures = clientEndpoint({
  operationId: 'uploadCrossSigningSignatures',
  method: 'POST',
  path: '/_matrix/client/v3/keys/signatures/upload',
  otherPaths: ['/_matrix/client/unstable/keys/signatures/upload'],
  group: 'encryption',
  auth: 'guest',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({}, { additionalProperties: Type.Object({}, { additionalProperties: Type.Object({}) }) }),
  async handler({ body, requester }, ctx) {
    return { failures: await ctx.signatureUpload.upload(requester.userId, body as JsonObject) }
  },
})
