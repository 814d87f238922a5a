import { parseUserId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Gives the devices of a user with their keys. Errors: M_NOT_FOUND. Spec: user_devices.yaml. */
export const getUserDevices = federationEndpoint({
  operationId: 'getUserDevices',
  method: 'GET',
  path: '/_matrix/federation/v1/user/devices/:userId',
  group: 'federation_reads',
  auth: 'signed',
  params: Type.Object({ userId: Type.String() }),
  handler: ({ params }, ctx) => ctx.deviceServer.getDevices(parseUserId(params.userId)),
})
