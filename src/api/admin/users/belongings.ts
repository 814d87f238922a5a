import { jsonResponse, OwnResponse } from '../../../http/endpoint.ts'
import { parseDeviceId, parseUserId } from '../../../protocol/ids.ts'
import type { JsonValue } from '../../../protocol/json.ts'
import type { AccountDataItem } from '../../../services/user-data/account-data.ts'
import type { DeviceRow } from '../../../storage/tables/devices.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'
import { userParams } from './accounts.ts'

const USER = '/_synapse/admin/v1/users/:userId'
const DEVICES = '/_synapse/admin/v2/users/:userId/devices'
const DEVICES_MAX = 1000
const deviceParams = Type.Object({ userId: Type.String(), deviceId: Type.String() })
const since = Type.Object({ from_ts: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }) })

/** Lists the rooms that a user is in, of another server too. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/user_admin_api.md. */
export const getUserJoinedRooms = clientEndpoint({
  operationId: 'admin.getJoinedRooms',
  method: 'GET',
  path: `${USER}/joined_rooms`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  async handler({ params }, ctx) {
    const rooms = await ctx.memberships.getJoinedRooms(parseUserId(params.userId))
    return { joined_rooms: rooms, total: rooms.length }
  },
})

/** Lists the rooms that a user is or was in. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse. */
export const getUserMemberships = clientEndpoint({
  operationId: 'admin.getMemberships',
  method: 'GET',
  path: `${USER}/memberships`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  async handler({ params }, ctx) {
    const memberships = await ctx.accountFacts.getMemberships(parseUserId(params.userId))
    return { memberships: Object.fromEntries(memberships.map(({ roomId, membership }) => [roomId, membership])) }
  },
})

/** Counts the invites that a user has sent since a time. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const getUserInviteCount = clientEndpoint({
  operationId: 'admin.getSentInviteCount',
  method: 'GET',
  path: `${USER}/sent_invite_count`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  query: since,
  async handler({ params, query }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    return { invite_count: await ctx.accountFacts.countInvites(userId, query.from_ts) }
  },
})

/** Counts the rooms that a user has joined since a time. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const getUserJoinCount = clientEndpoint({
  operationId: 'admin.getCumulativeJoinedRoomCount',
  method: 'GET',
  path: `${USER}/cumulative_joined_room_count`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  query: since,
  async handler({ params, query }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    return { cumulative_joined_room_count: await ctx.accountFacts.countJoins(userId, query.from_ts) }
  },
})

/** Shows a user's account data. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getUserAccountData = clientEndpoint({
  operationId: 'admin.getAccountData',
  method: 'GET',
  path: `${USER}/accountdata`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  async handler({ params }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const { global, rooms } = await ctx.accountData.getAll(userId)
    const byRoom = [...rooms].map(([roomId, items]) => [roomId, accountDataJson(items)] as const)
    return { account_data: { global: accountDataJson(global), rooms: Object.fromEntries(byRoom) } }
  },
})

/** Lists a user's pushers. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getUserPushers = clientEndpoint({
  operationId: 'admin.getPushers',
  method: 'GET',
  path: `${USER}/pushers`,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  async handler({ params }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const pushers = (await ctx.pushers.getOfUser(userId)).map((pusher) => ({
      app_display_name: pusher.appDisplayName,
      app_id: pusher.appId,
      data: JSON.parse(pusher.dataJson) as JsonValue,
      device_display_name: pusher.deviceDisplayName,
      kind: pusher.kind,
      lang: pusher.lang,
      profile_tag: pusher.profileTag,
      pushkey: pusher.pushkey,
    }))
    return { pushers, total: pushers.length }
  },
})

/** Lists a user's devices. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getUserDevices = clientEndpoint({
  operationId: 'admin.getDevices',
  method: 'GET',
  path: DEVICES,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  async handler({ params }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const devices = (await ctx.devices.getAll(userId)).map((device) => deviceJson(userId, device))
    return { devices, total: devices.length }
  },
})

/** Makes a device without a login (201). Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON. As Synapse. */
export const createUserDevice = clientEndpoint({
  operationId: 'admin.createDevice',
  method: 'POST',
  path: DEVICES,
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ device_id: Type.String() }),
  async handler({ params, body }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    const device = { userId, deviceId: parseDeviceId(body.device_id), displayName: undefined, createdTsMs: ctx.clock.nowMs() }
    await ctx.devices.create(device)
    return new OwnResponse(jsonResponse({}, 201))
  },
})

/** Shows a device. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getUserDevice = clientEndpoint({
  operationId: 'admin.getDevice',
  method: 'GET',
  path: `${DEVICES}/:deviceId`,
  group: 'admin',
  auth: 'admin',
  params: deviceParams,
  async handler({ params }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    return deviceJson(userId, await ctx.devices.get(userId, parseDeviceId(params.deviceId)))
  },
})

/** Renames a device. Errors: M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE. As Synapse. */
export const putUserDevice = clientEndpoint({
  operationId: 'admin.putDevice',
  method: 'PUT',
  path: `${DEVICES}/:deviceId`,
  group: 'admin',
  auth: 'admin',
  params: deviceParams,
  body: Type.Object({ display_name: Type.Optional(Type.String()) }),
  isBodyOptional: true,
  async handler({ params, body }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    await ctx.devices.rename(userId, parseDeviceId(params.deviceId), body.display_name)
    return {}
  },
})

/** Deletes a device with its tokens and keys. Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const deleteUserDevice = clientEndpoint({
  operationId: 'admin.deleteDevice',
  method: 'DELETE',
  path: `${DEVICES}/:deviceId`,
  group: 'admin',
  auth: 'admin',
  params: deviceParams,
  async handler({ params }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    await ctx.devices.delete(userId, [parseDeviceId(params.deviceId)])
    return {}
  },
})

/** Deletes several devices. Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON. As Synapse. */
export const deleteUserDevices = clientEndpoint({
  operationId: 'admin.deleteDevices',
  method: 'POST',
  path: '/_synapse/admin/v2/users/:userId/delete_devices',
  group: 'admin',
  auth: 'admin',
  params: userParams,
  body: Type.Object({ devices: Type.Array(Type.String(), { maxItems: DEVICES_MAX }) }),
  async handler({ params, body }, ctx) {
    const { userId } = await ctx.adminAccounts.get(parseUserId(params.userId))
    await ctx.devices.delete(userId, body.devices.map(parseDeviceId))
    return {}
  },
})

function deviceJson(userId: string, device: DeviceRow): Record<string, unknown> {
  return {
    device_id: device.deviceId,
    display_name: device.displayName,
    last_seen_ip: device.lastSeenIp,
    last_seen_ts: device.lastSeenTsMs,
    last_seen_user_agent: device.lastSeenUserAgent,
    user_id: userId,
    dehydrated: false,
  }
}

function accountDataJson(items: readonly AccountDataItem[]): Record<string, unknown> {
  return Object.fromEntries(items.map(({ type, contentJson }) => [type, JSON.parse(contentJson) as unknown]))
}
