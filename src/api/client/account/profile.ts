import { SerializedJson } from '../../../http/endpoint.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import { parseUserId } from '../../../protocol/ids.ts'
import type { JsonValue } from '../../../protocol/json.ts'
import { checkFieldName } from '../../../services/user-data/profile-rules.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const PATH = '/_matrix/client/v3/profile/:userId'
/** Where MSC4133 stood while it was unstable. */
const FIELD_PATHS_UNSTABLE = ['/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName']
const fieldParams = Type.Object({ userId: Type.String(), keyName: Type.String() })

/** Reads a whole profile. Errors: M_NOT_FOUND, M_FORBIDDEN. Spec: profile.yaml. */
export const getUserProfile = clientEndpoint({
  operationId: 'getUserProfile',
  method: 'GET',
  path: PATH,
  group: 'client_reads',
  auth: 'optional',
  params: Type.Object({ userId: Type.String() }),
  async handler({ params, requester }, ctx) {
    return new SerializedJson(await ctx.profiles.getJson(requester, parseUserId(params.userId)))
  },
})

/** Reads one field of a profile. Errors: M_NOT_FOUND, M_FORBIDDEN, M_INVALID_PARAM. Spec: profile.yaml. */
export const getProfileField = clientEndpoint({
  operationId: 'getProfileField',
  method: 'GET',
  path: `${PATH}/:keyName`,
  otherPaths: FIELD_PATHS_UNSTABLE,
  group: 'client_reads',
  auth: 'optional',
  params: fieldParams,
  async handler({ params, requester }, ctx) {
    return new SerializedJson(await ctx.profiles.getFieldJson(requester, parseUserId(params.userId), params.keyName))
  },
})

/** Sets one field of a profile. Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_PROFILE_TOO_LARGE, M_KEY_TOO_LARGE, M_FORBIDDEN. Spec: profile.yaml. */
export const setProfileField = clientEndpoint({
  operationId: 'setProfileField',
  method: 'PUT',
  path: `${PATH}/:keyName`,
  otherPaths: FIELD_PATHS_UNSTABLE,
  group: 'account',
  auth: 'guest',
  params: fieldParams,
  body: Type.Object({}),
  async handler({ params, body, requester }, ctx) {
    checkFieldName(params.keyName)
    if (!Object.hasOwn(body, params.keyName)) throw new MatrixError('M_MISSING_PARAM', `Missing parameter: ${params.keyName}`)
    const value = (body as Readonly<Record<string, JsonValue>>)[params.keyName] ?? null
    await ctx.profiles.setField(requester, parseUserId(params.userId), params.keyName, value)
    return {}
  },
})

/** Takes one field of a profile away. Idempotent. Errors: M_INVALID_PARAM, M_FORBIDDEN. Spec: profile.yaml. */
export const deleteProfileField = clientEndpoint({
  operationId: 'deleteProfileField',
  method: 'DELETE',
  path: `${PATH}/:keyName`,
  otherPaths: FIELD_PATHS_UNSTABLE,
  group: 'account',
  auth: 'guest',
  params: fieldParams,
  async handler({ params, requester }, ctx) {
    await ctx.profiles.deleteField(requester, parseUserId(params.userId), params.keyName)
    return {}
  },
})
