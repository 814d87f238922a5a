import { parseRoomId, parseUserId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { federationEndpoint } from './federation-endpoint.ts'

/** Prepares a leave for a user of the asking server to sign. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: leaving-v1.yaml. */
export const makeLeave = federationEndpoint({
  operationId: 'makeLeave',
  method: 'GET',
  path: '/_matrix/federation/v1/make_leave/:roomId/:userId',
  group: 'federation_membership',
  auth: 'signed',
  isAclProtected: true,
  params: Type.Object({ roomId: Type.String(), userId: Type.String() }),
  handler: ({ params, origin }, ctx) =>
    ctx.membershipTemplates.make({
      origin,
      roomId: parseRoomId(params.roomId),
      userId: parseUserId(params.userId),
      membership: 'leave',
      roomVersions: undefined,
    }),
})
