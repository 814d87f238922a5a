import { Type } from '../../util/schema.ts'
import { listClaims, nestKeys } from '../client/encryption/keys.ts'
import { federationEndpoint } from './federation-endpoint.ts'

const BODY_BYTES_MAX = 1024 * 1024

/** Hands out a one-time key, or the fallback key, of each device named. Errors: M_BAD_JSON. Spec: user_keys.yaml. */
export const claimUserEncryptionKeys = federationEndpoint({
  operationId: 'claimUserEncryptionKeys',
  method: 'POST',
  path: '/_matrix/federation/v1/user/keys/claim',
  group: 'federation_reads',
  auth: 'signed',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({
    one_time_keys: Type.Object({}, { additionalProperties: Type.Object({}, { additionalProperties: Type.String() }) }),
  }),
  async handler({ body }, ctx) {
    const claims = listClaims(body.one_time_keys as Record<string, Record<string, string>>)
    return { one_time_keys: nestKeys(await ctx.deviceKeys.claim(claims)) }
  },
})

/** Gives device and cross-signing keys of our users. Errors: M_BAD_JSON. Spec: user_keys.yaml. */
export const queryUserEncryptionKeys = federationEndpoint({
  operationId: 'queryUserEncryptionKeys',
  method: 'POST',
  path: '/_matrix/federation/v1/user/keys/query',
  group: 'federation_reads',
  auth: 'signed',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({ device_keys: Type.Object({}, { additionalProperties: Type.Array(Type.String()) }) }),
  handler: ({ body }, ctx) => ctx.deviceServer.query(new Map(Object.entries(body.device_keys as Record<string, string[]>))),
})
