import { parseUserId } from '../../protocol/ids.ts'
import type { SightRow } from '../../storage/tables/devices.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

/**
 * Tells from where and with what a user was seen: the user, or an administrator. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec:
 * admin.yaml.
 */
export const getWhoIs = clientEndpoint({
  operationId: 'getWhoIs',
  method: 'GET',
  path: '/_matrix/client/v3/admin/whois/:userId',
  otherPaths: ['/_matrix/client/api/v1/admin/whois/:userId', '/_synapse/admin/v1/whois/:userId'],
  group: 'admin',
  auth: 'user',
  params: Type.Object({ userId: Type.String() }),
  async handler({ params, requester }, context) {
    const userId = parseUserId(params.userId)
    return { user_id: userId, devices: devicesOf(await context.accounts.getSights(requester, userId)) }
  },
})

function devicesOf(sights: readonly SightRow[]): Record<string, unknown> {
  const connections = new Map<string, unknown[]>()
  for (const { deviceId, ip, userAgent, lastSeenTsMs } of sights) {
    const list = connections.get(deviceId) ?? []
    list.push({ ip, last_seen: lastSeenTsMs, user_agent: userAgent })
    connections.set(deviceId, list)
  }
  return Object.fromEntries([...connections].map(([deviceId, list]) => [deviceId, { sessions: [{ connections: list }] }]))
}
