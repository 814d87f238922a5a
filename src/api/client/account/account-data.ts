import { SerializedJson } from '../../../http/endpoint.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import type { AccountData } from '../../../services/user-data/account-data.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'
import { parseOwnUserId } from '../own-user.ts'

const GLOBAL_PATH = '/user/:userId/account_data/:type'
const ROOM_PATH = '/user/:userId/rooms/:roomId/account_data/:type'
/** Where MSC3391 stands while it is unstable. */
const UNSTABLE = '/_matrix/client/unstable/org.matrix.msc3391'

const globalParams = Type.Object({ userId: Type.String(), type: Type.String() })
const roomParams = Type.Object({ userId: Type.String(), roomId: Type.String(), type: Type.String() })
const content = Type.Object({})

/** Types that the server manages, and what changes them. */
const MANAGED_TYPES: Readonly<Record<string, string>> = {
  'm.fully_read': '/rooms/{roomId}/read_markers',
  'm.push_rules': '/pushrules',
}

function refuseManagedType(type: string): void {
  const way = Object.hasOwn(MANAGED_TYPES, type) ? MANAGED_TYPES[type] : undefined
  if (way !== undefined) throw new MatrixError('M_BAD_JSON', `Cannot set ${type} through this API. Use ${way}`, { status: 405 })
}

/** Stores an item; with MSC3391 an empty one is taken away. */
async function store(ctx: ClientContext, item: Parameters<AccountData['delete']>[0], body: object): Promise<void> {
  if (ctx.config.experimental['msc3391_enabled'] === true && Object.keys(body).length === 0) await ctx.accountData.delete(item)
  else await ctx.accountData.set({ ...item, contentJson: JSON.stringify(body) })
}

/** Stores an item of the user's account data. Errors: M_FORBIDDEN, 405 M_BAD_JSON for types that the server manages. Spec: account-data.yaml. */
export const setAccountData = clientEndpoint({
  operationId: 'setAccountData',
  method: 'PUT',
  path: `/_matrix/client/v3${GLOBAL_PATH}`,
  group: 'account_data',
  auth: 'user',
  params: globalParams,
  body: content,
  async handler({ params, body, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    refuseManagedType(params.type)
    await store(ctx, { userId, roomId: undefined, type: params.type }, body)
    return {}
  },
})

/** Reads an item of the user's account data. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: account-data.yaml. */
export const getAccountData = clientEndpoint({
  operationId: 'getAccountData',
  method: 'GET',
  path: `/_matrix/client/v3${GLOBAL_PATH}`,
  group: 'account_data',
  auth: 'user',
  params: globalParams,
  async handler({ params, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    // Push rules have their own tables and their own service.
    const contentJson =
      params.type === 'm.push_rules'
        ? await ctx.pushRules.getAccountDataJson(userId)
        : await ctx.accountData.get(userId, params.type)
    if (contentJson === undefined) throw new MatrixError('M_NOT_FOUND', 'Account data not found')
    return new SerializedJson(contentJson)
  },
})

/** Removes an item of the user's account data. Idempotent. MSC3391. */
export const deleteAccountData = clientEndpoint({
  operationId: 'deleteAccountData',
  method: 'DELETE',
  path: `${UNSTABLE}${GLOBAL_PATH}`,
  group: 'account_data',
  auth: 'user',
  params: globalParams,
  async handler({ params, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    refuseManagedType(params.type)
    await ctx.accountData.delete({ userId, roomId: undefined, type: params.type })
    return {}
  },
})

/** Stores an item of a room's account data. Errors: M_FORBIDDEN, M_INVALID_PARAM, 405 M_BAD_JSON. Spec: account-data.yaml. */
export const setAccountDataPerRoom = clientEndpoint({
  operationId: 'setAccountDataPerRoom',
  method: 'PUT',
  path: `/_matrix/client/v3${ROOM_PATH}`,
  group: 'account_data',
  auth: 'user',
  params: roomParams,
  body: content,
  async handler({ params, body, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    const roomId = parseRoomId(params.roomId)
    refuseManagedType(params.type)
    await store(ctx, { userId, roomId, type: params.type }, body)
    return {}
  },
})

/** Reads an item of a room's account data. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND. Spec: account-data.yaml. */
export const getAccountDataPerRoom = clientEndpoint({
  operationId: 'getAccountDataPerRoom',
  method: 'GET',
  path: `/_matrix/client/v3${ROOM_PATH}`,
  group: 'account_data',
  auth: 'user',
  params: roomParams,
  async handler({ params, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    const contentJson = await ctx.accountData.getForRoom(userId, parseRoomId(params.roomId), params.type)
    if (contentJson === undefined) throw new MatrixError('M_NOT_FOUND', 'Room account data not found')
    return new SerializedJson(contentJson)
  },
})

/** Removes an item of a room's account data. Idempotent. MSC3391. */
export const deleteAccountDataPerRoom = clientEndpoint({
  operationId: 'deleteAccountDataPerRoom',
  method: 'DELETE',
  path: `${UNSTABLE}${ROOM_PATH}`,
  group: 'account_data',
  auth: 'user',
  params: roomParams,
  async handler({ params, requester }, ctx) {
    const userId = parseOwnUserId(params.userId, requester)
    const roomId = parseRoomId(params.roomId)
    refuseManagedType(params.type)
    await ctx.accountData.delete({ userId, roomId, type: params.type })
    return {}
  },
})
