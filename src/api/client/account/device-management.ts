import { jsonResponse, OwnResponse } from '../../../http/endpoint.ts'
import { parseDeviceId } from '../../../protocol/ids.ts'
import type { DeviceRow } from '../../../storage/tables/devices.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const DEVICES_MAX = 1000
const PATH = '/_matrix/client/v3/devices/:deviceId'
const params = Type.Object({ deviceId: Type.String() })

function deviceResponse(device: DeviceRow): Record<string, unknown> {
  return {
    device_id: device.deviceId,
    ...(device.displayName === null ? {} : { display_name: device.displayName }),
    ...(device.lastSeenIp === null ? {} : { last_seen_ip: device.lastSeenIp }),
    ...(device.lastSeenTsMs === null ? {} : { last_seen_ts: device.lastSeenTsMs }),
  }
}

/** Lists the requester's devices. Spec: device_management.yaml. */
export const getDevices = clientEndpoint({
  operationId: 'getDevices',
  method: 'GET',
  path: '/_matrix/client/v3/devices',
  group: 'devices',
  auth: 'guest',
  async handler({ requester }, context) {
    return { devices: (await context.devices.getAll(requester.userId)).map(deviceResponse) }
  },
})

/** Reads one of the requester's devices. Errors: M_NOT_FOUND. Spec: device_management.yaml. */
export const getDevice = clientEndpoint({
  operationId: 'getDevice',
  method: 'GET',
  path: PATH,
  group: 'devices',
  auth: 'guest',
  params,
  async handler({ params: { deviceId }, requester }, context) {
    return deviceResponse(await context.devices.get(requester.userId, parseDeviceId(deviceId)))
  },
})

/** Renames a device; application services that manage devices also make them so. Errors: M_NOT_FOUND, M_TOO_LARGE. Spec: device_management.yaml. */
export const updateDevice = clientEndpoint({
  operationId: 'updateDevice',
  method: 'PUT',
  path: PATH,
  group: 'devices',
  auth: 'guest',
  params,
  body: Type.Object({ display_name: Type.Optional(Type.Union([Type.String(), Type.Null()])) }),
  async handler({ params: { deviceId }, body, requester }, context) {
    const { userId, managesDevices } = requester
    const device = { userId, deviceId: parseDeviceId(deviceId), displayName: body.display_name ?? undefined }
    if (managesDevices === true && (await context.devices.create({ ...device, createdTsMs: context.clock.nowMs() })))
      return new OwnResponse(jsonResponse({}, 201))
    await context.devices.rename(userId, device.deviceId, device.displayName)
    return {}
  },
})

/** Deletes a device after confirmation: its tokens, keys and waiting messages. Idempotent. Spec: device_management.yaml. */
export const deleteDevice = clientEndpoint({
  operationId: 'deleteDevice',
  method: 'DELETE',
  path: PATH,
  group: 'devices',
  auth: 'user',
  params,
  body: Type.Object({ auth: Type.Optional(Type.Unknown()) }),
  isBodyOptional: true,
  async handler({ params: { deviceId }, body, requester, request }, context) {
    const confirmation = { method: request.method, url: request.url, auth: body.auth, mayReuse: true }
    await context.interactiveAuth.requireOwner(requester, confirmation)
    await context.devices.delete(requester.userId, [parseDeviceId(deviceId)])
    return {}
  },
})

/** Deletes several devices after confirmation. Idempotent. Spec: device_management.yaml. */
export const deleteDevices = clientEndpoint({
  operationId: 'deleteDevices',
  method: 'POST',
  path: '/_matrix/client/v3/delete_devices',
  group: 'devices',
  auth: 'user',
  body: Type.Object({
    devices: Type.Array(Type.String(), { maxItems: DEVICES_MAX }),
    auth: Type.Optional(Type.Unknown()),
  }),
  async handler({ body, requester, request }, context) {
    const deviceIds = body.devices.map(parseDeviceId)
    const confirmation = { method: request.method, url: request.url, auth: body.auth, mayReuse: true }
    await context.interactiveAuth.requireOwner(requester, confirmation)
    await context.devices.delete(requester.userId, deviceIds)
    return {}
  },
})
