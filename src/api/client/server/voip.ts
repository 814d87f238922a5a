import { MatrixError } from '../../../protocol/errors.ts'
import { computeTurnCredentials } from '../../../services/ephemeral/turn-credentials.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Gives credentials for the TURN servers. Errors: M_NOT_FOUND where there are none (MSC4166), M_FORBIDDEN. Spec: voip.yaml. */
export const getTurnServer = clientEndpoint({
  operationId: 'getTurnServer',
  method: 'GET',
  path: '/_matrix/client/v3/voip/turnServer',
  group: 'client_reads',
  auth: 'guest',
  async handler({ requester }, ctx) {
    const options = ctx.config.users
    if (requester.isGuest && !options.turnAllowGuests)
      throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 'Guest access not allowed')
    const credentials = computeTurnCredentials(options, requester.userId, ctx.clock.nowMs())
    if (!credentials) throw new MatrixError('M_NOT_FOUND', 'This server has no TURN servers')
    return credentials
  },
})
