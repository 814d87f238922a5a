import type { Config } from '../../../config/config.ts'
import { ROOM_VERSIONS } from '../../../protocol/room-versions/room-versions.ts'
import type { Requester } from '../../../services/accounts/requester.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Tells what the server can do for this user. Spec: capabilities.yaml. */
export const getCapabilities = clientEndpoint({
  operationId: 'getCapabilities',
  method: 'GET',
  path: '/_matrix/client/v3/capabilities',
  group: 'account',
  auth: 'guest',
  handler({ requester }, context) {
    return Promise.resolve({ capabilities: describeCapabilities(context.config, requester) })
  },
})

function describeCapabilities(config: Config, requester: Requester): Record<string, unknown> {
  const { passwordConfig, enableSetDisplayname, enableSetAvatarUrl, loginViaExistingSession } = config.registration
  const frozenFields = [...(enableSetDisplayname ? [] : ['displayname']), ...(enableSetAvatarUrl ? [] : ['avatar_url'])]
  return {
    'm.room_versions': {
      default: config.rooms.defaultRoomVersion,
      available: Object.fromEntries(ROOM_VERSIONS.map(({ id }) => [id, 'stable'])),
    },
    'm.change_password': { enabled: passwordConfig.enabled !== false && passwordConfig.localdbEnabled && !requester.isGuest },
    'm.profile_fields': { enabled: true, ...(frozenFields.length > 0 ? { disallowed: frozenFields } : {}) },
    'm.set_displayname': { enabled: enableSetDisplayname },
    'm.set_avatar_url': { enabled: enableSetAvatarUrl },
    'm.3pid_changes': { enabled: config.registration.enable3pidChanges },
    'm.get_login_token': { enabled: loginViaExistingSession.enabled && !requester.isGuest },
    'm.forget_forced_upon_leave': { enabled: config.rooms.forgetRoomsOnLeave },
    ...(requester.isAdmin ? { 'm.account_moderation': { suspend: true, lock: true } } : {}),
  }
}
