import { SerializedJson } from '../../../http/endpoint.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const PATH = '/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device'
const BODY_BYTES_MAX = 1024 * 1024
const EVENTS_MAX = 100
const eventsParams = Type.Object({ deviceId: Type.String() })

/** Makes the user's dehydrated device with its keys, in place of the one before. Errors: M_BAD_JSON, M_INVALID_PARAM. MSC3814. */
export const putDehydratedDevice = clientEndpoint({
  operationId: 'putDehydratedDevice',
  method: 'PUT',
  path: PATH,
  group: 'encryption',
  auth: 'user',
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({
    device_id: Type.String(),
    device_data: Type.Object({ algorithm: Type.String() }),
    initial_device_display_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  }),
  async handler({ body, requester }, ctx) {
    const deviceId = await ctx.dehydratedDevices.put(requester.userId, {
      deviceId: body.device_id,
      deviceData: body.device_data,
      displayName: body.initial_device_display_name ?? undefined,
      keys: body as JsonObject,
    })
    return { device_id: deviceId }
  },
})

/** Returns the user's dehydrated device. Errors: M_NOT_FOUND. MSC3814. */
export const getDehydratedDevice = clientEndpoint({
  operationId: 'getDehydratedDevice',
  method: 'GET',
  path: PATH,
  group: 'encryption',
  auth: 'user',
  async handler({ requester }, ctx) {
    const { deviceId, deviceData } = await ctx.dehydratedDevices.get(requester.userId)
    return { device_id: deviceId, device_data: JSON.parse(deviceData) }
  },
})

/** Deletes the user's dehydrated device. Errors: M_NOT_FOUND. MSC3814. */
export const deleteDehydratedDevice = clientEndpoint({
  operationId: 'deleteDehydratedDevice',
  method: 'DELETE',
  path: PATH,
  group: 'encryption',
  auth: 'user',
  async handler({ requester }, ctx) {
    return { device_id: await ctx.dehydratedDevices.delete(requester.userId) }
  },
})

/**
 * Returns messages for the dehydrated device; `next_batch` while there are more. Errors: M_FORBIDDEN, M_INVALID_PARAM. MSC3814.
 */
export const getDehydratedDeviceEvents = clientEndpoint({
  operationId: 'getDehydratedDeviceEvents',
  method: 'GET',
  path: `${PATH}/:deviceId/events`,
  group: 'encryption',
  auth: 'user',
  params: eventsParams,
  query: Type.Object({ from: Type.Optional(Type.String()), limit: Type.Optional(Type.Integer({ minimum: 0 })) }),
  async handler({ params, query, requester }, ctx) {
    const page = await ctx.dehydratedDevices.getEvents(requester.userId, params.deviceId, {
      from: query.from,
      limit: query.limit ?? EVENTS_MAX,
    })
    return serializeEvents(page.events, page.isLimited ? page.nextBatch : undefined)
  },
})

/** The same by POST, as older clients ask; `next_batch` always. Errors: M_FORBIDDEN, M_INVALID_PARAM. MSC3814. */
export const postDehydratedDeviceEvents = clientEndpoint({
  operationId: 'postDehydratedDeviceEvents',
  method: 'POST',
  path: `${PATH}/:deviceId/events`,
  group: 'encryption',
  auth: 'user',
  isBodyOptional: true,
  params: eventsParams,
  query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 0 })) }),
  body: Type.Object({ next_batch: Type.Optional(Type.Union([Type.String(), Type.Null()])) }),
  async handler({ params, query, body, requester }, ctx) {
    const from = body.next_batch ?? undefined
    const page = await ctx.dehydratedDevices.getEvents(requester.userId, params.deviceId, {
      from,
      limit: query.limit ?? EVENTS_MAX,
    })
    return serializeEvents(page.events, page.nextBatch)
  },
})

function serializeEvents(events: readonly string[], nextBatch: string | undefined): SerializedJson {
  return new SerializedJson(`{"events":[${events.join(',')}]${nextBatch === undefined ? '' : `,"next_batch":"${nextBatch}"`}}`)
}
