import { invalidParam } from '../../../protocol/errors.ts'
import type { DeviceId, UserId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Requester } from '../../../services/accounts/requester.ts'
import type { ClaimedKey, KeyClaim } from '../../../storage/tables/one-time-keys.ts'
import { parseSyncToken } from '../../../streams/sync-token.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const BODY_BYTES_MAX = 1024 * 1024
const timeout = Type.Optional(Type.Integer())

/** The device of the access token. Throws M_INVALID_PARAM where it has none. */
function deviceOf(requester: Requester): { userId: UserId; deviceId: DeviceId } {
  if (requester.deviceId === undefined) throw invalidParam('To upload keys, you must use an access token of a device')
  return { userId: requester.userId, deviceId: requester.deviceId }
}

/**
 * Stores identity, one-time and fallback keys of the device. Idempotent. Errors: M_BAD_JSON, M_INVALID_PARAM. Spec: keys.yaml.
 */
export const uploadKeys = clientEndpoint({
  operationId: 'uploadKeys',
  method: 'POST',
  path: '/_matrix/client/v3/keys/upload',
  otherPaths: ['/_matrix/client/unstable/keys/upload'],
  group: 'encryption',
  auth: 'guest',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({}),
  async handler({ body, requester }, ctx) {
    return { one_time_key_counts: await ctx.deviceKeys.upload(deviceOf(requester), body as JsonObject) }
  },
})

/** Returns device and cross-signing keys of users. Errors: M_BAD_JSON. Spec: keys.yaml. */
export const queryKeys = clientEndpoint({
  operationId: 'queryKeys',
  method: 'POST',
  path: '/_matrix/client/v3/keys/query',
  otherPaths: ['/_matrix/client/unstable/keys/query'],
  group: 'encryption',
  auth: 'guest',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({ timeout, device_keys: Type.Object({}, { additionalProperties: Type.Array(Type.String()) }) }),
  async handler({ body, requester }, ctx) {
    const wanted = new Map(Object.entries(body.device_keys as Record<string, string[]>))
    return ctx.keyQuery.query(requester.userId, wanted, body.timeout)
  },
})

/** Hands out a one-time key, or the fallback key, of each device named. Errors: M_BAD_JSON. Spec: keys.yaml. */
export const claimKeys = clientEndpoint({
  operationId: 'claimKeys',
  method: 'POST',
  path: '/_matrix/client/v3/keys/claim',
  otherPaths: ['/_matrix/client/unstable/keys/claim'],
  group: 'encryption',
  auth: 'guest',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({
    timeout,
    one_time_keys: Type.Object({}, { additionalProperties: Type.Object({}, { additionalProperties: Type.String() }) }),
  }),
  async handler({ body }, ctx) {
    const claims = listClaims(body.one_time_keys as Record<string, Record<string, string>>)
    const { keys, failures } = await ctx.deviceKeys.claimAnywhere(claims, body.timeout)
    return { one_time_keys: nestKeys(keys), failures }
  },
})

/** Reads a request for one-time keys. */
export function listClaims(wanted: Record<string, Record<string, string>>): KeyClaim[] {
  return Object.entries(wanted).flatMap(([userId, devices]) =>
    Object.entries(devices)
      // Such names are nobody's; PostgreSQL would refuse them.
      .filter((entry) => ![userId, ...entry].some((text) => text.includes('\u0000')))
      .map(([deviceId, algorithm]) => ({ userId: userId as UserId, deviceId: deviceId as DeviceId, algorithm })),
  )
}

/** Writes claimed keys by user and device. */
export function nestKeys(keys: readonly ClaimedKey[]): Record<string, Record<string, JsonObject>> {
  const byUser = new Map<string, [string, JsonObject][]>()
  for (const { userId, deviceId, algorithm, keyId, keyJson } of keys) {
    const devices = byUser.get(userId) ?? []
    devices.push([deviceId, { [`${algorithm}:${keyId}`]: JSON.parse(keyJson) }])
    byUser.set(userId, devices)
  }
  return Object.fromEntries([...byUser].map(([userId, devices]) => [userId, Object.fromEntries(devices)]))
}

/**
 * Lists users whose keys changed, and users who left, since a sync token. Errors: M_MISSING_PARAM, M_INVALID_PARAM. Spec:
 * keys.yaml.
 */
export const getKeysChanges = clientEndpoint({
  operationId: 'getKeysChanges',
  method: 'GET',
  path: '/_matrix/client/v3/keys/changes',
  otherPaths: ['/_matrix/client/unstable/keys/changes'],
  group: 'encryption',
  auth: 'guest',
  query: Type.Object({ from: Type.String(), to: Type.String() }),
  async handler({ query, requester }, ctx) {
    const from = parseSyncToken(query.from)
    // A hint only: changes after `to` may be told too.
    parseSyncToken(query.to)
    return ctx.deviceLists.getChangesSince({ userId: requester.userId, after: from.deviceLists, eventsAfter: from.events })
  },
})
