import { jsonResponse, OwnResponse } from '../../../http/endpoint.ts'
import { invalidParam } from '../../../protocol/errors.ts'
import { parseUserId } from '../../../protocol/ids.ts'
import type { AccountDetails } from '../../../services/accounts/admin-accounts.ts'
import { USER_ORDERS } from '../../../storage/tables/admin-users.ts'
import type { AdminUserRow, UserOrder } from '../../../storage/tables/admin-users.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'

const V1 = '/_synapse/admin/v1'
const V2 = '/_synapse/admin/v2'
const LIMIT_MAX = 10_000
const TEXT_CHARACTERS_MAX = 1000
const LIST_MAX = 100
export const userParams = Type.Object({ userId: Type.String() })
const text = Type.String({ maxLength: TEXT_CHARACTERS_MAX })
const orNull = <T extends ReturnType<typeof Type.String> | ReturnType<typeof Type.Boolean>>(type: T) =>
  Type.Optional(Type.Union([type, Type.Null()]))
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const listQuery = Type.Object({
  from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }),
  limit: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 100 }),
  user_id: Type.Optional(text),
  name: Type.Optional(text),
  guests: Type.Boolean({ default: true }),
  admins: Type.Optional(Type.Boolean()),
  deactivated: Type.Optional(Type.Boolean()),
  locked: Type.Boolean({ default: false }),
  order_by: Type.Union(
    Object.keys(USER_ORDERS).map((order) => Type.Literal(order)),
    { default: 'name' },
  ),
  dir: Type.Union([Type.Literal('b'), Type.Literal('f')], { default: 'f' }),
  not_user_type: Type.Optional(Type.Union([text, Type.Array(text, { maxItems: LIST_MAX })])),
})

const list = ({ version, operationId }: { version: 'v2' | 'v3'; operationId: string }) =>
  clientEndpoint({
    operationId,
    method: 'GET',
    path: `/_synapse/admin/${version}/users`,
    group: 'admin',
    auth: 'admin',
    query: listQuery,
    async handler({ query }, ctx) {
      const { from } = query
      const limit = Math.min(query.limit, LIMIT_MAX)
      // The second version includes closed accounts or not, the third asks for either or both.
      const isDeactivated = version === 'v2' ? (query.deactivated === true ? undefined : false) : query.deactivated
      const filter = {
        userId: query.name === undefined ? query.user_id : undefined,
        name: query.name,
        isGuest: query.guests ? undefined : false,
        isAdmin: query.admins,
        isDeactivated,
        isLocked: query.locked ? undefined : false,
        notUserTypes: [query.not_user_type ?? []].flat(),
      }
      const page = { orderBy: query.order_by as UserOrder, isReversed: query.dir === 'b', offset: from, limit }
      const { users, total } = await ctx.adminAccounts.getPage(filter, page)
      const next = from + users.length
      return { users: users.map(userJson), total, ...(next < total && users.length > 0 ? { next_token: String(next) } : {}) }
    },
  })

/** Lists accounts. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/user_admin_api.md. */
export const listUsers = list({ version: 'v2', operationId: 'admin.listUsers' })
/** Lists accounts, closed ones or not. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse. */
export const listUsersV3 = list({ version: 'v3', operationId: 'admin.listUsersV3' })

/** Shows an account. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const getUserAccount = clientEndpoint({
  operationId: 'admin.getUser',
  method: 'GET',
  path: `${V2}/users/:userId`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  handler: async ({ params: { userId } }, ctx) => detailsJson(await ctx.adminAccounts.getDetails(parseUserId(userId))),
})

/** Makes an account (201) or changes one. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON, M_WEAK_PASSWORD, M_UNKNOWN. As Synapse. */
export const putUserAccount = clientEndpoint({
  operationId: 'admin.putUser',
  method: 'PUT',
  path: `${V2}/users/:userId`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({
    password: orNull(Type.String({ maxLength: 512 })),
    logout_devices: Type.Optional(Type.Boolean()),
    displayname: orNull(text),
    avatar_url: orNull(text),
    threepids: Type.Optional(Type.Array(Type.Object({ medium: text, address: text }), { maxItems: LIST_MAX })),
    external_ids: Type.Optional(Type.Array(Type.Object({ auth_provider: text, external_id: text }), { maxItems: LIST_MAX })),
    admin: Type.Optional(Type.Boolean()),
    deactivated: Type.Optional(Type.Boolean()),
    locked: Type.Optional(Type.Boolean()),
    suspended: Type.Optional(Type.Boolean()),
    user_type: orNull(text),
  }),
  async handler({ params, body, requester }, ctx) {
    const userId = parseUserId(params.userId)
    const isNew = await ctx.adminAccounts.put(requester, userId, {
      password: body.password ?? undefined,
      logoutDevices: body.logout_devices,
      displayName: body.displayname ?? undefined,
      avatarUrl: body.avatar_url ?? undefined,
      threepids: body.threepids?.map(({ medium, address }) => ({ medium, address: canonicalAddress(medium, address) })),
      externalIds: body.external_ids?.map((id) => ({ authProvider: id.auth_provider, externalId: id.external_id })),
      isAdmin: body.admin,
      isDeactivated: body.deactivated,
      isLocked: body.locked,
      isSuspended: body.suspended,
      userType: body.user_type,
    })
    const json = detailsJson(await ctx.adminAccounts.getDetails(userId))
    return isNew ? new OwnResponse(jsonResponse(json, 201)) : json
  },
})

/** Closes an account. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const deactivateUserAccount = clientEndpoint({
  operationId: 'admin.deactivateUser',
  method: 'POST',
  path: `${V1}/deactivate/:userId`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ erase: Type.Optional(Type.Boolean()) }),
  isBodyOptional: true,
  async handler({ params, body }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const isUnbound = await ctx.threepids.unbindAll(userId)
    await ctx.accounts.deactivate(userId, { isErased: body.erase === true })
    return { id_server_unbind_result: isUnbound ? 'success' : 'no-support' }
  },
})

/** Sets a password. Errors: M_FORBIDDEN, M_NOT_FOUND, M_WEAK_PASSWORD, M_BAD_JSON. As Synapse. */
export const resetUserPassword = clientEndpoint({
  operationId: 'admin.resetPassword',
  method: 'POST',
  path: `${V1}/reset_password/:userId`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ new_password: Type.String({ maxLength: 512 }), logout_devices: Type.Optional(Type.Boolean()) }),
  async handler({ params, body, requester }, ctx) {
    await ctx.adminAccounts.resetPassword(requester, parseUserId(params.userId), body.new_password, body.logout_devices ?? true)
    return {}
  },
})

/** Tells whether a user is an administrator. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getUserIsAdmin = clientEndpoint({
  operationId: 'admin.getUserAdmin',
  method: 'GET',
  path: `${V1}/users/:userId/admin`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  handler: async ({ params }, ctx) => ({ admin: (await ctx.adminAccounts.get(parseUserId(params.userId))).isAdmin }),
})

/** Makes a user an administrator, or not. Errors: M_FORBIDDEN, M_NOT_FOUND, M_UNKNOWN, M_BAD_JSON. As Synapse. */
export const putUserIsAdmin = clientEndpoint({
  operationId: 'admin.putUserAdmin',
  method: 'PUT',
  path: `${V1}/users/:userId/admin`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ admin: Type.Boolean() }),
  async handler({ params, body, requester }, ctx) {
    await ctx.adminAccounts.setAdmin(requester, parseUserId(params.userId), body.admin)
    return {}
  },
})

/** Tells whether a name is free, open registration or not. Errors: M_FORBIDDEN, M_USER_IN_USE, M_INVALID_USERNAME. As Synapse. */
export const getUsernameAvailable = clientEndpoint({
  operationId: 'admin.usernameAvailable',
  method: 'GET',
  path: `${V1}/username_available`,
  group: 'admin',
  auth: 'admin',
  query: Type.Object({ username: text }),
  async handler({ query }, ctx) {
    await ctx.registration.assertFree(query.username)
    return { available: true }
  },
})

/** Finds accounts by a part of their ids. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse, of old. */
export const searchUsers = clientEndpoint({
  operationId: 'admin.searchUsers',
  method: 'GET',
  path: `${V1}/search_users/:userId`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  query: Type.Object({ term: text, limit: Type.Optional(count) }),
  async handler({ query }, ctx) {
    if (query.term === '') throw invalidParam('term must not be empty')
    const anybody = {
      name: undefined,
      isGuest: undefined,
      isAdmin: undefined,
      isDeactivated: undefined,
      isLocked: undefined,
      notUserTypes: [],
    }
    const page = { orderBy: 'name', isReversed: false, offset: 0, limit: Math.min(query.limit ?? LIST_MAX, LIMIT_MAX) } as const
    return (await ctx.adminAccounts.getPage({ ...anybody, userId: query.term }, page)).users.map(userJson)
  },
})

/** As addresses are compared. */
export function canonicalAddress(medium: string, address: string): string {
  if (medium !== 'email' && medium !== 'msisdn') throw invalidParam(`There is no medium ${medium}`)
  return medium === 'email' ? address.toLowerCase() : address
}

function userJson(user: AdminUserRow): Record<string, unknown> {
  return {
    name: user.userId,
    is_guest: user.isGuest,
    admin: user.isAdmin,
    user_type: user.userType,
    deactivated: user.isDeactivated,
    erased: user.isErased,
    shadow_banned: user.isShadowBanned,
    displayname: user.displayName,
    avatar_url: user.avatarUrl,
    creation_ts: user.createdTsMs,
    last_seen_ts: user.lastSeenTsMs,
    locked: user.isLocked,
    approved: true,
  }
}

/** Of one account Synapse tells the time of its creation in seconds. */
function detailsJson({ user, threepids, externalIds }: AccountDetails): Record<string, unknown> {
  return {
    ...userJson(user),
    creation_ts: Math.floor(user.createdTsMs / 1000),
    threepids: threepids.map((one) => ({
      medium: one.medium,
      address: one.address,
      validated_at: one.validatedTsMs,
      added_at: one.addedTsMs,
    })),
    external_ids: externalIds.map((one) => ({ auth_provider: one.authProvider, external_id: one.externalId })),
    appservice_id: user.appserviceId,
    suspended: user.isSuspended,
    consent_server_notice_sent: null,
    consent_version: null,
    consent_ts: null,
  }
}
