import { MatrixError, invalidParam } from '../../../protocol/errors.ts'
import { parseUserId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'
import { canonicalAddress, userParams } from './accounts.ts'

const V1 = '/_synapse/admin/v1'
const USER = `${V1}/users/:userId`
const limit = Type.Integer({ minimum: 0, maximum: 1_000_000 })

const shadowBan = ({ method, operationId }: { method: 'POST' | 'DELETE'; operationId: string }) =>
  clientEndpoint({
    operationId,
    method,
    path: `${USER}/shadow_ban`,
    group: 'admin',
    auth: 'admin',
    params: userParams,
    async handler({ params }, ctx) {
      const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
      await ctx.adminAccounts.setFlags(userId, { isShadowBanned: method === 'POST' })
      return {}
    },
  })

/** Lets a user write to nobody, and not know it. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/user_admin_api.md. */
export const shadowBanUser = shadowBan({ method: 'POST', operationId: 'admin.shadowBanUser' })
/** Ends it. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const unShadowBanUser = shadowBan({ method: 'DELETE', operationId: 'admin.unShadowBanUser' })

/** Suspends an account or ends the suspension. Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON. As Synapse. */
export const suspendUser = clientEndpoint({
  operationId: 'admin.suspendUser',
  method: 'PUT',
  path: `${V1}/suspend/:userId`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ suspend: Type.Boolean() }),
  async handler({ params, body }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    await ctx.adminAccounts.setFlags(userId, { isSuspended: body.suspend })
    return { [`user_${userId}_suspended`]: body.suspend }
  },
})

/** Shows the limits that a user has instead of the usual ones. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getUserRatelimit = clientEndpoint({
  operationId: 'admin.getRatelimit',
  method: 'GET',
  path: `${USER}/override_ratelimit`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  async handler({ params }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const override = await ctx.accountFacts.getRatelimit(userId)
    return override ? { messages_per_second: override.messagesPerSecond, burst_count: override.burstCount } : {}
  },
})

/** Gives a user other limits; none at 0. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON. As Synapse. */
export const setUserRatelimit = clientEndpoint({
  operationId: 'admin.setRatelimit',
  method: 'POST',
  path: `${USER}/override_ratelimit`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ messages_per_second: Type.Optional(limit), burst_count: Type.Optional(limit) }),
  async handler({ params, body }, ctx) {
    const { messages_per_second: messagesPerSecond = 0, burst_count: burstCount = 0 } = body
    await ctx.adminAccounts.setRatelimit(parseUserId(params.userId), { messagesPerSecond, burstCount })
    return { messages_per_second: messagesPerSecond, burst_count: burstCount }
  },
})

/** Gives a user the usual limits again. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const deleteUserRatelimit = clientEndpoint({
  operationId: 'admin.deleteRatelimit',
  method: 'DELETE',
  path: `${USER}/override_ratelimit`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  async handler({ params }, ctx) {
    await ctx.adminAccounts.setRatelimit(parseUserId(params.userId), undefined)
    return {}
  },
})

/** Makes a token to act as the user. Errors: M_FORBIDDEN, M_NOT_FOUND, M_UNKNOWN. As Synapse. */
export const logInAsUser = clientEndpoint({
  operationId: 'admin.loginAsUser',
  method: 'POST',
  path: `${USER}/login`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ valid_until_ms: Type.Optional(Type.Union([Type.Integer(), Type.Null()])) }),
  isBodyOptional: true,
  async handler({ params, body, requester }, ctx) {
    const untilMs = body.valid_until_ms ?? undefined
    return { access_token: await ctx.adminAccounts.logInAs(requester, parseUserId(params.userId), untilMs) }
  },
})

/** Lets a user replace the cross-signing keys without proof, for ten minutes. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const allowKeyReplacement = clientEndpoint({
  operationId: 'admin.allowCrossSigningReplacement',
  method: 'POST',
  path: `${USER}/_allow_cross_signing_replacement_without_uia`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({}),
  isBodyOptional: true,
  async handler({ params }, ctx) {
    const untilMs = await ctx.adminAccounts.allowKeyReplacement(parseUserId(params.userId))
    return { updatable_without_uia_before_ms: untilMs }
  },
})

/** Finds whose account at an identity provider it is. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const findUserByExternalId = clientEndpoint({
  operationId: 'admin.findUserByExternalId',
  method: 'GET',
  path: `${V1}/auth_providers/:provider/users/:externalId`,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ provider: Type.String(), externalId: Type.String() }),
  async handler({ params: { provider, externalId } }, ctx) {
    return { user_id: await ctx.adminAccounts.findByExternalId({ authProvider: provider, externalId }) }
  },
})

/** Finds whose address it is. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const findUserByThreepid = clientEndpoint({
  operationId: 'admin.findUserByThreepid',
  method: 'GET',
  path: `${V1}/threepid/:medium/users/:address`,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ medium: Type.String(), address: Type.String() }),
  async handler({ params: { medium, address } }, ctx) {
    const userId = await ctx.accountFacts.findByThreepid({ medium, address: canonicalAddress(medium, address) })
    if (userId === undefined) throw new MatrixError('M_NOT_FOUND', 'User not found')
    return { user_id: userId }
  },
})

/** Begins to redact what a user has said. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const redactUserEvents = clientEndpoint({
  operationId: 'admin.redactUserEvents',
  method: 'POST',
  path: `${V1}/user/:userId/redact`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({
    rooms: Type.Optional(Type.Array(Type.String(), { maxItems: 10_000 })),
    reason: Type.Optional(Type.String({ maxLength: 10_000 })),
    limit: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    use_admin: Type.Optional(Type.Boolean()),
  }),
  async handler({ params, body, requester }, ctx) {
    if (body.limit === 0) throw invalidParam('limit must be a positive integer')
    const redactId = await ctx.userRedactions.begin(requester, parseUserId(params.userId), {
      rooms: body.rooms ?? [],
      reason: body.reason,
      limit: body.limit,
      isByAdmin: body.use_admin ?? false,
    })
    return { redact_id: redactId }
  },
})

/** Tells how the redaction goes. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getRedactionStatus = clientEndpoint({
  operationId: 'admin.getRedactStatus',
  method: 'GET',
  path: `${V1}/user/redact_status/:redactId`,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ redactId: Type.String() }),
  handler: ({ params }, ctx) => ctx.userRedactions.getStatus(params.redactId),
})
