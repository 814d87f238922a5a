import type { Static } from 'typebox'
import { parseDeviceId, serverNameOf } from '../../../protocol/ids.ts'
import type { DeviceRequest, Session } from '../../../services/accounts/sessions.ts'
import { Type } from '../../../util/schema.ts'

/** The fields by which requests of login and registration say which device they are for. */
export const DEVICE_FIELDS = {
  device_id: Type.Optional(Type.String()),
  initial_device_display_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  refresh_token: Type.Optional(Type.Boolean()),
}
const deviceFields = Type.Object(DEVICE_FIELDS)

/** Reads the device that a client logs in with. Throws M_INVALID_PARAM. */
export function readDevice(body: Static<typeof deviceFields>): DeviceRequest {
  return {
    deviceId: body.device_id === undefined ? undefined : parseDeviceId(body.device_id),
    displayName: body.initial_device_display_name ?? undefined,
    wantsRefreshToken: body.refresh_token ?? false,
  }
}

/** A new login as clients get it, `home_server` for old ones included. */
export function sessionResponse(session: Session): Record<string, unknown> {
  return {
    user_id: session.userId,
    home_server: serverNameOf(session.userId),
    device_id: session.deviceId,
    access_token: session.accessToken,
    ...(session.refreshToken === undefined ? {} : { refresh_token: session.refreshToken }),
    ...(session.expiresInMs === undefined ? {} : { expires_in_ms: session.expiresInMs }),
  }
}
